//! The core's encoder with output that is lent to the client without a copy: its memory comes back
//! when the client is done with it.
//!
//! Compressing a full batch takes a fraction of a millisecond, so it is done in place and not on a
//! thread of its own.

use std::sync::Arc;
use std::vec::Vec;

use bytes::Bytes;
use spandrel_core::env::Protocol;
use spandrel_core::hosted::unversioned::encode::{Coding, EncodeError, RequestEncoder};

/// Makes the bytes of requests. All memory is used again.
pub(super) struct LendingEncoder {
    encoder: RequestEncoder,
    output: Arc<Vec<u8>>,
}

impl LendingEncoder {
    pub(super) fn new(protocol: Protocol, coding: Coding) -> Self {
        Self {
            encoder: RequestEncoder::new(protocol, coding),
            output: Arc::default(),
        }
    }

    pub(super) fn content_type(&self) -> &'static str {
        self.encoder.content_type()
    }

    pub(super) const fn is_gzip(&self) -> bool {
        self.encoder.is_gzip()
    }

    pub(super) const fn set_plain(&mut self, is_plain: bool) {
        self.encoder.set_plain(is_plain);
    }

    /// Encodes everything that `source` gives, as [`RequestEncoder::encode`].
    pub(super) fn encode(
        &mut self,
        source: impl FnMut(&mut [u8]) -> usize,
    ) -> Result<Bytes, EncodeError> {
        // The client still has the last body only when its future was dropped.
        if Arc::get_mut(&mut self.output).is_none() {
            self.output = Arc::default();
        }
        let mut spare = Vec::new();
        let target = Arc::get_mut(&mut self.output).unwrap_or(&mut spare);
        self.encoder.encode(source, target)?;
        Ok(Bytes::from_owner(Lent(Arc::clone(&self.output))))
    }
}

/// The output, lent to the client.
struct Lent(Arc<Vec<u8>>);

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}
