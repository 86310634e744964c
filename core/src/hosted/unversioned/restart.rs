//! What a transport does after a panic of its sending side: it reports it, pauses, and goes on.
//!
//! A cause that stays (a runtime without timers, a fault in a client) makes every attempt panic, so
//! the pauses grow. They never end sooner because there is more to send.
//!
//! ```
//! use core::time::Duration;
//! use spandrel_core::hosted::unversioned::restart::Restarts;
//! use spandrel_core::time::Instant;
//!
//! let mut restarts = Restarts::default();
//! let at = Instant::from_secs;
//! assert_eq!(restarts.pause(at(1), 0), Duration::from_millis(100));
//! assert_eq!(restarts.pause(at(2), 0), Duration::from_millis(200));
//! assert_eq!(restarts.pause(at(3), 1), Duration::from_millis(100), "a request was accepted");
//! assert_eq!(restarts.pause(at(100), 1), Duration::from_millis(100), "it worked meanwhile");
//! ```

use core::any::Any;
use core::time::Duration;

use crate::hosted::diagnostics::{Kind, Severity, report};
pub use crate::hosted::text::panic_message;
use crate::time::Instant;

/// The pause after the first panic.
const SHORTEST: Duration = Duration::from_millis(100);
/// The longest pause. A sender that works for longer counts as sound again.
const LONGEST: Duration = Duration::from_secs(30);

/// Counts the panics that come one after the other.
#[derive(Debug, Default)]
pub struct Restarts {
    /// The last pause and its end.
    last: Option<(Duration, Instant)>,
    /// The requests that had been accepted by then.
    accepted: u64,
}

impl Restarts {
    /// Returns how long to do nothing after a panic at `now`: 100 ms, and twice as long each time,
    /// up to 30 s. `accepted` is the number of requests that were accepted so far: one more is a sender
    /// that works, and the pauses begin again.
    pub fn pause(&mut self, now: Instant, accepted: u64) -> Duration {
        let is_sound = accepted > self.accepted;
        self.accepted = accepted;
        let pause = match self.last {
            Some((last, end)) if !is_sound && now.saturating_since(end) < LONGEST => {
                last.saturating_mul(2).min(LONGEST)
            }
            _ => SHORTEST,
        };
        self.last = Some((pause, now.saturating_add(pause)));
        pause
    }
}

/// Reports that the sending side panicked, with the panic's own message. Like every report of its
/// kind it is limited to one in ten seconds.
pub fn report_panic(panic: &(dyn Any + Send)) {
    report(
        Kind::Internal,
        Severity::Error,
        format_args!(
            "the sender panicked: {}; the request counts as failed, and the next attempt follows \
             after a pause; remove the cause, or report it if it is in Spandrel",
            panic_message(panic)
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::panic::catch_unwind;

    #[test]
    fn pauses_grow_to_half_a_minute_while_every_attempt_panics() {
        let mut restarts = Restarts::default();
        let mut now = Instant::from_secs(1);
        let mut total = Duration::ZERO;
        for _ in 0..20 {
            let pause = restarts.pause(now, 0);
            assert!((SHORTEST..=LONGEST).contains(&pause), "{pause:?}");
            now = now.saturating_add(pause);
            total += pause;
        }
        assert_eq!(restarts.pause(now, 0), LONGEST);
        assert!(total > Duration::from_secs(300), "{total:?}");
    }

    #[test]
    fn the_message_of_a_panic_is_found_whatever_it_is() {
        let caught = |panics: fn()| catch_unwind(panics).unwrap_err();
        assert_eq!(panic_message(&*caught(|| panic!("text"))), "text");
        assert_eq!(panic_message(&*caught(|| panic!("{}", 5))), "5");
        let other = caught(|| std::panic::panic_any(5));
        assert_eq!(panic_message(&*other), "without a message");
    }
}
