//! From the pulled body to the bytes on the wire: gzip, or JSON, or neither.
//!
//! The gzip state and all buffers are made once. The result is handed to the client without a
//! copy, and its memory comes back when the client is done with it. Compressing a full batch takes
//! a fraction of a millisecond, so it is done in place and not on a thread of its own.

use std::string::{String, ToString};
use std::sync::Arc;
use std::vec;
use std::vec::Vec;

use bytes::Bytes;
use flate2::{Compress, Compression, FlushCompress, Status};
use spandrel_core::config::Protocol;
use spandrel_core::json;

use crate::Body;

/// Bytes pulled at a time.
const CHUNK: usize = 16 * 1024;
/// Room made for output when there is none left.
const GROWTH: usize = 8 * 1024;
/// Capacity that is kept for the next request; what a single large one needed beyond it is given
/// back.
const KEPT_CAPACITY: usize = 1024 * 1024;
/// The window of zlib, 2^15 bytes.
const WINDOW_BITS: u8 = 15;
/// Measured together with the bytes that it saves: see `Gzip` of the blocking transport.
const DEFAULT_LEVEL: u32 = 1;

/// Makes requests. All memory is used again.
pub(super) struct Encoder {
    gzip: Option<Compress>,
    protocol: Protocol,
    chunk: Vec<u8>,
    protobuf: Vec<u8>,
    json: String,
    output: Arc<Vec<u8>>,
}

impl Encoder {
    /// `gzip` is the level wanted, if any.
    pub(super) fn new(protocol: Protocol, gzip: Option<Option<u32>>) -> Self {
        let compress = |level: Option<u32>| {
            let level = level.unwrap_or(DEFAULT_LEVEL).min(9);
            Compress::new_gzip(Compression::new(level), WINDOW_BITS)
        };
        Self {
            gzip: gzip.map(compress),
            protocol,
            chunk: vec![0; CHUNK],
            protobuf: Vec::new(),
            json: String::new(),
            output: Arc::default(),
        }
    }

    /// The value of `Content-Type` (checklist ).
    pub(super) const fn content_type(&self) -> &'static str {
        match self.protocol {
            Protocol::HttpJson => "application/json",
            _ => "application/x-protobuf",
        }
    }

    /// Whether what [`encode`](Self::encode) makes is gzipped (checklist A-016).
    pub(super) const fn is_gzip(&self) -> bool {
        self.gzip.is_some()
    }

    /// Pulls the whole body and makes it what is sent.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent, without a byte of it.
    pub(super) fn encode<B: Body>(&mut self, body: &mut B) -> Result<Bytes, String> {
        let Self {
            gzip,
            protocol,
            chunk,
            protobuf,
            json,
            output,
        } = self;
        // The client still has the last body only when its future was dropped.
        if Arc::get_mut(output).is_none() {
            *output = Arc::default();
        }
        let mut spare = Vec::new();
        let target = Arc::get_mut(output).unwrap_or(&mut spare);
        target.clear();
        target.shrink_to(KEPT_CAPACITY);
        let is_json = *protocol == Protocol::HttpJson;
        if is_json {
            protobuf.clear();
            pull(body, chunk, |bytes| protobuf.extend_from_slice(bytes));
            json.clear();
            json::export_request(protobuf, json).map_err(|error| error.to_string())?;
        }
        match gzip {
            Some(state) => {
                state.reset();
                let mut result = Ok(());
                let mut feed = |bytes: &[u8]| {
                    if result.is_ok() {
                        result = compress(state, bytes, target);
                    }
                };
                if is_json {
                    feed(json.as_bytes());
                } else {
                    pull(body, chunk, feed);
                }
                result
                    .and_then(|()| finish(state, target))
                    .map_err(|CompressFailed| String::from("compression failed"))?;
            }
            None if is_json => {
                target.extend_from_slice(json.as_bytes());
                // A line of JSON Lines, which is white space to anybody else.
                target.push(b'\n');
            }
            None => pull(body, chunk, |bytes| target.extend_from_slice(bytes)),
        }
        Ok(Bytes::from_owner(Shared(Arc::clone(output))))
    }
}

/// The output, lent to the client.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

fn pull<B: Body>(body: &mut B, chunk: &mut [u8], mut feed: impl FnMut(&[u8])) {
    loop {
        let read = body.read(chunk);
        match chunk.get(..read) {
            Some(bytes) if !bytes.is_empty() => feed(bytes),
            _ => break,
        }
    }
}

/// It cannot happen with the states used here, but what a library calls impossible must not become
/// a panic in an application.
struct CompressFailed;

/// Feeds all of `bytes`. Ends because every turn has room for output, and so makes progress.
fn compress(
    state: &mut Compress,
    mut bytes: &[u8],
    target: &mut Vec<u8>,
) -> Result<(), CompressFailed> {
    while !bytes.is_empty() {
        if target.capacity() - target.len() < GROWTH {
            target.reserve(GROWTH);
        }
        let before = state.total_in();
        state
            .compress_vec(bytes, target, FlushCompress::None)
            .map_err(|_| CompressFailed)?;
        let taken = usize::try_from(state.total_in() - before).unwrap_or(usize::MAX);
        bytes = bytes.get(taken..).unwrap_or_default();
    }
    Ok(())
}

fn finish(state: &mut Compress, target: &mut Vec<u8>) -> Result<(), CompressFailed> {
    loop {
        target.reserve(GROWTH);
        match state.compress_vec(&[], target, FlushCompress::Finish) {
            Ok(Status::StreamEnd) => return Ok(()),
            Ok(Status::Ok | Status::BufError) => {}
            Err(_) => return Err(CompressFailed),
        }
    }
}
