//! The source of requests.

use core::cell::RefCell;
use core::time::Duration;

use spandrel_core::exporter::{Exporter, Transmit};
use spandrel_core::response::Outcome;
use spandrel_core::time::Instant;

/// How often a pipeline of a host is looked at while a request hangs.
#[cfg(feature = "std")]
pub(crate) const LOOK_AFTER: Duration = Duration::from_millis(500);

/// A machine that has requests to send, reached through a shared reference: while one task drives
/// it, others record spans, ask for a flush, read the statistics.
///
/// A bare [`Exporter`] is one inside a `RefCell`; with the feature `embassy`, with a buffer for
/// interrupts beside it too (`embassy::Gather`), or inside a `critical_section::Mutex`; with the
/// feature `std`,
/// [`Mutex<Pipeline>`](https://doc.rust-lang.org/std/sync/struct.Mutex.html) is one. No borrow or
/// lock is held across an await.
pub trait Outbox {
    /// See [`Exporter::poll_transmit`].
    fn poll_transmit(&self, now: Instant) -> Option<Transmit>;
    /// See [`Exporter::read_body`].
    fn read_body(&self, transmit: &mut Transmit, target: &mut [u8]) -> usize;
    /// See [`Exporter::handle_response`].
    fn handle_response(&self, now: Instant, transmit: Transmit, outcome: &Outcome<'_>);
    /// See [`Exporter::note_resent`].
    fn note_resent(&self, transmit: &Transmit);
    /// See [`Exporter::poll_timeout`].
    fn poll_timeout(&self) -> Option<Instant>;
    /// Returns true if it has been shut down and holds nothing any more.
    fn is_stopped(&self) -> bool;
    /// When the request under way must be given up, beside its own deadline: a shutdown that begins
    /// meanwhile leaves time for another one. [`Instant::MAX`] = only then.
    fn request_deadline(&self) -> Instant {
        Instant::MAX
    }
    /// How long after the sleep of the driver has returned early, while a request is under way,
    /// [`look`](Self::look) is called. `None` = not at all.
    fn look_after(&self) -> Option<Duration> {
        None
    }
    /// Called while a request hangs: moves spans on, and reports those that are being lost.
    fn look(&self) {}
}

impl<O: Outbox + ?Sized> Outbox for &O {
    fn poll_transmit(&self, now: Instant) -> Option<Transmit> {
        (**self).poll_transmit(now)
    }

    fn read_body(&self, transmit: &mut Transmit, target: &mut [u8]) -> usize {
        (**self).read_body(transmit, target)
    }

    fn handle_response(&self, now: Instant, transmit: Transmit, outcome: &Outcome<'_>) {
        (**self).handle_response(now, transmit, outcome);
    }

    fn note_resent(&self, transmit: &Transmit) {
        (**self).note_resent(transmit);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        (**self).poll_timeout()
    }

    fn is_stopped(&self) -> bool {
        (**self).is_stopped()
    }

    fn request_deadline(&self) -> Instant {
        (**self).request_deadline()
    }

    fn look_after(&self) -> Option<Duration> {
        (**self).look_after()
    }

    fn look(&self) {
        (**self).look();
    }
}

/// For one executor thread. Do not hold a borrow across an await.
impl<B, R> Outbox for RefCell<Exporter<B, R>>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    fn poll_transmit(&self, now: Instant) -> Option<Transmit> {
        self.borrow_mut().poll_transmit(now)
    }

    fn read_body(&self, transmit: &mut Transmit, target: &mut [u8]) -> usize {
        self.borrow().read_body(transmit, target)
    }

    fn handle_response(&self, now: Instant, transmit: Transmit, outcome: &Outcome<'_>) {
        self.borrow_mut().handle_response(now, transmit, outcome);
    }

    fn note_resent(&self, transmit: &Transmit) {
        self.borrow_mut().note_resent(transmit);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        self.borrow().poll_timeout()
    }

    fn is_stopped(&self) -> bool {
        self.borrow().is_stopped()
    }
}

/// For tasks of several executors, or interrupts, that must reach the exporter itself. The critical
/// sections are as long as one call into the machine, and that grows with the buffer: the call that
/// makes a request keeps interrupts off for about 300 instructions for each of its spans on a
/// Cortex-M3, and 500 on a Cortex-M0 (`instructions.bare.request` in the firmware's budgets), so
/// 4 KiB of spans take 2 ms at 16 MHz. `embassy::Gather` needs no more than the copy of one span.
#[cfg(feature = "embassy")]
impl<B, R> Outbox for critical_section::Mutex<RefCell<Exporter<B, R>>>
where
    B: AsRef<[u8]> + AsMut<[u8]>,
    R: AsRef<[u8]> + AsMut<[u8]>,
{
    fn poll_transmit(&self, now: Instant) -> Option<Transmit> {
        critical_section::with(|cs| self.borrow(cs).poll_transmit(now))
    }

    fn read_body(&self, transmit: &mut Transmit, target: &mut [u8]) -> usize {
        critical_section::with(|cs| self.borrow(cs).read_body(transmit, target))
    }

    fn handle_response(&self, now: Instant, transmit: Transmit, outcome: &Outcome<'_>) {
        critical_section::with(|cs| self.borrow(cs).handle_response(now, transmit, outcome));
    }

    fn note_resent(&self, transmit: &Transmit) {
        critical_section::with(|cs| self.borrow(cs).note_resent(transmit));
    }

    fn poll_timeout(&self) -> Option<Instant> {
        critical_section::with(|cs| self.borrow(cs).poll_timeout())
    }

    fn is_stopped(&self) -> bool {
        critical_section::with(|cs| self.borrow(cs).is_stopped())
    }
}

/// The pipeline of a process. It reads its own clock: the `now` of the caller is not looked at.
#[cfg(feature = "std")]
impl Outbox for std::sync::Mutex<spandrel_core::hosted::unversioned::pipeline::Pipeline> {
    fn poll_transmit(&self, _: Instant) -> Option<Transmit> {
        locked(self).poll_transmit()
    }

    fn read_body(&self, transmit: &mut Transmit, target: &mut [u8]) -> usize {
        locked(self).read_body(transmit, target)
    }

    fn handle_response(&self, _: Instant, transmit: Transmit, outcome: &Outcome<'_>) {
        locked(self).handle_response(transmit, outcome);
    }

    fn note_resent(&self, transmit: &Transmit) {
        locked(self).note_resent(transmit);
    }

    fn poll_timeout(&self) -> Option<Instant> {
        locked(self).poll_timeout()
    }

    fn is_stopped(&self) -> bool {
        locked(self).poll_shutdown().is_some()
    }

    fn request_deadline(&self) -> Instant {
        locked(self).request_deadline()
    }

    fn look_after(&self) -> Option<Duration> {
        Some(LOOK_AFTER)
    }

    fn look(&self) {
        locked(self).look();
    }
}

/// A panic of another thread (in a program's own sampler) leaves the machine in order.
#[cfg(feature = "std")]
fn locked<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
