//! Response bodies: `ExportTraceServiceResponse` and `google.rpc.Status`, each as protobuf and as
//! JSON.

use super::json::Scanner;
use super::message::{MessageText, READS_JSON};
use crate::wire::{FieldValue, Fields};

/// The content of a 2xx response's body: an
/// [`ExportTraceServiceResponse`](https://opentelemetry.io/docs/specs/otlp/#otlphttp-response).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct SuccessBody<'a> {
    /// The number of rejected spans, as the server sent it: it may be any number. See
    /// [`rejected`](Self::rejected).
    pub rejected_spans: i64,
    /// The reason; or a warning, if no span was rejected. Empty = none.
    pub error_message: MessageText<'a>,
    /// The body could be read. If not, the other fields are empty, and it is a success all the same.
    pub valid: bool,
}

impl<'a> SuccessBody<'a> {
    const EMPTY: Self = Self {
        rejected_spans: 0,
        error_message: MessageText::plain(&[]),
        valid: true,
    };

    pub(super) const INVALID: Self = Self {
        valid: false,
        ..Self::EMPTY
    };

    /// Returns how many of the `sent` spans were rejected, and true if the server's number was not
    /// between 0 and `sent`.
    #[must_use]
    pub fn rejected(&self, sent: u64) -> (u64, bool) {
        match u64::try_from(self.rejected_spans) {
            Ok(rejected) => (rejected.min(sent), rejected > sent),
            Err(_) => (0, true),
        }
    }

    fn read_protobuf(&mut self, body: &'a [u8]) -> Option<()> {
        for field in Fields::new(body) {
            // A repeated message field is merged, so each occurrence writes into the same place.
            if let (1, FieldValue::Bytes(partial)) = field.ok()? {
                self.read_partial_protobuf(partial)?;
            }
        }
        Some(())
    }

    fn read_partial_protobuf(&mut self, partial: &'a [u8]) -> Option<()> {
        for field in Fields::new(partial) {
            match field.ok()? {
                (1, FieldValue::Varint(count)) => self.rejected_spans = count as i64,
                (2, FieldValue::Bytes(text)) => self.error_message = MessageText::plain(text),
                _ => {}
            }
        }
        Some(())
    }

    fn read_json(&mut self, body: &'a [u8]) -> Option<()> {
        let mut scanner = Scanner::new(body);
        scanner.object(&mut |scanner, key| {
            if scanner.null() {
                Some(())
            } else if key == "partialSuccess" {
                scanner.object(&mut |scanner, key| self.read_partial_json(scanner, key))
            } else {
                scanner.skip()
            }
        })?;
        scanner.end()
    }

    fn read_partial_json(&mut self, scanner: &mut Scanner<'a>, key: MessageText<'a>) -> Option<()> {
        if scanner.null() {
            return Some(());
        }
        if key == "rejectedSpans" {
            self.rejected_spans = scanner.integer()?;
        } else if key == "errorMessage" {
            self.error_message = scanner.text()?;
        } else {
            scanner.skip()?;
        }
        Some(())
    }
}

/// The content of a 4xx or 5xx response's body: a
/// [`google.rpc.Status`](https://opentelemetry.io/docs/specs/otlp/#failures-1). It is for people
/// only: no decision depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct StatusBody<'a> {
    /// The `google.rpc` code; 0 when absent.
    pub code: i32,
    /// The message; empty when absent. Of a text, or of JSON that is no status, the whole body: many
    /// servers and proxies say there what they miss.
    pub message: MessageText<'a>,
    /// The body could be read. Proxies send HTML, for instance.
    pub valid: bool,
}

impl<'a> StatusBody<'a> {
    const EMPTY: Self = Self {
        code: 0,
        message: MessageText::plain(&[]),
        valid: true,
    };

    pub(super) const INVALID: Self = Self {
        valid: false,
        ..Self::EMPTY
    };

