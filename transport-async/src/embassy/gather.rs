//! An exporter in a task, fed by interrupts.

use core::cell::RefCell;

use spandrel_core::exporter::{Exporter, Transmit};
use spandrel_core::response::Outcome;
use spandrel_core::shared_buffer::SharedBuffer;
use spandrel_core::time::Instant;

use crate::Outbox;

/// An exporter that the tasks of one executor use, and the buffer into which interrupts record: the
/// driver moves spans from there to the exporter, one at a time.
///
/// So interrupts are never off for longer than the copy of one span takes, however much the exporter
/// holds: see [`spandrel_core::shared_buffer`] for figures. Ring the [`Doorbell`](super::Doorbell)
/// after a span in an interrupt, or it waits until the driver wakes for something else.
///
/// `LARGEST` is the size of the largest span that is taken over; larger ones are dropped and counted.
#[derive(Debug)]
pub struct Gather<'a, S, B, R, const LARGEST: usize = 256> {
    exporter: &'a RefCell<Exporter<B, R>>,
    spans: &'a SharedBuffer<S>,
}

impl<'a, S, B, R, const LARGEST: usize> Gather<'a, S, B, R, LARGEST> {
    /// The exporter `exporter`, which also gets what is recorded into `spans`.
    #[must_use]
    pub const fn new(exporter: &'a RefCell<Exporter<B, R>>, spans: &'a SharedBuffer<S>) -> Self {
        Self { exporter, spans }
    }
}

impl<S, B, R, const LARGEST: usize> Gather<'_, S, B, R, LARGEST>
where
    S: AsRef<[u8]> + AsMut<[u8]>,
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    /// Moves what the exporter has room for.
    fn fetch(&self) {
        self.spans
            .drain(&mut [0; LARGEST], &mut *self.exporter.borrow_mut());
    }
}

impl<S, B, R, const LARGEST: usize> Outbox for Gather<'_, S, B, R, LARGEST>
where
    S: AsRef<[u8]> + AsMut<[u8]>,
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    fn poll_transmit(&self, now: Instant) -> Option<Transmit> {
        self.fetch();
        self.exporter.poll_transmit(now)
    }

    fn read_body(&self, transmit: &mut Transmit, target: &mut [u8]) -> usize {
        self.exporter.read_body(transmit, target)
    }

    fn handle_response(&self, now: Instant, transmit: Transmit, outcome: &Outcome<'_>) {
        self.exporter.handle_response(now, transmit, outcome);
        // There may be room again.
        self.fetch();
    }

    fn note_resent(&self, transmit: &Transmit) {
        self.exporter.note_resent(transmit);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        // What came meanwhile decides when there is something to do.
        self.fetch();
        self.exporter.poll_timeout()
    }

    fn is_stopped(&self) -> bool {
        self.fetch();
        self.exporter.is_stopped()
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use spandrel_core::buffer::{Record, RecordFlags};
    use spandrel_core::prelude::*;

    use super::*;

    fn push(spans: &SharedBuffer<[u8; 512]>, len: usize) {
        // What is refused is counted.
        let _ = spans.push(&Record {
            scope: ScopeId::default(),
            flags: RecordFlags::DATED,
            body: &[0; 500][..len],
        });
    }

    #[test]
    fn what_interrupts_record_is_sent_and_what_they_lose_is_counted() {
        let registry = Registry::empty([0_u8; 64]);
        let exporter =
            Exporter::clamped(ExporterConfig::DEFAULT, Buffer::new([0_u8; 150]), registry);
        let exporter = RefCell::new(exporter);
        let spans = SharedBuffer::new(Buffer::new([0; 512]));
        let outbox: Gather<'_, _, _, _, 128> = Gather::new(&exporter, &spans);
        assert_eq!(outbox.poll_timeout(), None);
        // Two fit into the exporter at a time; one is larger than what is taken over, and one finds
        // no room at all.
        for len in [60, 60, 60, 200, 300] {
            push(&spans, len);
        }
        let mut now = Instant::from_secs(1);
        for expected in [2, 1] {
            assert!(outbox.poll_timeout().is_some());
            exporter.borrow_mut().force_flush(now, Instant::MAX);
            let transmit = outbox.poll_transmit(now).unwrap();
            assert_eq!(transmit.spans(), expected);
            now += Duration::from_secs(1);
            let ok = Outcome::Response(Response::new(200));
            outbox.handle_response(now, transmit, &ok);
        }
        assert!(spans.is_empty());
        assert_eq!(spans.ledger().ended, 0);
        let ledger = exporter.borrow().ledger();
        assert!(ledger.is_closed());
        assert_eq!((ledger.ended, ledger.exported), (5, 3));
        assert_eq!(ledger.dropped(DropReason::TooLarge), 1);
        assert_eq!(ledger.dropped(DropReason::QueueFull), 1);
        exporter.borrow_mut().shutdown(now, Instant::MAX);
        assert!(outbox.is_stopped());
    }
}
