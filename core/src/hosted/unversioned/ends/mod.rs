//! The ends that a process does not choose: signals and panics.
//!
//! A transport registers its pipeline, which is then ended in the last moments of the process:
//!
//! ```
//! use core::time::Duration;
//! use std::sync::Arc;
//! use spandrel_core::hosted::trace::TracerProvider;
//! use spandrel_core::hosted::unversioned::ends::{AtEnd, record_panics};
//!
//! struct Mine(TracerProvider);
//!
//! impl AtEnd for Mine {
//!     fn end(&self) { /* sends what is left */ }
//!     fn hurry(&self) { /* begins to send what has ended */ }
//!     fn patience(&self) -> Duration { Duration::from_secs(5) }
//!     fn provider(&self) -> &TracerProvider { &self.0 }
//! }
//!
//! let mine: Arc<dyn AtEnd> = Arc::new(Mine(TracerProvider::disabled()));
//! record_panics(&mine);
//! ```

mod panics;
#[cfg(feature = "_signal")]
mod signals;

use core::time::Duration;
use std::boxed::Box;
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, Weak};
use std::thread;
use std::time::Instant;
use std::vec::Vec;

use crate::hosted::process::{Home, lock};
use crate::hosted::trace::TracerProvider;

pub use panics::record_panics;
#[cfg(feature = "_signal")]
pub use signals::{Arrival, end_on_signal, listen};

/// How much longer than its patience an end may take, for its last reports.
const FAREWELL: Duration = Duration::from_millis(500);

/// A pipeline that can be ended from any thread.
pub trait AtEnd: Send + Sync {
    /// Sends what is left and ends the pipeline, within [`patience`](Self::patience).
    fn end(&self);

    /// Begins to send what has ended so far, and waits for nothing.
    fn hurry(&self);

    /// The time that the end may take.
    fn patience(&self) -> Duration;

    /// The provider that records into the pipeline.
    fn provider(&self) -> &TracerProvider;
}

/// Pipelines, as long as they live. A forked child has no part in those of its parent.
struct Pipelines(Mutex<Vec<(Home, Weak<dyn AtEnd>)>>);

impl Pipelines {
    const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    fn add(&self, pipeline: &Arc<dyn AtEnd>) {
        if let Some(mut list) = lock(&self.0) {
            let added = Arc::downgrade(pipeline);
            list.retain(|(_, known)| known.strong_count() > 0 && !known.ptr_eq(&added));
            list.push((Home::here(), added));
        }
    }

    fn live(&self) -> Vec<Arc<dyn AtEnd>> {
        let list = lock(&self.0);
        let list = list.iter().flat_map(|list| list.iter());
        let here = list.filter(|(home, _)| home.is_here());
        here.filter_map(|(_, known)| known.upgrade()).collect()
    }
}

/// Ends `pipelines`, all at the same time, each on a thread of its own: the caller may hold a lock that
/// one of them needs. Waits no longer than the longest patience.
fn end_all(pipelines: Vec<Arc<dyn AtEnd>>) {
    let patience = pipelines.iter().map(|it| it.patience()).max();
    let limit = patience.unwrap_or_default().saturating_add(FAREWELL);
    let (ended, ends) = channel();
    let mut left = 0;
    for pipeline in pipelines {
        let ended = ended.clone();
        let work = Box::new(move || {
            pipeline.end();
            let _ = ended.send(());
        });
        let thread = thread::Builder::new().name("spandrel-end".into());
        left += usize::from(thread.spawn(work).is_ok());
    }
    // A thread that panics drops its sender.
    drop(ended);
    let start = Instant::now();
    while left > 0
        && ends
            .recv_timeout(limit.saturating_sub(start.elapsed()))
            .is_ok()
    {
        left -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::sync::atomic::{AtomicU32, Ordering};

    struct Slow {
        patience: Duration,
        hangs: bool,
        ends: AtomicU32,
        provider: TracerProvider,
    }

    fn slow(patience: Duration, hangs: bool) -> Arc<Slow> {
        Arc::new(Slow {
            patience,
            hangs,
            ends: AtomicU32::new(0),
            provider: TracerProvider::disabled(),
        })
    }

    impl AtEnd for Slow {
        fn end(&self) {
            self.ends.fetch_add(1, Ordering::Relaxed);
            if self.hangs {
                loop {
                    thread::park();
                }
            }
        }

        fn hurry(&self) {}

        fn patience(&self) -> Duration {
            self.patience
        }

        fn provider(&self) -> &TracerProvider {
            &self.provider
        }
    }

    #[test]
    fn one_end_that_hangs_keeps_neither_the_others_nor_the_process() {
        let ends = [
            slow(Duration::ZERO, true),
            slow(Duration::ZERO, false),
            slow(Duration::ZERO, false),
        ];
        let started = Instant::now();
        end_all(ends.iter().map(|it| Arc::clone(it) as _).collect());
        assert!(started.elapsed() >= FAREWELL, "it waited for the first");
        assert!(ends.iter().all(|it| it.ends.load(Ordering::Relaxed) == 1));
    }

    #[test]
    fn ends_that_are_quick_are_not_waited_for_longer() {
        let quick = slow(Duration::from_secs(3600), false);
        let started = Instant::now();
        end_all(std::vec![quick as _]);
        end_all(Vec::new());
        assert!(started.elapsed() < Duration::from_secs(60));
    }

    #[test]
    fn a_pipeline_is_known_once_and_as_long_as_it_lives() {
        let all = Pipelines::new();
        let (a, b) = (slow(Duration::ZERO, false), slow(Duration::ZERO, false));
        let (a, b): (Arc<dyn AtEnd>, Arc<dyn AtEnd>) = (a, b);
        for it in [&a, &b, &a] {
            all.add(it);
        }
        assert_eq!(all.live().len(), 2);
        drop(b);
        assert_eq!(all.live().len(), 1);
        assert!(Arc::ptr_eq(&all.live()[0], &a));
    }
}
