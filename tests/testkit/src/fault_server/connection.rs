//! One accepted connection: handshake, then request after request through the script.

use std::io::{self, Read, Write};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use socket2::SockRef;

use crate::loopback::{Gate, Socket};

use super::answer::{self, After};
use super::http::{Body, Head, Incoming};
use super::reply::Reply;
use super::request::Request;
use super::secure::Secure;
use super::{Front, Shared};

/// What an HTTP server says to a TLS handshake.
const PLAIN_ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
const RECEIVE_BUFFER_WHEN_SLOW: usize = 4096;
const PIECES_PER_SECOND: u32 = 20;

pub(super) struct Connection<'a> {
    number: u64,
    shared: &'a Shared,
    gate: &'a Gate,
    wire: Wire<'a>,
    incoming: Incoming,
}

impl<'a> Connection<'a> {
    /// Greets the client as the front wants it; `None` if that already ended the connection.
    pub(super) fn open(
        number: u64,
        mut socket: Socket,
        shared: &'a Shared,
        gate: &'a Gate,
    ) -> Option<Self> {
        let plain = socket.clone();
        let tls = match &shared.front {
            Front::Plain => None,
            #[cfg(feature = "tls")]
            Front::Tls(config) => match Secure::handshake(config.clone(), socket) {
                Ok(stream) => Some(Box::new(stream)),
                Err(error) => {
                    shared.note_handshake_failure(&error);
                    return None;
                }
            },
            Front::StalledHandshake => {
                drain(&mut socket);
                return None;
            }
            Front::GarbageHandshake => {
                answer_hello(&mut socket, PLAIN_ANSWER);
                return None;
            }
            Front::Tls11 => {
                answer_hello(&mut socket, &tls11_hello());
                return None;
            }
        };
        Some(Self {
            number,
            shared,
            gate,
            wire: Wire { plain, tls, shared },
            incoming: Incoming::default(),
        })
    }

    /// Serves until one side ends it.
    pub(super) fn serve(mut self) {
        let mut served = 0;
        loop {
            let end = match self.incoming.head(&mut self.wire) {
                Ok(Some(head)) => {
                    served += 1;
                    match self.exchange(&head, served) {
                        Ok(After::Open) if head.keep_alive => continue,
                        end => end,
                    }
                }
                Ok(None) => Ok(After::Close),
                Err(error) => Err(error),
            };
            match end {
                Ok(After::Open | After::Close) => self.wire.finish(),
                Ok(After::Reset) => self.wire.plain.reset_on_close(),
                Ok(After::HalfClose) => {
                    self.wire.finish();
                    drain(&mut self.wire);
                }
                Ok(After::Wait) => drain(&mut self.wire),
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    self.shared.bad_requests.fetch_add(1, Relaxed);
                }
                Err(_) => {}
            }
            return;
        }
    }

    /// Reads one request as its reply demands, records it, and replies.
    fn exchange(&mut self, head: &Head, served: u64) -> io::Result<After> {
        let (reply, delay) = undelayed(self.shared.next_reply());
        let mut request = Request::new(head, self.number, served);
        if reply == Reply::ResetAfterHeaders {
            self.shared.record(request);
            return Ok(After::Reset);
        }
        if head.expects_continue {
            self.wire.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let mut body = Body::new(head.framing);
        let mut bytes = Vec::new();
        let read = self.read_body(&reply, &mut body, &mut bytes);
        request.finish(bytes, body.is_done());
        if read.is_err() || matches!(reply, Reply::ResetAtBodyByte(_)) {
            self.shared.record(request);
            return read.map(|()| After::Reset);
        }
        if reply.stores() {
            self.shared.oracle.store(&request);
        }
        let request = self.shared.record(request);
        if !self.gate.pause(delay) || self.wire.client_is_gone() {
            return Ok(After::Close);
        }
        if !reply.acknowledges() {
            return answer::write(&reply, &mut self.wire, self.gate);
        }
        self.shared.oracle.acknowledge(&request);
        let written = answer::write(&reply, &mut self.wire, self.gate);
        if written.is_err() {
            self.shared.oracle.retract(&request);
        }
        written
    }

    fn read_body(&mut self, reply: &Reply, body: &mut Body, into: &mut Vec<u8>) -> io::Result<()> {
        let mut left = match reply {
            Reply::ResetAtBodyByte(byte) => *byte,
            _ => u64::MAX,
        };
        let pace = match reply {
            Reply::SlowRead { bytes_per_sec } => Some((*bytes_per_sec).max(1)),
            _ => None,
        };
        if pace.is_some() {
            let _ = SockRef::from(self.wire.plain.stream())
                .set_recv_buffer_size(RECEIVE_BUFFER_WHEN_SLOW);
        }
        while !body.is_done() && left > 0 {
            let limit = pace.map_or(left, |rate| u64::from(rate.div_ceil(PIECES_PER_SECOND)));
            let piece = body.piece(&mut self.incoming, &mut self.wire, limit)?;
            left = left.saturating_sub(piece.len() as u64);
            into.extend_from_slice(&piece);
            if let Some(rate) = pace {
                let size = u32::try_from(piece.len()).unwrap_or(u32::MAX);
                if !self.gate.pause(Duration::from_secs(size.into()) / rate) {
                    return Err(io::ErrorKind::Interrupted.into());
                }
            }
        }
        Ok(())
    }
}