    fn read_protobuf(&mut self, body: &'a [u8]) -> Option<()> {
        for field in Fields::new(body) {
            match field.ok()? {
                // An int32 is the low half of its varint.
                (1, FieldValue::Varint(code)) => self.code = code as i32,
                (2, FieldValue::Bytes(text)) => self.message = MessageText::plain(text),
                _ => {}
            }
        }
        Some(())
    }

    fn read_json(&mut self, body: &'a [u8]) -> Option<()> {
        let mut scanner = Scanner::new(body);
        scanner.object(&mut |scanner, key| {
            if scanner.null() {
                return Some(());
            }
            if key == "code" {
                self.code = i32::try_from(scanner.integer()?).ok()?;
            } else if key == "message" {
                self.message = scanner.text()?;
            } else {
                scanner.skip()?;
            }
            Some(())
        })?;
        scanner.end()
    }
}

/// Reads the body of a 2xx. An empty body is a full success, whatever its type. A body of another
/// media type than protobuf is not read, JSON only with the feature `json-answers`, which is part
/// of `std`.
///
/// ```
/// use spandrel_core::response::decode_success;
///
/// let body = b"\x0a\x07\x08\x02\x12\x03old";
/// let success = decode_success(Some("application/x-protobuf"), body);
/// assert_eq!(success.rejected_spans, 2);
/// assert_eq!(success.error_message, "old");
/// assert!(!decode_success(Some("text/html"), b"<html>").valid);
/// ```
#[must_use]
pub fn decode_success<'a>(content_type: Option<&str>, body: &'a [u8]) -> SuccessBody<'a> {
    let mut success = SuccessBody::EMPTY;
    let read = match media(content_type) {
        _ if body.is_empty() => Some(()),
        Media::Protobuf => success.read_protobuf(body),
        Media::Json if READS_JSON => success.read_json(body),
        Media::Json | Media::Text | Media::Other => None,
    };
    read.map_or(SuccessBody::INVALID, |()| success)
}

/// Reads the server's reason from the body of a 4xx or 5xx. An empty body is valid and gives none.
#[must_use]
pub fn decode_status<'a>(content_type: Option<&str>, body: &'a [u8]) -> StatusBody<'a> {
    let mut status = StatusBody::EMPTY;
    let media = media(content_type);
    let read = match media {
        _ if body.is_empty() => Some(()),
        Media::Protobuf => status.read_protobuf(body),
        Media::Json if READS_JSON => status.read_json(body),
        Media::Json | Media::Text | Media::Other => None,
    };
    let mut status = read.map_or(StatusBody::INVALID, |()| status);
    if status.message.is_empty() && matches!(media, Media::Json | Media::Text) {
        status.message = MessageText::plain(body);
    }
    status
}

enum Media {
    Protobuf,
    Json,
    Text,
    Other,
}

/// Ignores case and parameters. Without a header, protobuf is assumed, the usual encoding of OTLP.
// spec A-038
fn media(content_type: Option<&str>) -> Media {
    let Some(content_type) = content_type else {
        return Media::Protobuf;
    };
    let content_type = content_type.as_bytes();
    let essence = content_type.split(|&byte| byte == b';').next();
    let essence = trim_blank(essence.unwrap_or_default());
    if essence.eq_ignore_ascii_case(b"application/x-protobuf") {
        Media::Protobuf
    } else if essence.eq_ignore_ascii_case(b"application/json") {
        Media::Json
    } else if essence.eq_ignore_ascii_case(b"text/plain") {
        Media::Text
    } else {
        Media::Other
    }
}

