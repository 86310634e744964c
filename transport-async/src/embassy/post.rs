//! One POST over a TCP stack, in the caller's memory.
//!
//! ```text
//!  connection kept? ─ no ─▶ connect ─▶ head + body, in pieces ─▶ head of the answer ─▶ its body
//!         └ yes ────────────────────▲                                                   │
//!         ▲                                       whole, and the server keeps it open   │
//!         └─────────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! While a request is under way its connection belongs to the future, and is closed with it: a
//! request that is dropped half-way can never leave a half-read answer to the next one.

use core::fmt;
use core::ops::Range;

use embassy_time::{Duration, Instant, with_timeout};
use embedded_io_async::{Read, Write};
use embedded_nal_async::TcpConnect;
use spandrel_core::response::{MAX_RESPONSE_BYTES, Outcome, Response, TransportError};

use super::collector::{CONTENT_ENCODING, Collector, CollectorError};
use super::http::{Framing, Head, Malformed};
use super::reader::BodyReader;
use crate::embassy::encoding::sealed::EncodeBody as _;
use crate::embassy::encoding::{Encoding, GZIP, Identity, Packed, pack};
use crate::{Body, Post};

/// The least memory of a [`HttpPost`]: enough for the head of our request and for a terse
/// answer's. 1 KiB is comfortable.
pub const MIN_MEMORY_BYTES: usize = 512;

/// The most time for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long an idle connection may be reused: shorter than servers' idle time-outs.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
/// The most bytes of an answer that are read to keep the connection, or to learn that the answer
/// ends at all.
const MOST_READ: usize = 64 * 1024;
/// The most interim answers before the real one.
const MAX_INTERIM: u32 = 8;

const _: () = assert!(MOST_READ < MAX_RESPONSE_BYTES);

/// Posts to one collector, one request at a time, over a connection that is kept open.
///
/// The memory carries the request out piece by piece and then holds the answer. An answer that is
/// larger than the memory is read on and its body forgotten; its status holds.
///
/// Bodies are sent as they are ([`new`](HttpPost::new)), or in gzip:
///
/// ```
/// # use embedded_nal_async::TcpConnect;
/// use spandrel_transport_async::embassy::{Collector, Gzip, HttpPost};
///
/// # fn example(stack: &impl TcpConnect) -> Result<(), Box<dyn std::error::Error>> {
/// let (mut memory, mut window, mut table) = ([0; 1024], [0; 1024], [0; 512]);
/// let collector = Collector::new("192.168.1.5:4318".parse()?, "192.168.1.5:4318");
/// let gzip = Gzip::new(&mut window, &mut table)?;
/// let post = HttpPost::with_encoding(stack, collector, &mut memory, gzip)?;
/// # let _ = post;
/// # Ok(())
/// # }
/// ```
pub struct HttpPost<'a, T: TcpConnect, E: Encoding = Identity> {
    stack: &'a T,
    collector: Collector<'a>,
    encoding: E,
    memory: &'a mut [u8],
    kept: Option<Kept<T::Connection<'a>>>,
    body_sent: bool,
}

struct Kept<C> {
    connection: C,
    since: Instant,
}

/// An answer in the memory.
struct Answer {
    head: Head,
    /// Where the body is, if it could be read whole.
    body: Option<Range<usize>>,
    is_reusable: bool,
}

/// Why there is none.
enum Broken {
    /// The connection ended; whether anything had come back.
    Ended {
        answered: bool,
    },
    Malformed,
    /// The body goes on and on.
    TooLarge(u16),
    /// The head of the request does not fit into the memory.
    NoRoom,
    /// The body came to an end too soon: its request is no longer wanted.
    Withdrawn,
}

impl From<Malformed> for Broken {
    fn from(Malformed: Malformed) -> Self {
        Self::Malformed
    }
}

impl<'a, T: TcpConnect> HttpPost<'a, T> {
    /// A sender to `collector` over `stack`, of bodies as they are.
    ///
    /// # Errors
    ///
    /// The part of `collector` that cannot be sent, or that the head of a request does not fit into
    /// `memory`.
    pub fn new(
        stack: &'a T,
        collector: Collector<'a>,
        memory: &'a mut [u8],
    ) -> Result<Self, CollectorError> {
        Self::with_encoding(stack, collector, memory, Identity)
    }
}

