//! Answers that are wrong in every way, at the bare-metal transport: what is understood holds, what
//! is not is a failure, nothing is read without end, and the connection is never used again.
//!
//! The answers are bytes of a stack in memory, given in pieces of every size. The faults
//! that need a socket or time are in [`crate::embassy`].

use core::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use spandrel_core::prelude::*;
use spandrel_core::response::{classify, retry_after};
use spandrel_core::time::UnixNanos;
use spandrel_tests::fault_server::Reply;
use spandrel_transport_async::Post;
use spandrel_transport_async::embassy::{Collector, HttpPost, MIN_MEMORY_BYTES};

use crate::embassy::{assert_all_delivered, export_to};
use crate::embassy_gzip::Bytes;
use crate::scripted::Scripted;
use crate::support::block_on;

/// An [`Outcome`] that owns its texts.
#[derive(Clone, Debug, PartialEq)]
enum Got {
    Answer {
        status: u16,
        body: Option<Vec<u8>>,
        retry_after: Option<String>,
        date: Option<String>,
    },
    TooLarge(u16),
    Failed(TransportError),
}

impl From<Outcome<'_>> for Got {
    fn from(outcome: Outcome<'_>) -> Self {
        match outcome {
            Outcome::Response(response) => Self::Answer {
                status: response.status,
                body: response.body.map(<[u8]>::to_vec),
                retry_after: response.retry_after.map(Into::into),
                date: response.date.map(Into::into),
            },
            Outcome::ResponseTooLarge { status } => Self::TooLarge(status),
            Outcome::Failed(error) => Self::Failed(error),
        }
    }
}

fn answer(status: u16, body: &[u8]) -> Got {
    answer_or_none(status, Some(body))
}

/// An answer whose body could not be read.
fn unreadable(status: u16) -> Got {
    answer_or_none(status, None)
}

fn answer_or_none(status: u16, body: Option<&[u8]>) -> Got {
    Got::Answer {
        status,
        body: body.map(<[u8]>::to_vec),
        retry_after: None,
        date: None,
    }
}

const RESET: Got = Got::Failed(TransportError::Reset { body_sent: true });
const PROTOCOL: Got = Got::Failed(TransportError::Protocol);

/// Posts once for each of `answers`, which come in pieces of `step` bytes: the outcomes, and how
/// many connections that took.
fn post_in(step: usize, answers: &[&[u8]]) -> (Vec<Got>, usize) {
    let stack = Scripted::new(step, answers.iter().copied());
    let mut memory = [0; MIN_MEMORY_BYTES];
    let collector = Collector::new("127.0.0.1:4318".parse().unwrap(), "device");
    let mut post = HttpPost::new(&stack, collector, &mut memory).unwrap();
    let got = answers
        .iter()
        .map(|_| block_on(post.post(&mut Bytes::new(vec![7; 40]))).into())
        .collect();
    (got, stack.taken().len())
}

/// The outcome of `first`, whatever its pieces, and whether its connection serves a second request.
fn post(first: impl AsRef<[u8]>) -> (Got, bool) {
    const SECOND: &[u8] = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n";
    let of = |step| {
        let (got, connections) = post_in(step, &[first.as_ref(), SECOND]);
        assert_eq!(got[1], answer(202, b""), "after {:?}", got[0]);
        (got[0].clone(), connections == 1)
    };
    let [whole, others @ ..] = [100_000, 1, 2, 3, 7, 64, 511].map(of);
    assert!(
        others.iter().all(|other| *other == whole),
        "{whole:?} or {others:?}"
    );
    whole
}

#[test]
fn s16_a_head_that_does_not_fit_is_a_failure() {
    for head in [
        format!(
            "HTTP/1.1 200 OK\r\nx: {}\r\n\r\n",
            "y".repeat(MIN_MEMORY_BYTES)
        ),
        format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(100)),
        format!("HTTP/1.1 200 {}", "K".repeat(100_000)),
        format!("HTTP/1.1 200 OK\r\n{}", " ".repeat(100_000)),
    ] {
        let (got, is_reused) = post(&head);
        assert!(got == PROTOCOL && !is_reused, "{got:?}: {head:.40}");
    }
    // Thirty-two headers are read, one more is not.
    let head = |count| {
        format!(
            "HTTP/1.1 200 OK\r\n{}content-length: 0\r\n\r\n",
            "a:b\r\n".repeat(count)
        )
    };
    assert_eq!(post(head(31)), (answer(200, b""), true));
    assert_eq!(post(head(32)), (PROTOCOL, false));
}

#[test]
fn n6_a_connection_that_ends_in_the_head_is_lost() {
    let head = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    for cut in 0..head.len() {
        assert_eq!(post(&head[..cut]), (RESET, false), "{cut}");
    }
    assert_eq!(post(head), (answer(200, b""), true));
}

