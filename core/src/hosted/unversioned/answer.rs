//! What a server says beside its status, for people: short, clean and without secrets.
//!
//! A receiver that refuses a request often says why, in a text, in JSON of its own, or in a page of
//! HTML from a proxy.
//!
//! ```
//! use spandrel_core::hosted::unversioned::answer::Secrets;
//! use spandrel_core::response::Response;
//!
//! let answer = Response {
//!     content_type: Some("text/html"),
//!     body: Some(b"<html><head><title>401 Bad token s3cret</title></head></html>"),
//!     ..Response::new(401)
//! };
//! let secrets = Secrets::new(["Bearer s3cret"]);
//! assert_eq!(secrets.said(&answer), "401 Bad token [redacted]");
//! ```

use core::fmt;
use std::borrow::Cow;
use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use crate::hosted::config::HttpTarget;
use crate::hosted::diagnostics::sanitise;
use crate::response::Response;

/// The most characters that are shown.
const MAX_CHARS: usize = 200;
/// The most bytes of an answer that are looked at.
const MAX_BYTES: usize = 64 * 1024;
/// A shorter secret is hidden only where it stands by itself: `1` is not hidden in `127.0.0.1`.
const SURE_BYTES: usize = 8;
const REDACTED: &str = "[redacted]";

/// Values that no text may show. `Debug` shows none.
#[derive(Clone, Default)]
pub struct Secrets(Vec<String>);

impl Secrets {
    /// Hides these values of headers, whole or without their scheme (`Bearer`, `Basic`).
    pub fn new<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets = Self::default();
        for value in values {
            secrets.add(value);
            if let Some((_, credential)) = value.split_once(' ') {
                secrets.add(credential.trim());
            }
        }
        // A secret within another one must not leave the rest of the longer one.
        secrets
            .0
            .sort_by_key(|secret| core::cmp::Reverse(secret.len()));
        secrets
    }

    /// Hides the values of the headers and of the query that every request to `target` has.
    #[must_use]
    pub fn of(target: &HttpTarget) -> Self {
        let headers = target.headers().iter().map(|(_, value)| value.as_str());
        let query = target.url().split_once('?').map_or("", |(_, query)| query);
        let parameters = query.split('&').map(|pair| match pair.split_once('=') {
            Some((_, value)) => value,
            None => pair,
        });
        Self::new(headers.chain(parameters))
    }

    fn add(&mut self, secret: &str) {
        if secret.is_empty() {
            return;
        }
        self.0.push(secret.into());
        // As JSON may spell it.
        let escaped = secret.replace('\\', "\\\\").replace('"', "\\\"");
        for spelling in [escaped.replace('/', "\\/"), escaped] {
            if spelling != secret {
                self.0.push(spelling);
            }
        }
    }

    /// Returns `text` without any of the values.
    #[must_use]
    pub fn mask(&self, text: &str) -> String {
        let mut text = text.to_string();
        for secret in &self.0 {
            if text.contains(secret.as_str()) {
                text = without(&text, secret);
            }
        }
        text
    }

    /// Returns what the body of an answer says, at most 200 characters in one line; empty if it says
    /// nothing, or is no text. A success says nothing.
    #[must_use]
    pub fn said(&self, response: &Response<'_>) -> String {
        let Some(body) = response.body.filter(|body| !body.is_empty()) else {
            return String::new();
        };
        if (200..300).contains(&response.status) {
            return String::new();
        }
        let status = response.status_body();
        if status.valid && !status.message.is_empty() {
            let message: String = status.message.chars().collect();
            return self.shown(&message);
        }
        let (window, is_cut) = match body.get(..MAX_BYTES) {
            Some(window) => (window, true),
            None => (body, false),
        };
        let Some(text) = text(window) else {
            return String::new();
        };
        let text = match text.trim_start().starts_with('<') {
            true => Cow::Owned(of_markup(&text)),
            false => text,
        };
        // A secret that the window cuts is not recognised.
        let longest = self.0.first().map_or(0, String::len);
        let mut end = text.len();
        if is_cut {
            end = end.saturating_sub(longest);
        }
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.shown(text.get(..end).unwrap_or_default())
    }

    /// One line, masked first, so that no part of a secret is left by the cut.
    fn shown(&self, text: &str) -> String {
        let masked = self.mask(text);
        let mut line = String::new();
        let mut chars = 0;
        for word in masked.split(|c: char| c.is_whitespace() || c.is_control()) {
            if word.is_empty() {
                continue;
            }
            if !line.is_empty() {
                line.push(' ');
                chars += 1;
            }
            for c in word.chars() {
                if chars >= MAX_CHARS {
                    line.push('…');
                    return sanitise(&line);
                }
                line.push(c);
                chars += 1;
            }
        }
        sanitise(&line)
    }
}

impl fmt::Debug for Secrets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").finish_non_exhaustive()
    }
}

