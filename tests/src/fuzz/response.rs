//! Any answer of any collector: it is read without a panic, never counts more spans than were
//! sent, and means what the official types read.

use arbitrary::Unstructured;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use prost::Message;
use spandrel_core::response::{Outcome, Response, classify, decode_status, decode_success};
use spandrel_core::time::UnixNanos;

#[derive(Debug)]
struct Script<'a> {
    status: u16,
    content_type: Kind<'a>,
    retry_after: Option<&'a str>,
    date: Option<&'a str>,
    wall_now: Option<u64>,
    sent: u16,
    body: &'a [u8],
}

#[derive(Debug)]
enum Kind<'a> {
    None,
    Protobuf,
    Json,
    Other(&'a str),
}

/// Reads the answer that `data` makes.
///
/// # Panics
///
/// When a rule is broken.
pub fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(script) = Script::arbitrary_take_rest_of(&mut u) else {
        return;
    };
    let content_type = match script.content_type {
        Kind::None => None,
        Kind::Protobuf => Some("application/x-protobuf"),
        Kind::Json => Some("application/json"),
        Kind::Other(text) => Some(text),
    };
    let response = Response {
        status: script.status,
        retry_after: script.retry_after,
        date: script.date,
        content_type,
        body: Some(script.body),
    };
    let class = classify(&Outcome::Response(response));
    let pause = response.pause(script.wall_now.map(UnixNanos::from_nanos));
    assert!(class.retry || pause.is_none());

    let sent = u64::from(script.sent);
    let success = decode_success(content_type, script.body);
    let (rejected, _) = success.rejected(sent);
    assert!(rejected <= sent);
    assert!(success.error_message.chars().count() <= script.body.len());
    let status = decode_status(content_type, script.body);
    assert!(status.message.chars().count() <= script.body.len());

    if !matches!(script.content_type, Kind::Protobuf) {
        return;
    }
    if let Ok(official) = ExportTraceServiceResponse::decode(script.body) {
        assert!(success.valid);
        let partial = official.partial_success.unwrap_or_default();
        let count = u64::try_from(partial.rejected_spans);
        let in_range = count.is_ok_and(|count| count <= sent);
        let (rejected, out_of_range) = success.rejected(sent);
        assert_eq!(out_of_range, !in_range);
        if in_range {
            assert_eq!(Ok(rejected), count);
        }
        let message: String = success.error_message.chars().collect();
        assert_eq!(message, partial.error_message);
    }
}

impl<'a> Script<'a> {
    /// The body takes what is left, so that a seed ends in a readable body.
    fn arbitrary_take_rest_of(u: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        Ok(Self {
            status: *u.choose(&[
                200,
                204,
                400,
                413,
                429,
                500,
                502,
                503,
                504,
                302,
                0,
                u16::MAX,
            ])?,
            content_type: match u.int_in_range(0..=3)? {
                0 => Kind::None,
                1 => Kind::Protobuf,
                2 => Kind::Json,
                _ => Kind::Other(short(u)?),
            },
            retry_after: if u.arbitrary()? {
                Some(short(u)?)
            } else {
                None
            },
            date: if u.arbitrary()? {
                Some(short(u)?)
            } else {
                None
            },
            wall_now: u.arbitrary()?,
            sent: u.arbitrary()?,
            body: u.bytes(u.len())?,
        })
    }
}

/// Up to 60 bytes of text.
fn short<'a>(u: &mut Unstructured<'a>) -> arbitrary::Result<&'a str> {
    let len = u.int_in_range(0..=60)?.min(u.len());
    let bytes = u.bytes(len)?;
    Ok(match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or_default(),
    })
}