#[test]
fn n8_a_kept_connection_that_ends_at_once_was_stale() {
    let whole: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let (got, connections) = post_in(100, &[whole, b"", whole]);
    let stale = Got::Failed(TransportError::Stale);
    assert_eq!(got, [answer(200, b""), stale, answer(200, b"")]);
    assert_eq!(connections, 2);
    // Had it begun to answer, it was not.
    let (got, _) = post_in(100, &[whole, b"H", whole]);
    assert_eq!(got[1], RESET);
}

#[test]
fn s14_s16_chunks_that_are_none_leave_the_status() {
    for (chunks, body, is_reused) in [
        ("3\r\nabc\r\n0\r\n\r\n", "abc", true),
        ("3;x=y\r\nabc\r\n0\r\nTrailer: z\r\n\r\n", "abc", true),
        ("3\r\nabc\r\n", "", false),
        ("zz\r\nabc\r\n0\r\n\r\n", "", false),
        ("-3\r\nabc\r\n0\r\n\r\n", "", false),
        ("3\r\nabcdef\r\n0\r\n\r\n", "", false),
        ("ffffffffffffffff\r\nabc", "", false),
        ("0x3\r\nabc\r\n0\r\n\r\n", "", false),
        ("\r\n\r\n", "", false),
        ("\0\0\0", "", false),
    ] {
        let wire = format!("HTTP/1.1 503 no\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}");
        let expected = match body {
            "" => unreadable(503),
            body => answer(503, body.as_bytes()),
        };
        assert_eq!(post(&wire), (expected, is_reused), "{chunks:?}");
    }
    // Garbage without end is cut too.
    for (first, rest) in [("", "1\r\nx\r\n"), ("0\r\n", "a: b\r\n"), ("5;", "x")] {
        let wire = format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{first}{}",
            rest.repeat(100_000)
        );
        let (got, is_reused) = post(&wire);
        let is_cut = got == unreadable(200) || got == Got::TooLarge(200);
        assert!(is_cut && !is_reused, "{rest:?}: {got:?}");
    }
}

#[test]
fn s14_a_body_that_is_announced_too_long_is_not_read() {
    for length in ["65537", "4294967296", "18446744073709551615"] {
        let wire = format!("HTTP/1.1 400 no\r\nContent-Length: {length}\r\n\r\nx");
        assert_eq!(post(&wire), (Got::TooLarge(400), false), "{length}");
    }
    for length in ["18446744073709551616", "-1", "1e3", "0x10", "1, 1", ""] {
        let wire = format!("HTTP/1.1 400 no\r\nContent-Length: {length}\r\n\r\nx");
        assert_eq!(post(&wire), (PROTOCOL, false), "{length:?}");
    }
}

#[test]
fn s17_interim_answers_are_skipped() {
    let last = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n\x0a\x00";
    let interim = "HTTP/1.1 100 Continue\r\n\r\n";
    let early = "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\nContent-Length: 9\r\n\r\n";
    for count in 0..=8 {
        let wire = format!("{}{last}", interim.repeat(count));
        assert_eq!(post(&wire), (answer(200, b"\x0a\x00"), true), "{count}");
    }
    assert_eq!(
        post(format!("{interim}{early}{last}")).0,
        answer(200, b"\x0a\x00")
    );
    assert_eq!(
        post(format!("{}{last}", interim.repeat(9))),
        (PROTOCOL, false)
    );
    assert_eq!(post(interim), (RESET, false), "and nothing else");
}

#[test]
fn n9_an_answer_in_http_1_0_ends_with_the_connection() {
    let wire = b"HTTP/1.0 200 OK\r\nDate: now\r\n\r\n\x0a\x00";
    let Got::Answer {
        status, body, date, ..
    } = post(wire).0
    else {
        panic!("no answer");
    };
    assert_eq!(
        (status, body.as_deref(), date.as_deref()),
        (200, Some(&b"\x0a\x00"[..]), Some("now"))
    );
    assert!(!post(wire).1);
    // With a length it is whole, and its connection is not trusted either.
    for headers in [
        "Content-Length: 0",
        "Content-Length: 0\r\nConnection: keep-alive",
    ] {
        let wire = format!("HTTP/1.0 200 OK\r\n{headers}\r\n\r\n");
        assert_eq!(post(&wire), (answer(200, b""), false), "{headers}");
    }
    // HTTP/1.1 that says so.
    let wire = b"HTTP/1.1 200 OK\r\nConnection: foo, CLOSE\r\nContent-Length: 0\r\n\r\n";
    assert_eq!(post(wire), (answer(200, b""), false));
}

