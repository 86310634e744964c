//! The core's encoder with output that is lent to the client without a copy: its
//! memory comes back when the client is done with it.
//!
//! Compressing a full batch takes a fraction of a millisecond, so it is done in place and not on a
//! thread of its own.

use std::sync::Arc;
use std::vec::Vec;

use bytes::Bytes;
use spandrel_core::env::Protocol;
use spandrel_core::hosted::unversioned::encode::{self, Coding, EncodeError};

use crate::Body;

/// Makes requests. All memory is used again.
pub(super) struct Encoder {
    encoder: encode::Encoder,
    output: Arc<Vec<u8>>,
}

impl Encoder {
    pub(super) fn new(protocol: Protocol, coding: Coding) -> Self {
        Self {
            encoder: encode::Encoder::new(protocol, coding),
            output: Arc::default(),
        }
    }

    /// The value of `Content-Type` (checklist ).
    pub(super) fn content_type(&self) -> &'static str {
        self.encoder.content_type()
    }

    /// Whether what [`encode`](Self::encode) makes is gzipped (checklist A-016).
    pub(super) const fn is_gzip(&self) -> bool {
        self.encoder.is_gzip()
    }

    /// Pulls the whole body and makes it what is sent.
    ///
    /// # Errors
    ///
    /// Why it cannot be sent, without a byte of it.
    pub(super) fn encode<B: Body>(&mut self, body: &mut B) -> Result<Bytes, EncodeError> {
        // The client still has the last body only when its future was dropped.
        if Arc::get_mut(&mut self.output).is_none() {
            self.output = Arc::default();
        }
        let mut spare = Vec::new();
        let target = Arc::get_mut(&mut self.output).unwrap_or(&mut spare);
        self.encoder.encode(|chunk| body.read(chunk), target)?;
        Ok(Bytes::from_owner(Shared(Arc::clone(&self.output))))
    }
}

/// The output, lent to the client.
struct Shared(Arc<Vec<u8>>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
