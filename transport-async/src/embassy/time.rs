//! Timers of embassy-time, and a bell that interrupts them.

use core::cell::RefCell;
use core::fmt;
use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::{Poll, Waker};
use core::time::Duration;

use critical_section::Mutex;
use embassy_time::Timer;
use spandrel_core::time::Instant;

use crate::Sleep;

/// The longest sleep. A driver that wakes once an hour costs nothing, and no tick rate overflows.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// Wakes one sleeping driver, from tasks and interrupts. Const, so that it can be a `static`.
pub struct Doorbell {
    state: Mutex<RefCell<State>>,
}

struct State {
    rung: bool,
    waker: Option<Waker>,
}

impl Doorbell {
    /// A bell that has not been rung.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: Mutex::new(RefCell::new(State {
                rung: false,
                waker: None,
            })),
        }
    }

    /// Wakes the driver: after a flush was asked for, a shutdown, or a burst of spans. Cheap, and
    /// kept when the driver is not asleep.
    pub fn ring(&self) {
        let waker = critical_section::with(|cs| {
            let mut state = self.state.borrow_ref_mut(cs);
            state.rung = true;
            state.waker.take()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Returns once it has been rung since the last time. For one task at a time.
    pub async fn wait(&self) {
        poll_fn(|context| {
            critical_section::with(|cs| {
                let mut state = self.state.borrow_ref_mut(cs);
                if core::mem::take(&mut state.rung) {
                    return Poll::Ready(());
                }
                match &mut state.waker {
                    Some(waker) => waker.clone_from(context.waker()),
                    none => *none = Some(context.waker().clone()),
                }
                Poll::Pending
            })
        })
        .await;
    }
}

impl Default for Doorbell {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Doorbell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Doorbell").finish_non_exhaustive()
    }
}

/// The clock and the alarm of embassy-time: time the spans with [`EmbassySleep::now`] too.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmbassySleep<'a> {
    bell: Option<&'a Doorbell>,
}

impl<'a> EmbassySleep<'a> {
    /// Without a bell the driver sees what was recorded when it wakes for something else, and once
    /// an hour: give it one unless spans end while it works.
    #[must_use]
    pub const fn new() -> Self {
        Self { bell: None }
    }

    /// Sleeps until the time is come or the bell rings.
    #[must_use]
    pub const fn with_bell(bell: &'a Doorbell) -> Self {
        Self { bell: Some(bell) }
    }

    /// The present instant, to start and end spans with.
    #[must_use]
    pub fn now() -> Instant {
        to_core(embassy_time::Instant::now())
    }
}

impl Sleep for EmbassySleep<'_> {
    fn now(&self) -> Instant {
        Self::now()
    }

    async fn sleep_until(&self, at: Instant) {
        let now = embassy_time::Instant::now();
        let left = at.saturating_since(to_core(now)).min(LONGEST_SLEEP);
        // Not `as_micros`, whose 128 bits take 800 bytes of flash.
        let micros = left.as_secs() * 1_000_000 + u64::from(left.subsec_nanos().div_ceil(1000));
        let left = embassy_time::Duration::from_micros(micros);
        let mut timer = pin!(Timer::at(now.saturating_add(left)));
        let Some(bell) = self.bell else {
            return timer.await;
        };
        let mut ring = pin!(bell.wait());
        poll_fn(|context| match timer.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => ring.as_mut().poll(context),
        })
        .await;
    }
}

fn to_core(instant: embassy_time::Instant) -> Instant {
    Instant::from_nanos(instant.as_micros().saturating_mul(1000))
}
