//! One request: the [`Transmit`] that a driver carries out.

use super::Exporter;
use crate::breaker::Permit;
use crate::request::{Body, BodyCursor, Layout};
use crate::time::Instant;

/// A request to be sent: one POST of [`content_length`](Transmit::content_length) bytes of
/// `application/x-protobuf`, to be read with [`Exporter::read_body`].
///
/// It must come back through [`Exporter::handle_response`] or [`Exporter::cancel`], exactly once.
/// One that is lost is counted as timed out after its deadline.
#[derive(Debug)]
#[must_use = "the batch stays in flight until the transmit is answered"]
pub struct Transmit {
    pub(super) generation: u32,
    pub(super) cursor: BodyCursor,
    pub(super) layout: Layout,
    pub(super) deadline: Instant,
    pub(super) attempt: u32,
}

impl Transmit {
    /// Bytes of the body before compression.
    #[must_use]
    pub const fn content_length(&self) -> usize {
        self.layout.total
    }

    /// Spans in the body.
    #[must_use]
    pub const fn spans(&self) -> usize {
        self.layout.window
    }

    /// When the request must be over; [`Instant::MAX`] = no limit.
    #[must_use]
    pub const fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Which attempt of its batch this is, from 1.
    #[must_use]
    pub const fn attempt(&self) -> u32 {
        self.attempt
    }

    /// Whether the whole body has been read.
    #[must_use]
    pub const fn is_read(&self) -> bool {
        self.cursor.is_at_end()
    }

    /// Reads the body again from its start; the bytes are the same.
    pub const fn rewind(&mut self) {
        self.cursor = BodyCursor::START;
    }
}

/// What the exporter knows of the request in flight.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) permit: Permit,
    /// When it counts as timed out.
    pub(super) expires: Instant,
    pub(super) layout: Layout,
}

impl<B, R> Exporter<B, R>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Copies the next bytes of the body into `target`, which may be of any size; how many were
    /// copied. 0 at the end, and for a request that is no longer in flight.
    ///
    /// Spans may be pushed between two reads.
    pub fn read_body(&self, transmit: &mut Transmit, target: &mut [u8]) -> usize {
        if self.machine.flight.is_none() || transmit.generation != self.machine.generation {
            return 0;
        }
        let Some(batch) = &self.current else {
            return 0;
        };
        let body = Body {
            buffer: &self.buffer,
            lease: &batch.lease,
            entries: self.registry.view(),
        };
        body.read(&transmit.layout, &mut transmit.cursor, target)
    }
}
