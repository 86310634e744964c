//! Waiting: for an instant, or for the first of two futures; on a runtime or without one.

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
use tokio::sync::oneshot;

use super::bell::Bell;
use crate::Sleep;

/// The driver's clock and alarm: sleeps on the runtime, and wakes with the bell.
pub(super) struct TokioSleep<'a> {
    bell: &'a Bell,
    clock: Clock,
    heard: AtomicU64,
}

impl<'a> TokioSleep<'a> {
    pub(super) fn new(bell: &'a Bell) -> Self {
        Self {
            bell,
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
        let ring = self.bell.wait(heard);
        let left = at.saturating_since(self.now());
        first_of(ring, tokio::time::sleep(left)).await;
        // The next sleep hears a ring from here on; what an earlier one announced is there already.
        let heard = self.bell.heard();
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

/// Waits for `time`. Without a runtime a thread waits, and ends with the future.
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
