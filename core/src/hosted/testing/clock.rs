//! Times that a test sets.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::vec::Vec;

use crate::hosted::clock;
use crate::hosted::export::SpanData;
use crate::time::{Instant, WallClock};

const MICROSECOND: u64 = 1_000;

/// The clock of a [`Capture`](super::Capture), which stands still until a test moves it; see
/// [`Capture::virtual_clock`](super::Capture::virtual_clock).
///
/// Clones are the same one, for other threads.
#[derive(Clone, Debug)]
pub struct VirtualClock(Arc<Mutex<Steps>>);

/// The virtual time as a function of the time of the process.
#[derive(Debug)]
struct Steps {
    /// What the virtual clock shows from each instant on, in order.
    steps: Vec<(Instant, SystemTime)>,
    /// For times outside of the capture's life.
    wall: WallClock,
}

impl VirtualClock {
    pub(super) fn new(wall: WallClock) -> Self {
        Self(Arc::new(Mutex::new(Steps {
            steps: Vec::from([(later(), UNIX_EPOCH)]),
            wall,
        })))
    }

    /// Moves the clock on: what starts, ends and happens from now on is later by this. A time that
    /// no system can express is the latest so far.
    pub fn advance(&self, by: Duration) {
        let mut steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = steps.now();
        let next = now.checked_add(by).unwrap_or(now);
        // Under the lock, so that steps are in order.
        let since = later();
        steps.steps.push((since, next));
    }

    /// The present time.
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        steps.now()
    }

    /// Gives spans, whose times are those of the process with an offset of zero, the virtual ones.
    pub(super) fn date(&self, spans: &mut [SpanData]) {
        let steps = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let until = clock::now();
        for span in spans {
            span.start_time = steps.date(span.start_time, until);
            span.end_time = steps.date(span.end_time, until);
            for event in &mut span.events {
                event.time = steps.date(event.time, until);
            }
        }
    }
}

impl Steps {
    fn now(&self) -> SystemTime {
        self.steps.last().map_or(UNIX_EPOCH, |(_, time)| *time)
    }

    fn date(&self, time: SystemTime, until: Instant) -> SystemTime {
        let at = Instant::from_nanos(clock::unix_nanos(time).as_nanos());
        let step = self.steps.partition_point(|(since, _)| *since <= at);
        match step.checked_sub(1).and_then(|step| self.steps.get(step)) {
            Some((_, time)) if at <= until => *time,
            // The code under test has given it, or it began before there was a clock.
            _ => UNIX_EPOCH + Duration::from_nanos(self.wall.to_unix(at).as_nanos()),
        }
    }
}

/// An instant after everything that has happened on this thread, in whole microseconds, because not
/// every system keeps nanoseconds.
fn later() -> Instant {
    let before = clock::now().as_nanos();
    loop {
        let now = clock::now().as_nanos();
        if now.saturating_sub(before) >= MICROSECOND {
            return Instant::from_nanos(now - now % MICROSECOND);
        }
    }
}
