//! What the server does with a request: the vocabulary of a script.

use std::collections::VecDeque;
use std::time::Duration;

/// One scripted behaviour. Each request takes the next one from the script as soon as its head has
/// been read. Unless a variant says otherwise the whole request is read first and the connection
/// stays open afterwards.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Reply {
    /// 200 with an empty protobuf answer: everything accepted.
    Ok,
    /// 200 with any body.
    OkBody {
        /// The body, as it is sent.
        body: Vec<u8>,
        /// The value of `content-type`.
        content_type: String,
    },
    /// Any status with any headers and body. Length is added, content type is not.
    Status {
        /// The status code.
        code: u16,
        /// Further headers, in order, repeated names allowed.
        headers: Vec<(String, String)>,
        /// The body, as it is sent.
        body: Vec<u8>,
    },
    /// 200 with a partial success.
    PartialSuccess {
        /// `rejected_spans`, senseless values included.
        rejected: i64,
        /// `error_message`.
        message: String,
    },
    /// A redirection.
    Redirect {
        /// The status code, 300-399.
        code: u16,
        /// The value of `location`.
        location: String,
    },
    /// 200, announced and real end of the connection.
    ConnectionClose,
    /// 200 on a connection that claims to stay open and is closed after this time.
    OkThenIdleClose(Duration),
    /// Another reply, later.
    Delayed {
        /// The time between the last byte of the request and the reply.
        by: Duration,
        /// What happens then; a delay within a delay adds up.
        then: Box<Reply>,
    },
    /// Read and never answer.
    Hang,
    /// 200, one byte at a time.
    SlowLoris {
        /// The time between two bytes.
        byte_interval: Duration,
    },
    /// Take the body at this speed, with a small receive buffer, then 200.
    SlowRead {
        /// Bytes a second, at least one.
        bytes_per_sec: u32,
    },
    /// RST once the request's head is read.
    ResetAfterHeaders,
    /// RST once this many bytes of the request's body are read, transfer coding removed; a shorter
    /// body is read whole.
    ResetAtBodyByte(u64),
    /// RST once the whole request is read, before a byte of an answer.
    ResetAfterRequest,
    /// RST after this many bytes of a 200, which has about 100.
    ResetInResponse {
        /// Bytes of the answer that still leave.
        after: usize,
    },
    /// FIN in place of an answer, then read on until the client closes.
    HalfClose,
    /// Close in place of an answer. On a reused connection this is what a client meets that loses
    /// the race against the server's idle timer.
    CloseBeforeResponse,
    /// Take the spans, then close in place of an answer: a retry is a duplicate.
    StoreThenDrop,
    /// A 200 whose chunked body ends only when the client closes.
    EndlessBody,
    /// A 200 with this many bytes.
    BigBody {
        /// Length of the body.
        len: u64,
        /// Chunked, or else with `content-length`.
        chunked: bool,
    },
    /// A 200 with `content-encoding: gzip`, asked for or not.
    GzipBomb {
        /// Length once decoded; about 1/1000 of it travels.
        decoded_len: u64,
    },
    /// A 200 with this many headers.
    ManyHeaders {
        /// Headers besides the length.
        count: usize,
    },
    /// A 200 with one header of this many bytes.
    HugeHeader {
        /// Length of the value.
        len: usize,
    },
    /// A 200 whose chunk size is no number.
    BadChunks,
    /// A 200 with both `content-length` and chunked coding, which disagree.
    BothLengthAndChunked,
    /// Interim answers, then 200.
    Informational {
        /// 100-199.
        code: u16,
        /// How many of them.
        count: u64,
    },
    /// Bytes that are no status line, then close.
    GarbageStatusLine,
    /// What an HTTP/2-only server sends to an HTTP/1.1 request: SETTINGS, GOAWAY, close
    ///.
    Http2Only,
}

impl Reply {
    /// A status with neither headers nor a body.
    #[must_use]
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A status with a `retry-after` header for each value.
    #[must_use]
    pub fn retry_after(code: u16, values: &[&str]) -> Self {
        let header = |value: &&str| ("retry-after".to_owned(), (*value).to_owned());
        Self::Status {
            code,
            headers: values.iter().map(header).collect(),
            body: Vec::new(),
        }
    }

    /// This reply, `by` later.
    #[must_use]
    pub fn delayed(self, by: Duration) -> Self {
        Self::Delayed {
            by,
            then: Box::new(self),
        }
    }

    /// Returns true if the collector keeps the spans of a request that it answers like this. A server that
    /// answers 200 in whatever broken way has kept them.
    #[must_use]
    pub fn stores(&self) -> bool {
        match self {
            Self::Status { code, .. } => (200..300).contains(code),
            Self::Delayed { then, .. } => then.stores(),
            Self::Redirect { .. }
            | Self::Hang
            | Self::ResetAfterHeaders
            | Self::ResetAtBodyByte(_)
            | Self::ResetAfterRequest
            | Self::HalfClose
            | Self::CloseBeforeResponse
            | Self::GarbageStatusLine
            | Self::Http2Only => false,
            _ => true,
        }
    }

    /// Returns true if the client learns that they are kept, from an answer that is whole and well-formed.
    #[must_use]
    pub fn acknowledges(&self) -> bool {
        match self {
            Self::Delayed { then, .. } => then.acknowledges(),
            Self::StoreThenDrop
            | Self::ResetInResponse { .. }
            | Self::EndlessBody
            | Self::BadChunks
            | Self::BothLengthAndChunked => false,
            _ => self.stores(),
        }
    }
}

/// A queue of replies and the one for every request after them.
#[derive(Debug, Clone)]
pub struct Script {
    queue: VecDeque<Reply>,
    default: Reply,
}

impl Script {
    /// An empty queue; every request is accepted.
    #[must_use]
    pub fn new() -> Self {
        Self {
            queue: VecDeque::new(),
            default: Reply::Ok,
        }
    }

    /// Adds one reply to the queue.
    #[must_use]
    pub fn then(mut self, reply: Reply) -> Self {
        self.queue.push_back(reply);
        self
    }

    /// Adds the same reply `count` times.
    #[must_use]
    pub fn times(mut self, count: usize, reply: &Reply) -> Self {
        self.queue
            .extend(std::iter::repeat_n(reply, count).cloned());
        self
    }

    /// Sets what answers when the queue is empty.
    #[must_use]
    pub fn otherwise(mut self, reply: Reply) -> Self {
        self.default = reply;
        self
    }

    pub(super) fn push(&mut self, reply: Reply) {
        self.queue.push_back(reply);
    }

    pub(super) fn set_default(&mut self, reply: Reply) {
        self.default = reply;
    }

    pub(super) fn next(&mut self) -> Reply {
        self.queue
            .pop_front()
            .unwrap_or_else(|| self.default.clone())
    }
}

impl Default for Script {
    fn default() -> Self {
        Self::new()
    }
}

/// The same reply to every request.
impl From<Reply> for Script {
    fn from(reply: Reply) -> Self {
        Self::new().otherwise(reply)
    }
}

/// These replies in turn, then [`Reply::Ok`].
impl<const N: usize> From<[Reply; N]> for Script {
    fn from(replies: [Reply; N]) -> Self {
        Self {
            queue: replies.into(),
            default: Reply::Ok,
        }
    }
}