impl<'a, T: TcpConnect, E: Encoding> HttpPost<'a, T, E> {
    /// A sender to `collector` over `stack`.
    ///
    /// A compressed body that fits into `memory` behind the head, which takes about 200 bytes, is
    /// compressed once, a longer one twice.
    ///
    /// # Errors
    ///
    /// The part of `collector` that cannot be sent, or that the head of a request does not fit into
    /// `memory`.
    pub fn with_encoding(
        stack: &'a T,
        collector: Collector<'a>,
        memory: &'a mut [u8],
        encoding: E,
    ) -> Result<Self, CollectorError> {
        collector.validate()?;
        let head = collector.write_head(usize::MAX, Some(GZIP), memory);
        if memory.len() < MIN_MEMORY_BYTES || head.is_none() {
            return Err(CollectorError::Memory);
        }
        Ok(Self {
            stack,
            collector,
            encoding,
            memory,
            kept: None,
            body_sent: false,
        })
    }

    async fn connect(&self) -> Option<T::Connection<'a>> {
        let stack = self.stack;
        let connecting = stack.connect(self.collector.address);
        with_timeout(CONNECT_TIMEOUT, connecting).await.ok()?.ok()
    }

    async fn exchange<B: Body>(
        &mut self,
        connection: &mut T::Connection<'a>,
        body: &mut B,
    ) -> Result<Answer, Broken> {
        self.send(connection, body).await?;
        let (head, len) = self.read_head(connection).await?;
        self.read_body(connection, head, len).await
    }

    async fn send<B: Body>(
        &mut self,
        connection: &mut T::Connection<'a>,
        body: &mut B,
    ) -> Result<(), Broken> {
        let ended = |_| Broken::Ended { answered: false };
        let packed = self.pack(body).await?;
        let (coding, length) = match packed {
            Some(packed) => (Some(GZIP), packed.len),
            None => (None, body.content_length()),
        };
        let head = self.collector.write_head(length, coding, self.memory);
        let mut filled = head.ok_or(Broken::NoRoom)?;
        let (mut left, mut encoder) = (length, None);
        match packed {
            // The body has been read to its end, so that nothing is read below.
            Some(Packed {
                at: Some(at), len, ..
            }) => {
                self.memory.copy_within(at..at + len, filled);
                (filled, left) = (filled + len, 0);
            }
            Some(Packed { at: None, .. }) => encoder = self.encoding.encoder(),
            None => {}
        }
        // The head and the first piece leave together: one segment less on the way.
        loop {
            let room = self.memory.get_mut(filled..).unwrap_or_default();
            let room_len = room.len();
            let count = match &mut encoder {
                Some(encoder) => encoder.read(room, |target| body.read(target)),
                None => body.read(room),
            };
            // A body may claim more than it announced, or than it was given room for.
            left = left
                .checked_sub(count)
                .filter(|_| count <= room_len)
                .ok_or(Broken::Withdrawn)?;
            filled += count;
            let piece = self.memory.get(..filled).unwrap_or_default();
            if piece.is_empty() {
                break;
            }
            connection.write_all(piece).await.map_err(ended)?;
            filled = 0;
        }
        if left > 0 {
            return Err(Broken::Withdrawn);
        }
        // Before the flush: dropped while it waits, the request is with the stack already.
        self.body_sent = true;
        connection.flush().await.map_err(ended)
    }

    /// Compresses the body, if it is to be and gets smaller by that. Unless the result lies in the
    /// memory, the body is at its start afterwards.
    async fn pack<B: Body>(&mut self, body: &mut B) -> Result<Option<Packed>, Broken> {
        let Some(encoder) = self.encoding.encoder() else {
            return Ok(None);
        };
        let plain = body.content_length();
        let head = self.collector.write_head(plain, Some(GZIP), self.memory);
        let head = head.ok_or(Broken::NoRoom)?;
        let packed = pack(encoder, body, self.memory, head, packed_limit(plain)).await;
        if packed.is_some_and(|packed| !packed.is_whole) {
            return Err(Broken::Withdrawn);
        }
        if packed.is_none_or(|packed| packed.at.is_none()) {
            body.rewind();
        }
        Ok(packed)
    }

    /// Reads up to the end of the head of the final answer: it, and how many bytes are there.
    async fn read_head(
        &mut self,
        connection: &mut T::Connection<'a>,
    ) -> Result<(Head, usize), Broken> {
        let (mut len, mut interim, mut answered) = (0, 0, false);
        loop {
            let bytes = self.memory.get(..len).unwrap_or_default();
            match Head::parse(bytes)? {
                Some(head) if head.is_interim() => {
                    interim += 1;
                    if interim > MAX_INTERIM {
                        return Err(Broken::Malformed);
                    }
                    self.memory.copy_within(head.len..len, 0);
                    len -= head.len;
                    continue;
                }
                Some(head) => return Ok((head, len)),
                None => {}
            }
            let room = self.memory.get_mut(len..).unwrap_or_default();
            if room.is_empty() {
                return Err(Broken::Malformed);
            }
            match connection.read(room).await {
                Ok(more) if more > 0 => len += more,
                _ => return Err(Broken::Ended { answered }),
            }
            answered = true;
        }
    }

    /// Reads the body behind the head; `len` bytes of both are there already.
    async fn read_body(
        &mut self,
        connection: &mut T::Connection<'a>,
        head: Head,
        len: usize,
    ) -> Result<Answer, Broken> {
        if matches!(head.framing, Framing::Length(len) if len > MOST_READ as u64) {
            return Err(Broken::TooLarge(head.status));
        }
        let mut reader = BodyReader::new(head.framing);
        let (mut kept, mut fits, mut total) = (head.len, true, 0);
        let (mut unread, mut is_alive) = (head.len..len, true);
        loop {
            let arrived = unread.len();
            let bytes = self.memory.get_mut(unread).unwrap_or_default();
            let Ok((payload, taken)) = reader.take(bytes) else {
                // The status was understood; what follows it cannot be.
                (fits, is_alive) = (false, false);
                break;
            };
            kept += payload;
            is_alive &= taken == arrived;
            if reader.is_done() {
                break;
            }
            total += arrived;
            if total > MOST_READ {
                return Err(Broken::TooLarge(head.status));
            }
            if kept == self.memory.len() {
                (kept, fits) = (head.len, false);
            }
            let room = self.memory.get_mut(kept..).unwrap_or_default();
            match connection.read(room).await {
                Ok(more) if more > 0 => unread = kept..kept.saturating_add(more),
                _ => {
                    fits &= reader.close();
                    is_alive = false;
                    break;
                }
            }
        }
        Ok(Answer {
            is_reusable: is_alive && head.keep_alive,
            body: (fits && !head.is_coded).then_some(head.len..kept),
            head,
        })
    }

    fn text(&self, place: Option<&Range<usize>>) -> Option<&str> {
        core::str::from_utf8(self.memory.get(place?.clone())?).ok()
    }
}