/// Replaces `secret` wherever it may be meant.
fn without(text: &str, secret: &str) -> String {
    let is_sure = secret.len() >= SURE_BYTES;
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(secret) {
        let (before, found) = rest.split_at(at);
        let after = found.get(secret.len()..).unwrap_or_default();
        let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        let is_part = touches(before.chars().next_back().or(out.chars().next_back()))
            || touches(after.chars().next());
        out.push_str(before);
        out.push_str(if is_part && !is_sure {
            secret
        } else {
            REDACTED
        });
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The body as text, unless it is none.
fn text(body: &[u8]) -> Option<Cow<'_, str>> {
    let text = String::from_utf8_lossy(body);
    let bad =
        |c: &char| *c == char::REPLACEMENT_CHARACTER || (c.is_control() && !c.is_whitespace());
    // A few letters of another encoding do no harm.
    let bad = text.chars().take(MAX_CHARS).filter(bad).count();
    (bad <= MAX_CHARS / 20).then_some(text)
}

/// The title of a page, or its text.
fn of_markup(page: &str) -> String {
    let lower = page.to_ascii_lowercase();
    if let Some(title) = element(page, &lower, "title") {
        let title = stripped(title);
        if !title.trim().is_empty() {
            return title;
        }
    }
    let body = element(page, &lower, "body").unwrap_or(page);
    stripped(body)
}

/// The inside of the first element of this name. `lower` is the page in lower case, of equal length.
fn element<'p>(page: &'p str, lower: &str, name: &str) -> Option<&'p str> {
    let open = lower.find(&format!("<{name}"))?;
    let start = open + lower.get(open..)?.find('>')? + 1;
    let inside = lower.get(start..)?;
    let len = inside.find(&format!("</{name}")).unwrap_or(inside.len());
    page.get(start..start + len)
}

/// The text without tags, scripts, styles and the commonest entities.
fn stripped(markup: &str) -> String {
    let lower = markup.to_ascii_lowercase();
    let mut text = String::new();
    let mut at = 0;
    while let Some(open) = markup.get(at..).and_then(|rest| rest.find('<')) {
        text.push_str(markup.get(at..at + open).unwrap_or_default());
        text.push(' ');
        let tag = at + open;
        let rest = lower.get(tag..).unwrap_or_default();
        let end = ["<script", "<style", "<!--"]
            .into_iter()
            .zip(["</script>", "</style>", "-->"])
            .find(|(start, _)| rest.starts_with(start))
            .map_or(">", |(_, end)| end);
        at = match rest.find(end) {
            Some(len) => tag + len + end.len(),
            None => markup.len(),
        };
    }
    text.push_str(markup.get(at..).unwrap_or_default());
    for (entity, c) in [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&nbsp;", " "),
        ("&amp;", "&"),
    ] {
        text = text.replace(entity, c);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(secrets: &[&str], content_type: &str, body: &[u8]) -> String {
        Secrets::new(secrets.iter().copied()).said(&Response {
            content_type: Some(content_type),
            body: Some(body),
            ..Response::new(400)
        })
    }

    // fault X43
    #[test]
    fn whatever_a_server_says_is_shown_in_one_line() {
        let missing =
            r#"{"detail":[{"type":"missing","loc":["header","x-mlflow-experiment-id"]}]}"#;
        for (content_type, body, expected) in [
            (
                "text/plain",
                "Failed to decode request body",
                "Failed to decode request body",
            ),
            ("application/json", missing, missing),
            (
                "application/problem+json",
                r#"{"title":"no"}"#,
                r#"{"title":"no"}"#,
            ),
            (
                "application/json",
                r#"{"code":3,"message":"too\nold"}"#,
                "too old",
            ),
            ("application/x-protobuf", "\x12\x03bad", "bad"),
            ("application/x-protobuf", "plain words", "plain words"),
            ("", "plain words", "plain words"),
            (
                "text/html",
                "<!DOCTYPE html><html><TITLE>\n 502 Bad\u{a0}Gateway </title>x",
                "502 Bad Gateway",
            ),
            (
                "text/html",
                "<style>a{}</style><body><script>x<y</script><h1>No</h1>&lt;here&gt;<!-- x -->",
                "No <here>",
            ),
            (
                "application/xml",
                "<Error><Message>Denied</Message></Error>",
                "Denied",
            ),
            ("text/html", "<", ""),
            ("text/html", "<title", ""),
            ("text/plain", " \r\n\t ", ""),
            ("text/plain", "a\x1b[31mb\x07\r\nc", "a [31mb c"),
            (
                "image/png",
                "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\u{1}\u{2}\u{3}",
                "",
            ),
        ] {
            assert_eq!(
                said(&[], content_type, body.as_bytes()),
                expected,
                "{body:?}"
            );
        }
        assert_eq!(
            said(
                &[],
                "text/plain",
                b"\xff\xfe\0\x81\x8d\x8f\x90\x9d\xff\xff\xff\xff"
            ),
            ""
        );
        let long = said(&[], "text/plain", "ä ".repeat(100_000).as_bytes());
        assert_eq!(long.chars().count(), MAX_CHARS + 1, "{long}");
    }

    // fault X44
    #[test]
    fn no_value_of_a_header_is_repeated_however_it_is_spelled_and_cut() {
        let key = "abc/def\"ghi+0123456789";
        let bearer = format!("Bearer {key}");
        let json = format!(
            "{{\"got\":\"{}\"}}",
            key.replace('"', "\\\"").replace('/', "\\/")
        );
        for body in [
            bearer.clone(),
            format!("bad token {key}."),
            format!("x{key}{key}y"),
            json,
            format!("<title>{key}</title>"),
            format!("{}{key}", "a".repeat(190)),
            format!("<p>{}</p>{key}", "<b>".repeat(MAX_BYTES / 3 - 8)),
        ] {
            let shown = said(&[&bearer], "text/plain", body.as_bytes());
            assert!(!shown.contains("abc") && !shown.contains("0123"), "{shown}");
        }
        assert_eq!(
            said(&["7"], "text/plain", b"key 7 from 127.0.0.7 at 17"),
            "key [redacted] from 127.0.0.[redacted] at 17"
        );
    }

    #[test]
    fn a_success_says_nothing() {
        let success = Response {
            content_type: Some("text/html"),
            body: Some(b"<title>Log in</title>"),
            ..Response::new(200)
        };
        assert_eq!(Secrets::default().said(&success), "");
    }
}
