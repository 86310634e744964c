//! Is this transport right? A POST over a plain socket, played against every rule of the test kit.
//!
//! ```text
//! cargo run --example conformance
//! ```
//!
//! The function between the two marks is all there is of the transport. `spandrel-testkit` drives it
//! against a collector that answers by script, and prints which rules it meets. Take a line out, the
//! time limit for instance, and see what it says then.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::ExitCode;
use std::time::Instant;

use spandrel_core::response::{MAX_RESPONSE_BYTES, TransportError};
use spandrel_examples::println;
use spandrel_testkit::conformance::{PostAnswer, PostRequest, PostTransport, check};

// ---- the transport: from here ----

fn post(request: &PostRequest<'_>) -> PostAnswer {
    exchange(request).unwrap_or_else(|error| {
        PostAnswer::Failed(match error.kind() {
            ErrorKind::ConnectionRefused => TransportError::Connect,
            ErrorKind::WouldBlock | ErrorKind::TimedOut => {
                TransportError::Timeout { body_sent: true }
            }
            _ => TransportError::Reset { body_sent: true },
        })
    })
}

fn exchange(request: &PostRequest<'_>) -> io::Result<PostAnswer> {
    let deadline = Instant::now() + request.timeout;
    let host = request.endpoint.trim_start_matches("http://");
    let length = request.body.len();
    let mut stream = TcpStream::connect(host)?;
    stream.set_write_timeout(Some(request.timeout))?;
    write!(
        stream,
        "POST /v1/traces HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/x-protobuf\r\n\
         Content-Length: {length}\r\nConnection: close\r\n\r\n"
    )?;
    stream.write_all(request.body)?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        // One limit for all reads: an answer that trickles must not outlive it.
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        let read = stream.read(&mut piece)?;
        answer.extend_from_slice(&piece[..read]);
        if read == 0 || answer.len() > MAX_RESPONSE_BYTES {
            return parsed(&answer).ok_or_else(|| ErrorKind::UnexpectedEof.into());
        }
    }
}

/// The answer, unless it broke off.
fn parsed(answer: &[u8]) -> Option<PostAnswer> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let (head, body) = answer.split_at(end + 4);
    let head = str::from_utf8(head).ok()?;
    let header = |name: &str| {
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.find_map(|(field, value)| field.eq_ignore_ascii_case(name).then_some(value))
    };
    let body = match header("content-length") {
        Some(length) => Some(body.get(..length.parse().ok()?)?.to_vec()),
        None => None, // in chunks: the status holds all the same
    };
    Some(PostAnswer::Answered {
        status: head.get(9..12)?.parse().ok()?,
        retry_after: header("retry-after").map(str::to_owned),
        content_type: header("content-type").map(str::to_owned),
        body,
    })
}

// ---- to here ----

fn main() -> ExitCode {
    let report = check(&mut PostTransport::new(post));
    println!("{report}");
    if report.is_conformant() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