impl<T: TcpConnect, E: Encoding> Post for HttpPost<'_, T, E> {
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
        self.body_sent = false;
        let kept = self.kept.take();
        let kept = kept.filter(|kept| kept.since.elapsed() < IDLE_TIMEOUT);
        let is_reused = kept.is_some();
        let connection = match kept {
            Some(kept) => Some(kept.connection),
            None => self.connect().await,
        };
        let Some(mut connection) = connection else {
            return Outcome::Failed(TransportError::Connect);
        };
        let result = self.exchange(&mut connection, body).await;
        let body_sent = self.body_sent;
        let answer = match result {
            Ok(answer) => answer,
            Err(Broken::TooLarge(status)) => return Outcome::ResponseTooLarge { status },
            Err(broken) => {
                return Outcome::Failed(match broken {
                    // Closed by the server while it was idle (fault N8).
                    Broken::Ended { answered: false } if is_reused => TransportError::Stale,
                    Broken::Ended { .. } => TransportError::Reset { body_sent },
                    Broken::Malformed => TransportError::Protocol,
                    Broken::Withdrawn => TransportError::Cancelled,
                    _ => TransportError::Other,
                });
            }
        };
        if answer.is_reusable {
            self.kept = Some(Kept {
                connection,
                since: Instant::now(),
            });
        }
        let body = answer.body.and_then(|place| self.memory.get(place));
        Outcome::Response(Response {
            status: answer.head.status,
            retry_after: self.text(answer.head.retry_after.as_ref()),
            date: self.text(answer.head.date.as_ref()),
            content_type: self.text(answer.head.content_type.as_ref()),
            body,
        })
    }

    fn body_sent(&self, _: bool) -> bool {
        self.body_sent
    }
}

/// The size that a compressed body must stay below, so that with its header it is smaller than a plain
/// one.
pub(super) const fn packed_limit(plain: usize) -> usize {
    plain.saturating_sub(CONTENT_ENCODING.len() + GZIP.len())
}

impl<T: TcpConnect, E: Encoding> fmt::Debug for HttpPost<'_, T, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpPost")
            .field("collector", &self.collector)
            .field("is_connected", &self.kept.is_some())
            .finish_non_exhaustive()
    }
}
