//! Signals that end a process: the first one ends the pipelines before, the second one does not wait.

use core::task::{Context, Poll, Waker};
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::vec::Vec;

use super::{AtEnd, Pipelines, end_all};
use crate::hosted::process::{self, Home};

#[cfg(unix)]
mod unix;
#[cfg(unix)]
use unix as system;
#[cfg(windows)]
mod windows;
#[cfg(windows)]
use windows as system;
#[cfg(not(any(unix, windows)))]
mod nowhere;
#[cfg(not(any(unix, windows)))]
use nowhere as system;

/// Pipelines that a signal ends, and the process behind them.
static ENDED: Pipelines = Pipelines::new();
/// Pipelines of programs that end by themselves after a signal.
static HURRIED: Pipelines = Pipelines::new();
static LISTENER: Mutex<Option<Listener>> = Mutex::new(None);

/// The thread that hears signals, in the process that it belongs to.
struct Listener {
    home: Home,
    arrival: Arrival,
    /// Some of the program wants the signal to end the process, whatever has become of the pipelines.
    ends: bool,
    /// The program ends by itself although it has no pipeline.
    waits: bool,
}

/// The arrival of the first signal. Clones are about the same one.
#[derive(Clone, Debug, Default)]
pub struct Arrival(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct State {
    has_come: bool,
    wakers: Vec<Waker>,
}

impl Arrival {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for it on this thread.
    pub fn wait(&self) {
        let waited = self.0.came.wait_while(self.lock(), |state| !state.has_come);
        drop(waited);
    }

    /// Waits for it in a future.
    pub fn poll(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if state.has_come {
            return Poll::Ready(());
        }
        if !state.wakers.iter().any(|it| it.will_wake(context.waker())) {
            state.wakers.push(context.waker().clone());
        }
        Poll::Pending
    }

    fn come(&self) {
        let wakers = {
            let mut state = self.lock();
            state.has_come = true;
            core::mem::take(&mut state.wakers)
        };
        self.0.came.notify_all();
        wakers.into_iter().for_each(Waker::wake);
    }
}

/// From now on the first signal ends `pipeline` and then the process, as the signal does without a
/// handler. A second one ends the process at once.
///
/// # Errors
///
/// The system's, or that it knows no signals.
pub fn end_on_signal(pipeline: &Arc<dyn AtEnd>) -> io::Result<()> {
    ENDED.add(pipeline);
    listening(|listener| listener.ends = true).map(drop)
}

/// From now on the first signal has `pipeline` hurry, and the program ends by itself. A second one ends
/// the process at once, and so does the first one when the pipeline is gone. Without a pipeline, because
/// tracing is disabled, the program hears of the signal all the same.
///
/// # Errors
///
/// As [`end_on_signal`].
pub fn listen(pipeline: Option<&Arc<dyn AtEnd>>) -> io::Result<Arrival> {
    match pipeline {
        Some(pipeline) => {
            HURRIED.add(pipeline);
            listening(|_| ())
        }
        None => listening(|listener| listener.waits = true),
    }
}

/// Changes the listener, which is started if this process has none yet.
fn listening(change: impl FnOnce(&mut Listener)) -> io::Result<Arrival> {
    let Some(mut place) = process::lock(&LISTENER) else {
        return Err(io::ErrorKind::WouldBlock.into());
    };
    let known = place.take().filter(|it| it.home.is_here());
    let is_new = known.is_none();
    let listener = place.insert(known.unwrap_or_else(|| Listener {
        home: Home::here(),
        arrival: Arrival::default(),
        ends: false,
        waits: false,
    }));
    change(listener);
    let arrival = listener.arrival.clone();
    if is_new {
        // A signal that comes now waits for the lock.
        system::start(first_signal).inspect_err(|_| *place = None)?;
    }
    Ok(arrival)
}

/// Acts on the first signal. Returns true if the process is to end now.
fn first_signal() -> bool {
    let known = process::lock(&LISTENER).and_then(|listener| {
        let known = listener.as_ref()?;
        Some((known.arrival.clone(), known.ends, known.waits))
    });
    let (arrival, ends, waits) = known.unwrap_or_default();
    let hurried = HURRIED.live();
    for pipeline in &hurried {
        pipeline.hurry();
    }
    arrival.come();
    if ends {
        end_all(ENDED.live());
    }
    ends || (hurried.is_empty() && !waits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::future::poll_fn;
    use core::pin::pin;
    use core::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[test]
    fn futures_and_threads_hear_of_it_also_when_they_ask_later() {
        let arrival = Arrival::default();
        let count = Arc::new(Count::default());
        let waker = Waker::from(Arc::clone(&count));
        let mut context = Context::from_waker(&waker);
        let mut waiting = pin!(poll_fn(|context| arrival.poll(context)));
        for _ in 0..2 {
            assert!(waiting.as_mut().poll(&mut context).is_pending());
        }
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| arrival.wait());
            arrival.come();
            waits.join().unwrap();
        });
        assert_eq!(count.0.load(Ordering::Relaxed), 1, "one waker, once");
        assert!(waiting.as_mut().poll(&mut context).is_ready());
        arrival.wait();
        assert!(arrival.poll(&context).is_ready());
    }
}
