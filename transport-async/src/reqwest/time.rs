//! Waiting: for an instant, or for the first of two futures; on a runtime or without one.

use core::cell::Cell;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};
use core::task::Poll;
use core::time::Duration;
use std::net::{Ipv4Addr, UdpSocket};
use std::panic::catch_unwind;
use std::string::ToString;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::{thread, thread_local};

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
        first_of(ring, pause(left)).await;
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

/// Waits for `time`. Without a runtime, or on one without timers, a thread waits, and ends with the
/// future.
pub(super) async fn pause(time: Duration) {
    match timer(time) {
        Some(timer) => timer.await,
        None => thread_pause(time).await,
    }
}

thread_local! {
    /// Whether a runtime of this thread has turned out to be without timers. Another one may have
    /// some, but threads serve it as well.
    static LACKS_TIMERS: Cell<bool> = const { Cell::new(false) };
}

/// A timer of the runtime here, if it has any. tokio's way to say that it has none is a panic, which
/// is provoked once.
fn timer(time: Duration) -> Option<tokio::time::Sleep> {
    if LACKS_TIMERS.get() {
        return None;
    }
    Handle::try_current().ok()?;
    let timer = catch_unwind(|| tokio::time::sleep(time)).ok();
    LACKS_TIMERS.set(timer.is_none());
    timer
}

/// Returns true if timers of the runtime here work.
pub(super) fn has_timers() -> bool {
    LACKS_TIMERS.set(false);
    timer(Duration::ZERO).is_some()
}

/// Returns true if sockets of the runtime here work, or if it cannot be found out.
pub(super) fn has_io() -> bool {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0));
    let Ok(socket) = socket.and_then(|socket| socket.set_nonblocking(true).map(|()| socket)) else {
        return true;
    };
    // A socket that is registered with a runtime without I/O panics.
    catch_unwind(|| tokio::net::UdpSocket::from_std(socket)).is_ok()
}

async fn thread_pause(time: Duration) {
    let (wake, woken) = oneshot::channel::<()>();
    let (_alive, gone) = channel::<()>();
    let timer = thread::Builder::new().name("spandrel-timer".to_string());
    let started = timer.spawn(move || {
        if gone.recv_timeout(time) == Err(RecvTimeoutError::Timeout) {
            let _ = wake.send(());
        }
    });
    match started {
        Ok(_) => {
            let _ = woken.await;
        }
        // Not even a thread: others get their turn at least.
        Err(_) => tokio::task::yield_now().await,
    }
}
