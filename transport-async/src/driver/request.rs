//! The request under way: the token that must be answered exactly once, also when its future dies.

#[cfg(panic = "unwind")]
use core::sync::atomic::{AtomicBool, Ordering};
use core::task::Poll;

use spandrel_core::exporter::Transmit;
use spandrel_core::response::{Outcome, Response, TransportError};
use spandrel_core::time::Instant;

use super::{Outbox, Post, Sleep};

/// A body that is pulled, so that it can be compressed or sent in pieces of any size.
pub trait Body {
    /// Bytes of the whole body.
    fn content_length(&self) -> usize;
    /// Copies the next bytes into `target` and returns their number, 0 at the end.
    fn read(&mut self, target: &mut [u8]) -> usize;
    /// Returns true if the whole body has been read.
    fn is_read(&self) -> bool;
    /// Reads from the start again; the bytes are the same.
    fn rewind(&mut self);
    /// When the request must be over; [`Instant::MAX`] = no limit. The driver enforces it.
    fn deadline(&self) -> Instant;
}

/// A [`Transmit`] that goes back into its outbox when it is dropped without an answer.
pub(super) struct Request<'a, O: Outbox, S: Sleep> {
    outbox: &'a O,
    sleep: &'a S,
    /// Taken when it is answered.
    transmit: Option<Transmit>,
    /// Bytes of the body that its sender has not read.
    unread: usize,
    polling: &'a Polling,
}

/// Notes whether a future is being polled, so that what a panic drops can be told from what its
/// owner drops.
#[derive(Default)]
pub(super) struct Polling(#[cfg(panic = "unwind")] AtomicBool);

impl Polling {
    pub(super) fn poll<T>(&self, poll: impl FnOnce() -> Poll<T>) -> Poll<T> {
        self.set(true);
        let polled = poll();
        self.set(false);
        polled
    }

    #[cfg(panic = "unwind")]
    fn set(&self, is_polling: bool) {
        self.0.store(is_polling, Ordering::Relaxed);
    }

    /// Where a panic aborts, nothing is dropped by it.
    #[cfg(not(panic = "unwind"))]
    fn set(&self, _: bool) {}

    #[cfg(panic = "unwind")]
    fn has_panicked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    #[cfg(not(panic = "unwind"))]
    fn has_panicked(&self) -> bool {
        false
    }
}

impl<'a, O: Outbox, S: Sleep> Request<'a, O, S> {
    pub(super) const fn new(
        outbox: &'a O,
        sleep: &'a S,
        polling: &'a Polling,
        transmit: Transmit,
    ) -> Self {
        Self {
            outbox,
            sleep,
            unread: transmit.content_length(),
            transmit: Some(transmit),
            polling,
        }
    }

    /// Hands over what a sender says. A success for a body that it has not read is none, and to cancel is
    /// not its part: a request that is cancelled goes out again at once, for ever.
    pub(super) fn answer_of_sender(&mut self, outcome: &Outcome<'_>) {
        let is_credible = match outcome {
            Outcome::Response(Response {
                status: 200..=299, ..
            })
            | Outcome::ResponseTooLarge { status: 200..=299 } => self.unread == 0 || self.is_read(),
            Outcome::Failed(TransportError::Cancelled) => false,
            _ => true,
        };
        match is_credible {
            true => self.answer(outcome),
            false => self.answer(&Outcome::Failed(TransportError::Other)),
        }
    }

    /// Hands over the outcome, once. After another driver has taken over it changes nothing: the
    /// transmit's generation is old.
    pub(super) fn answer(&mut self, outcome: &Outcome<'_>) {
        if let Some(transmit) = self.transmit.take() {
            self.outbox
                .handle_response(self.sleep.now(), transmit, outcome);
        }
    }

    /// Notes that the collector may have the spans although nothing came back, and that they will
    /// be sent again.
    pub(super) fn note_resent(&self) {
        if let Some(transmit) = &self.transmit {
            self.outbox.note_resent(transmit);
        }
    }
}

/// A request and its sender. Dropped before the answer, it goes back as what it is: one that may
/// have left counts among the possible duplicates.
pub(super) struct Attempt<'a, O: Outbox, P: Post, S: Sleep> {
    pub(super) request: Request<'a, O, S>,
    pub(super) post: &'a mut P,
}

impl<O: Outbox, P: Post, S: Sleep> Drop for Attempt<'_, O, P, S> {
    fn drop(&mut self) {
        if !self.post.body_sent(self.request.is_read()) {
            self.request.rewind();
        }
    }
}

impl<O: Outbox, S: Sleep> Body for Request<'_, O, S> {
    fn content_length(&self) -> usize {
        self.transmit.as_ref().map_or(0, Transmit::content_length)
    }

    fn read(&mut self, target: &mut [u8]) -> usize {
        let count = match &mut self.transmit {
            Some(transmit) => self.outbox.read_body(transmit, target),
            None => 0,
        };
        self.unread = self.unread.saturating_sub(count);
        count
    }

    fn is_read(&self) -> bool {
        self.transmit.as_ref().is_none_or(Transmit::is_read)
    }

    fn rewind(&mut self) {
        if let Some(transmit) = &mut self.transmit {
            transmit.rewind();
            self.unread = transmit.content_length();
        }
    }

    fn deadline(&self) -> Instant {
        self.transmit
            .as_ref()
            .map_or(Instant::MAX, Transmit::deadline)
    }
}

impl<O: Outbox, S: Sleep> Drop for Request<'_, O, S> {
    fn drop(&mut self) {
        let error = match &self.transmit {
            // The next attempt may panic as well, so this one counts.
            Some(transmit) if self.polling.has_panicked() => {
                if transmit.is_read() {
                    self.note_resent();
                }
                TransportError::Other
            }
            _ => TransportError::Cancelled,
        };
        self.answer(&Outcome::Failed(error));
    }
}