/// Removes the blanks that HTTP allows around a header value.
pub(super) fn trim_blank(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    const PROTOBUF: Option<&str> = Some("application/x-protobuf");
    const JSON: Option<&str> = Some("application/json");

    fn hex(text: &str) -> Vec<u8> {
        let digit = |d: u8| crate::id::hex_value(d).unwrap();
        let pairs = text.as_bytes().chunks_exact(2);
        pairs.map(|p| digit(p[0]) << 4 | digit(p[1])).collect()
    }

    fn success(content_type: Option<&str>, body: &[u8]) -> (i64, std::string::String, bool) {
        let body = decode_success(content_type, body);
        (
            body.rejected_spans,
            body.error_message.to_string(),
            body.valid,
        )
    }

    // spec A-031, spec A-033, spec A-034, spec A-035
    #[test]
    fn golden_vector_11() {
        for (body, rejected, message) in [
            ("", 0, ""),
            ("0a00", 0, ""),
            ("0a0612047761726e", 0, "warn"),
            ("0a0b08051207746f6f206f6c64", 5, "too old"),
        ] {
            let expected = (rejected, message.into(), true);
            assert_eq!(success(PROTOBUF, &hex(body)), expected, "{body}");
        }
    }

    /// Golden vectors V12 and V13: the details are skipped.
    #[test]
    fn golden_vectors_12_and_13() {
        let body = hex(
            "080e1204627573791a360a28747970652e676f6f676c65617069732e636f6d2f676f6f676c652e7270632e\
             5265747279496e666f120a0a0808051080cab5ee01",
        );
        let status = decode_status(PROTOBUF, &body);
        assert_eq!((status.code, status.valid), (14, true));
        assert_eq!(status.message, "busy");
        let body = hex(
            "12036261641a350a29747970652e676f6f676c65617069732e636f6d2f676f6f676c652e7270632e426164\
             5265717565737412080a060a0166120164",
        );
        let status = decode_status(PROTOBUF, &body);
        assert_eq!((status.code, status.valid), (0, true));
        assert_eq!(status.message, "bad");
    }

    // spec A-071, spec A-074
    #[test]
    fn json_bodies_are_read_and_unknown_keys_are_ignored() {
        for (body, rejected, message) in [
            ("", 0, ""),
            ("{}", 0, ""),
            (" { } ", 0, ""),
            (r#"{"partialSuccess":{}}"#, 0, ""),
            (r#"{"partialSuccess":null}"#, 0, ""),
            (
                r#"{"partialSuccess":{"rejectedSpans":"5","errorMessage":"too old"}}"#,
                5,
                "too old",
            ),
            (r#"{"partialSuccess":{"x":1,"rejectedSpans":"2"}}"#, 2, ""),
            (
                r#"{"x":{"rejectedSpans":9},"partialSuccess":{"rejectedSpans":3}}"#,
                3,
                "",
            ),
            (
                r#"{"partial\u0053uccess":{"errorMessage":"\u0061\n"}}"#,
                0,
                "a\\u{a}",
            ),
            // Keys in snake case are unknown keys: spec A-070.
            (r#"{"partial_success":{"rejected_spans":4}}"#, 0, ""),
            (
                r#"{"partialSuccess":{"rejectedSpans":null,"errorMessage":null}}"#,
                0,
                "",
            ),
        ] {
            let expected = (rejected, message.into(), true);
            assert_eq!(success(JSON, body.as_bytes()), expected, "{body}");
        }
        let status = decode_status(
            JSON,
            br#"{"code":14,"message":"busy","details":[{"@type":"x"}]}"#,
        );
        assert_eq!((status.code, status.valid), (14, true));
        assert_eq!(status.message, "busy");
    }

    // fault X43
    #[test]
    fn a_text_that_is_no_status_is_shown_as_it_is() {
        let missing = r#"{"detail":[{"type":"missing","loc":["header","x-id"]}]}"#;
        for (content_type, body, message) in [
            (
                "text/plain",
                "Failed to decode request body",
                "Failed to decode request body",
            ),
            ("text/plain; charset=utf-8", "no\n", "no\n"),
            ("application/json", missing, missing),
            ("application/json", r#"{"error":"no"}"#, r#"{"error":"no"}"#),
            ("application/json", r#"{"message":"no"}"#, "no"),
            ("application/json", "not JSON", "not JSON"),
            ("text/html", "<html>", ""),
            ("application/x-protobuf", "text", ""),
        ] {
            let status = decode_status(Some(content_type), body.as_bytes());
            assert_eq!(status.message, message, "{content_type} {body}");
        }
    }

    // spec A-037, spec A-044, fault S13
    #[test]
    fn a_body_that_makes_no_sense_is_marked_and_says_nothing() {
        let nothing = (0, std::string::String::new(), false);
        for (content_type, body) in [
            (PROTOBUF, &b"<html>"[..]),
            (PROTOBUF, b"\x0a\x05\x08\x05"),
            // The rest of the body is broken: what was read before it does not count either.
            (PROTOBUF, b"\x0a\x02\x08\x05\x0a"),
            (JSON, b"<html>"),
            (JSON, br#"{"partialSuccess":{"rejectedSpans":"5"}"#),
            (JSON, br#"{"partialSuccess":{"rejectedSpans":"5"}}x"#),
            (JSON, br#"{"partialSuccess":{"rejectedSpans":"five"}}"#),
            (JSON, br#"{"partialSuccess":5}"#),
            (JSON, br#"[]"#),
            (Some("text/html"), b"{}"),
            (Some(""), b"{}"),
        ] {
            assert_eq!(success(content_type, body), nothing, "{body:?}");
            assert!(!decode_status(content_type, b"<html>").valid);
        }
    }

    // spec A-038
    #[test]
    fn media_types_are_compared_without_case_and_parameters() {
        let body = br#"{"partialSuccess":{"rejectedSpans":1}}"#;
        for content_type in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/json ;q",
        ] {
            assert_eq!(success(Some(content_type), body).0, 1, "{content_type}");
        }
        let body = b"\x0a\x02\x08\x01";
        for content_type in [None, Some("APPLICATION/X-PROTOBUF")] {
            assert_eq!(success(content_type, body).0, 1);
        }
        assert!(!decode_success(Some("application/jsonp"), b"{}").valid);
    }

    // fault S12
    #[test]
    fn rejected_counts_are_brought_into_range() {
        let rejected = |count: i64| {
            let body = SuccessBody {
                rejected_spans: count,
                ..SuccessBody::EMPTY
            };
            body.rejected(10)
        };
        assert_eq!(rejected(0), (0, false));
        assert_eq!(rejected(10), (10, false));
        assert_eq!(rejected(11), (10, true));
        assert_eq!(rejected(i64::MAX), (10, true));
        assert_eq!(rejected(-1), (0, true));
        let negative = hex("0a0b08ffffffffffffffffff01");
        assert_eq!(success(PROTOBUF, &negative).0, -1);
    }

    #[test]
    fn protobuf_fields_of_the_wrong_kind_are_unknown_and_messages_merge() {
        // rejected_spans as text, error_message as a number.
        assert_eq!(
            success(PROTOBUF, b"\x0a\x05\x0a\x01x\x10\x01"),
            (0, "".into(), true)
        );
        let merged = b"\x0a\x02\x08\x05\x0a\x03\x12\x01x";
        assert_eq!(success(PROTOBUF, merged), (5, "x".into(), true));
    }

    #[test]
    fn cut_and_flipped_bodies_never_panic() {
        let json = br#"{"partialSuccess":{"rejectedSpans":"5","errorMessage":"\ud83e\udd80 x"}}"#;
        let protobuf = hex("0a0b08051207746f6f206f6c64");
        for (content_type, body) in [(JSON, &json[..]), (PROTOBUF, &protobuf)] {
            for end in 0..body.len() {
                let _ = success(content_type, &body[..end]);
                for bit in 0..8 {
                    let mut flipped = body.to_vec();
                    flipped[end] ^= 1 << bit;
                    let _ = success(content_type, &flipped);
                    let _ = decode_status(content_type, &flipped);
                }
            }
        }
    }
}
