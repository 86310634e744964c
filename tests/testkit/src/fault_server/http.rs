//! Reading one HTTP/1.1 request after the other from a connection.
//!
//! `httparse` reads heads and chunk sizes; here is only the buffering and the counting around it.

use std::io::{self, Read};

/// A head longer than this is not a request that a test meant to send.
const MAX_HEAD: usize = 256 * 1024;
const MAX_HEADERS: usize = 256;
const PIECE: usize = 16 * 1024;

/// How a request gives the length of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// A request without its body.
#[derive(Debug, Clone)]
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) framing: Framing,
    pub(super) keep_alive: bool,
    pub(super) expects_continue: bool,
}

/// A connection's incoming bytes, those read too early included.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    buffer: Vec<u8>,
}

impl Incoming {
    /// Reads the next head; `None` if the client closed between two requests.
    pub(super) fn head(&mut self, stream: &mut impl Read) -> io::Result<Option<Head>> {
        loop {
            if let Some((head, length)) = parse_head(&self.buffer)? {
                self.buffer.drain(..length);
                return Ok(Some(head));
            }
            if self.buffer.len() > MAX_HEAD {
                return Err(bad("the head is too long"));
            }
            if !self.fill(stream)? {
                return match self.buffer.is_empty() {
                    true => Ok(None),
                    false => Err(io::ErrorKind::UnexpectedEof.into()),
                };
            }
        }
    }

    /// Reads into the buffer; false at the end of the stream.
    fn fill(&mut self, stream: &mut impl Read) -> io::Result<bool> {
        let mut piece = [0; PIECE];
        let read = stream.read(&mut piece)?;
        self.buffer
            .extend_from_slice(piece.get(..read).unwrap_or_default());
        Ok(read > 0)
    }

    /// Takes between one and `limit` bytes.
    fn take(&mut self, stream: &mut impl Read, limit: u64) -> io::Result<Vec<u8>> {
        if self.buffer.is_empty() && !self.fill(stream)? {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.buffer.drain(..limit.min(self.buffer.len())).collect())
    }

    fn chunk_size(&mut self, stream: &mut impl Read) -> io::Result<u64> {
        loop {
            match httparse::parse_chunk_size(&self.buffer) {
                Ok(httparse::Status::Complete((length, size))) => {
                    self.buffer.drain(..length);
                    return Ok(size);
                }
                Ok(httparse::Status::Partial) if self.fill(stream)? => {}
                Ok(httparse::Status::Partial) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(_) => return Err(bad("not a chunk size")),
            }
        }
    }

    /// Takes a line; trailers and the ends of chunks are lines.
    fn line(&mut self, stream: &mut impl Read) -> io::Result<Vec<u8>> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.buffer.drain(..=end).collect();
                line.truncate(line.trim_ascii_end().len());
                return Ok(line);
            }
            if self.buffer.len() > MAX_HEAD || !self.fill(stream)? {
                return Err(bad("a line without an end"));
            }
        }
    }
}

/// A request's body as it comes in.
#[derive(Debug)]
pub(super) struct Body {
    framing: Framing,
    left: u64,
    inside_chunk: bool,
    done: bool,
}

impl Body {
    pub(super) fn new(framing: Framing) -> Self {
        let left = match framing {
            Framing::Length(length) => length,
            Framing::Chunked => 0,
        };
        Self {
            framing,
            left,
            inside_chunk: false,
            done: framing == Framing::Length(0),
        }
    }

    /// Returns true if the last byte has been read.
    pub(super) fn is_done(&self) -> bool {
        self.done
    }

    /// Reads the next bytes, at most `limit`; nothing at the end of the body or at a limit of zero.
    pub(super) fn piece(
        &mut self,
        incoming: &mut Incoming,
        stream: &mut impl Read,
        limit: u64,
    ) -> io::Result<Vec<u8>> {
        if self.done || limit == 0 {
            return Ok(Vec::new());
        }
        if self.framing == Framing::Chunked && self.left == 0 {
            self.next_chunk(incoming, stream)?;
            if self.done {
                return Ok(Vec::new());
            }
        }
        let piece = incoming.take(stream, limit.min(self.left))?;
        self.left = self.left.saturating_sub(piece.len() as u64);
        if self.left == 0 && self.framing != Framing::Chunked {
            self.done = true;
        }
        Ok(piece)
    }

    fn next_chunk(&mut self, incoming: &mut Incoming, stream: &mut impl Read) -> io::Result<()> {
        if self.inside_chunk && !incoming.line(stream)?.is_empty() {
            return Err(bad("a chunk longer than its size"));
        }
        self.left = incoming.chunk_size(stream)?;
        self.inside_chunk = self.left > 0;
        if self.left == 0 {
            while !incoming.line(stream)?.is_empty() {}
            self.done = true;
        }
        Ok(())
    }
}

fn parse_head(bytes: &[u8]) -> io::Result<Option<(Head, usize)>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut request = httparse::Request::new(&mut headers);
    let length = match request.parse(bytes) {
        Ok(httparse::Status::Complete(length)) => length,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(error) => return Err(bad(&error.to_string())),
    };
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|header| {
            let value = String::from_utf8_lossy(header.value);
            (header.name.to_owned(), value.into_owned())
        })
        .collect();
    let has = |name: &str, token: &str| {
        headers.iter().any(|(other, value)| {
            let mut tokens = value.split(',');
            other.eq_ignore_ascii_case(name)
                && tokens.any(|other| other.trim().eq_ignore_ascii_case(token))
        })
    };
    let head = Head {
        method: request.method.unwrap_or_default().to_owned(),
        target: request.path.unwrap_or_default().to_owned(),
        framing: framing(&headers, has("transfer-encoding", "chunked"))?,
        keep_alive: request.version == Some(1) && !has("connection", "close"),
        expects_continue: has("expect", "100-continue"),
        headers,
    };
    Ok(Some((head, length)))
}

/// The framing, strict about what a sender of ours must never produce.
fn framing(headers: &[(String, String)], chunked: bool) -> io::Result<Framing> {
    let mut lengths = headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    match (lengths.next(), lengths.next(), chunked) {
        (None, _, true) => Ok(Framing::Chunked),
        (None, _, false) => Ok(Framing::Length(0)),
        (Some((_, length)), None, false) => match length.parse() {
            Ok(length) => Ok(Framing::Length(length)),
            Err(_) => Err(bad("content-length is not a number")),
        },
        _ => Err(bad("the length of the body is told twice")),
    }
}

fn bad(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