#[test]
fn a_body_that_breaks_off_is_unreadable_and_its_status_holds() {
    let whole = b"HTTP/1.1 429 no\r\nContent-Length: 9\r\n\r\n123456789";
    for missing in 1..=9 {
        let cut = &whole[..whole.len() - missing];
        assert_eq!(post(cut), (unreadable(429), false), "{missing}");
    }
    // More than was announced: the connection is out of step.
    let more = [&whole[..], b"HTTP/1.1 200 OK"].concat();
    assert_eq!(post_in(100_000, &[&more, b"HTTP/1.1 200 OK\r\n\r\n"]).1, 2);
    let coded = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x0a\x00";
    assert_eq!(
        post(coded),
        (unreadable(200), true),
        "nobody asked for a coding"
    );
}

#[test]
fn s2_both_forms_of_retry_after_reach_the_machine() {
    let now = Some(UnixNanos::from_secs(784_111_770));
    for (headers, pause) in [
        ("Retry-After: 7", Some(7)),
        ("Retry-After:\t 7 ", Some(7)),
        // Against the server's own clock when it tells it, else against ours.
        (
            "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\nRetry-After: Sun, 06 Nov 1994 08:49:49 GMT",
            Some(12),
        ),
        ("Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
        (
            "Date: long ago\r\nRetry-After: Sun, 06 Nov 1994 08:49:37 GMT",
            Some(7),
        ),
        ("Retry-After: soon", None),
        ("Retry-After: -1", None),
        ("Retry-After: 7\r\nRetry-After: 9", Some(7)),
        ("Date: Sun, 06 Nov 1994 08:49:37 GMT", None),
    ] {
        let wire = format!("HTTP/1.1 503 no\r\n{headers}\r\nContent-Length: 0\r\n\r\n");
        let (got, is_reused) = post(&wire);
        let Got::Answer {
            status: 503,
            retry_after: value,
            date,
            ..
        } = got
        else {
            panic!("{got:?}");
        };
        let found = value.and_then(|value| retry_after(&value, date.as_deref(), now));
        assert_eq!(found, pause.map(Duration::from_secs), "{headers}");
        assert!(is_reused && classify(&Outcome::Response(Response::new(503))).retry);
    }
}

/// Answers of all framings, to be damaged.
const SEEDS: [&[u8]; 5] = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: application/x-protobuf\r\n\r\n\x0a\x02\x08\x01",
    b"HTTP/1.1 503 no\r\nRetry-After: 7\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n\
      Transfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n0a\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 429 no\r\nConnection: close\r\n\r\nlater",
    b"HTTP/1.0 200 OK\r\n\r\n\x0a\x00",
    b"HTTP/1.1 204 No Content\nContent-Encoding: gzip\n\n",
];

proptest! {
    /// However an answer is damaged and cut, reading it ends, and what is understood of it does not
    /// depend on the pieces in which it came.
    #[test]
    fn damaged_answers_are_read_alike_in_any_pieces(
        seed in 0..SEEDS.len(),
        damage in vec((any::<Index>(), 0..4_u8, any::<u8>()), 0..6),
        steps in [1..20_usize, 1..200],
    ) {
        let mut wire = SEEDS[seed].to_vec();
        for (place, kind, byte) in damage {
            let at = place.index(wire.len());
            match kind {
                0 => wire[at] = byte,
                1 => wire.insert(at, byte),
                2 => { wire.remove(at); }
                _ => wire.truncate(at + 1),
            }
            if wire.is_empty() {
                wire.push(byte);
            }
        }
        let first = |step| post_in(step, &[&wire]).0.remove(0);
        let whole = first(100_000);
        for step in steps {
            prop_assert_eq!(&first(step), &whole);
        }
    }
}

#[test]
fn n4_n5_n6_slow_and_broken_servers_meet_the_deadline_and_lose_nothing() {
    for reply in [
        Reply::SlowLoris {
            byte_interval: Duration::from_millis(40),
        },
        Reply::SlowRead { bytes_per_sec: 100 },
        Reply::ResetAfterHeaders,
        Reply::ResetAtBodyByte(1),
        Reply::StoreThenDrop,
        Reply::Ok.delayed(Duration::from_secs(3)),
    ] {
        let begin = std::time::Instant::now();
        let (server, device) = export_to([reply.clone()]);
        assert_eq!(
            device.ledger().exported,
            11,
            "{reply:?}: {}",
            device.ledger()
        );
        assert!(server.oracle().missing().is_empty(), "{reply:?}");
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(10), "{reply:?}: {took:?}");
    }
}

#[test]
fn n8_a_connection_that_was_closed_while_idle_costs_no_wait() {
    let (server, device) = export_to([Reply::OkThenIdleClose(Duration::ZERO)]);
    assert_all_delivered(&server, &device);
    assert_eq!(server.counters().accepted, 2);
}
