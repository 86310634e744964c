//! A POST over a plain socket, right or with one flaw.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use spandrel_core::response::{MAX_RESPONSE_BYTES, TransportError};
use spandrel_testkit::conformance::{PostAnswer, PostRequest};

/// What is wrong with a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    None,
    /// It sends everything twice.
    Twice,
    WrongPath,
    /// It takes one status for another one.
    Mistakes(u16, u16),
    ForgetsRetryAfter,
    ForgetsBody,
    FollowsRedirects,
    /// It takes a connection that cannot be made for a refusal.
    TakesNoConnectionForRefusal,
    /// It takes a connection that breaks for an answer.
    TakesResetForSuccess,
    /// It waits for ever.
    NoDeadline,
    /// It has a time limit for each read, and none for all of them.
    DeadlineForEachRead,
    /// It reads many times what it may.
    ReadsTooMuch,
}

pub(super) fn post(request: &PostRequest<'_>, flaw: Flaw) -> PostAnswer {
    let host = request.endpoint.trim_start_matches("http://");
    if flaw == Flaw::Twice {
        let _ = exchange(host, request, flaw);
    }
    let answer = match exchange(host, request, flaw) {
        Ok(answer) => answer,
        Err(error) => failed(error.kind(), flaw),
    };
    match answer {
        PostAnswer::Answered {
            status,
            retry_after,
            content_type,
            body,
        } => PostAnswer::Answered {
            status: match flaw {
                Flaw::Mistakes(this, other) if this == status => other,
                _ => status,
            },
            retry_after: retry_after.filter(|_| flaw != Flaw::ForgetsRetryAfter),
            content_type,
            body: match flaw {
                Flaw::ForgetsBody => Some(Vec::new()),
                _ => body,
            },
        },
        failed => failed,
    }
}

fn answered(status: u16) -> PostAnswer {
    PostAnswer::Answered {
        status,
        retry_after: None,
        content_type: None,
        body: Some(Vec::new()),
    }
}

fn failed(kind: ErrorKind, flaw: Flaw) -> PostAnswer {
    PostAnswer::Failed(match kind {
        ErrorKind::ConnectionRefused if flaw == Flaw::TakesNoConnectionForRefusal => {
            return answered(400);
        }
        ErrorKind::ConnectionRefused => TransportError::Connect,
        ErrorKind::WouldBlock | ErrorKind::TimedOut => TransportError::Timeout { body_sent: true },
        _ if flaw == Flaw::TakesResetForSuccess => return answered(200),
        _ => TransportError::Reset { body_sent: true },
    })
}

fn exchange(host: &str, request: &PostRequest<'_>, flaw: Flaw) -> io::Result<PostAnswer> {
    let deadline = Instant::now() + request.timeout;
    let limit = match flaw {
        Flaw::ReadsTooMuch => 64 << 20,
        _ => MAX_RESPONSE_BYTES,
    };
    let path = match flaw {
        Flaw::WrongPath => "/v1/trace",
        _ => "/v1/traces",
    };
    let mut stream = TcpStream::connect(host)?;
    let length = request.body.len();
    write!(
        stream,
        "POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(request.body)?;
    let mut bytes = Vec::new();
    let mut piece = vec![0; 64 << 10];
    loop {
        let left = match flaw {
            Flaw::DeadlineForEachRead => request.timeout,
            _ => deadline.saturating_duration_since(Instant::now()),
        };
        if flaw != Flaw::NoDeadline {
            if left.is_zero() {
                return Err(ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
        }
        let read = stream.read(&mut piece)?;
        bytes.extend_from_slice(&piece[..read]);
        if read == 0 || bytes.len() > limit {
            break;
        }
    }
    let (answer, location) = parsed(&bytes).ok_or(ErrorKind::UnexpectedEof)?;
    match location.and_then(|url| url.strip_prefix("http://")?.split('/').next()) {
        Some(host) if flaw == Flaw::FollowsRedirects => exchange(host, request, Flaw::None),
        _ => Ok(answer),
    }
}

/// The answer and its `location`, if it came whole.
fn parsed(bytes: &[u8]) -> Option<(PostAnswer, Option<&str>)> {
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let header = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        Some(fields.find(|(it, _)| it.eq_ignore_ascii_case(name))?.1)
    };
    let length = header("content-length").and_then(|length| length.parse().ok());
    let body = match length {
        Some(length) => Some(bytes.get(end + 4..)?.get(..length)?.to_vec()),
        None => None,
    };
    let answer = PostAnswer::Answered {
        status: head.get(9..12)?.parse().ok()?,
        retry_after: header("retry-after").map(str::to_owned),
        content_type: header("content-type").map(str::to_owned),
        body,
    };
    Some((answer, header("location")))
}
