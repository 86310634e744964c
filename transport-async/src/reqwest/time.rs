//! Waiting: for an instant, for a ring, for whichever comes first; on a runtime or without one.

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Poll;
use core::time::Duration;
use std::string::ToString;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;

use spandrel_core::hosted::clock::Clock;
use spandrel_core::time::Instant;
use tokio::runtime::Handle;
use tokio::sync::{Notify, oneshot};

use super::shared::Shared;
use crate::Sleep;

/// Rings for everybody who listens, also for those who look only afterwards: each listener knows
/// which ring it has seen.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rings: AtomicU64,
    notify: Notify,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.rings.fetch_add(1, Ordering::AcqRel);
        self.notify.notify_waiters();
    }

    /// The rings so far, to be passed to [`wait`](Self::wait).
    pub(super) fn heard(&self) -> u64 {
        self.rings.load(Ordering::Acquire)
    }

    /// Returns as soon as there are more rings than those `heard`.
    pub(super) async fn wait(&self, heard: u64) {
        loop {
            let mut ring = pin!(self.notify.notified());
            ring.as_mut().enable();
            if self.heard() != heard {
                return;
            }
            ring.await;
        }
    }
}

/// The driver's clock and alarm: sleeps on the runtime, and wakes with the bell.
pub(super) struct TokioSleep<'a> {
    shared: &'a Shared,
    clock: Clock,
    heard: AtomicU64,
}

impl<'a> TokioSleep<'a> {
    pub(super) fn new(shared: &'a Shared) -> Self {
        Self {
            shared,
            clock: Clock::new(),
            heard: AtomicU64::new(0),
        }
    }
}

impl Sleep for TokioSleep<'_> {
    fn now(&self) -> Instant {
        self.clock.now()
    }

    async fn sleep_until(&self, at: Instant) {
        let heard = self.heard.load(Ordering::Relaxed);
        let ring = self.shared.bell.wait(heard);
        let left = at.saturating_since(self.now());
        first_of(ring, tokio::time::sleep(left)).await;
        // A ring from here on is heard by the next sleep; what it announces is there already.
        let heard = self.shared.bell.heard();
        self.heard.store(heard, Ordering::Relaxed);
    }
}

/// Returns with whichever ends first; the other is dropped.
pub(super) async fn first_of<A, B>(a: A, b: B) -> Option<A::Output>
where
    A: Future,
    B: Future,
{
    let (mut a, mut b) = (pin!(a), pin!(b));
    poll_fn(|context| {
        if let Poll::Ready(output) = a.as_mut().poll(context) {
            return Poll::Ready(Some(output));
        }
        b.as_mut().poll(context).map(|_| None)
    })
    .await
}

/// Waits for `time`, also where no runtime is: then a thread does the waiting, and ends with the
/// future.
pub(super) async fn pause(time: Duration) {
    if Handle::try_current().is_ok() {
        return tokio::time::sleep(time).await;
    }
    let (wake, woken) = oneshot::channel::<()>();
    let (_alive, gone) = channel::<()>();
    let timer = thread::Builder::new().name("spandrel-timer".to_string());
    let started = timer.spawn(move || {
        if gone.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
            let _ = wake.send(());
        }
    });
    if started.is_ok() {
        let _ = woken.await;
    }
}