/// Takes the delays off a reply and adds them up.
fn undelayed(mut reply: Reply) -> (Reply, Duration) {
    let mut delay = Duration::ZERO;
    while let Reply::Delayed { by, then } = reply {
        delay = delay.saturating_add(by);
        reply = *then;
    }
    (reply, delay)
}

/// Waits for the client's first bytes, then answers them and closes.
fn answer_hello(socket: &mut Socket, answer: &[u8]) {
    if socket.read(&mut [0; 16 * 1024]).is_ok_and(|read| read > 0) {
        let _ = socket.write_all(answer);
        socket.finish_writing();
        drain(socket);
    }
}

/// A ServerHello that picks TLS 1.1 and AES128-SHA. No maintained library still speaks TLS 1.1, and
/// a client that refuses it gets no further than this message.
fn tls11_hello() -> Vec<u8> {
    let mut hello = vec![0x16, 0x03, 0x02, 0, 42, 0x02, 0, 0, 38, 0x03, 0x02];
    hello.extend_from_slice(&[0x5a; 32]);
    hello.extend_from_slice(&[0, 0x00, 0x2f, 0]);
    hello
}

/// Reads and forgets until the client closes or the server stops.
fn drain(stream: &mut impl Read) {
    while stream.read(&mut [0; 16 * 1024]).is_ok_and(|read| read > 0) {}
}

/// The connection's bytes, through TLS or not, with what leaves counted.
struct Wire<'a> {
    plain: Socket,
    tls: Option<Box<Secure>>,
    shared: &'a Shared,
}

impl Wire<'_> {
    /// Sends what an orderly server sends at the end of its side.
    fn finish(&mut self) {
        if let Some(tls) = &mut self.tls {
            tls.close_notify();
        }
        self.plain.finish_writing();
    }

    /// Returns true if the client has closed meanwhile. Writing would succeed all the same, and a test
    /// would count an answer that nobody read. Under TLS this cannot be seen from outside.
    fn client_is_gone(&self) -> bool {
        let stream = self.plain.stream();
        if self.tls.is_some() || stream.set_nonblocking(true).is_err() {
            return false;
        }
        let seen = stream.peek(&mut [0]);
        let _ = stream.set_nonblocking(false);
        match seen {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.tls {
            Some(tls) => tls.read(buffer),
            None => self.plain.read(buffer),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.tls {
            Some(tls) => tls.write(bytes),
            None => self.plain.write(bytes),
        }?;
        self.shared
            .response_bytes
            .fetch_add(written as u64, Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.tls {
            Some(tls) => tls.flush(),
            None => self.plain.flush(),
        }
    }
}
