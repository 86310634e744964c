//! Driving the pipeline: in the background, or in place of a background that is gone.

use core::future::{Future, pending, poll_fn};
use core::pin::{Pin, pin};
use core::task::Poll;
use core::time::Duration;
use std::boxed::Box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Result;
use std::vec::Vec;

use spandrel_core::hosted::current::ContextFutureExt;
use spandrel_core::hosted::diagnostics::{Kind, Severity, release_kept, report};
use spandrel_core::hosted::unversioned::events::LastError;
use spandrel_core::hosted::unversioned::lifecycle::report_exporter;
use spandrel_core::hosted::unversioned::restart::{Restarts, report_panic};
use spandrel_core::time::Instant;
use tokio::runtime::Handle;

use super::output::in_background;
use super::state::{Claim, DriverState};
use super::time::{TokioSleep, first_of, pause};
use crate::{Driver, Outbox};

/// How long an owner may take to show a sign of life before another future drives. An owner is polled
/// within a wake-up of its runtime; only a runtime that stands still takes longer.
const GRACE: Duration = Duration::from_millis(100);

/// The task of [`init`](super::init()): drives whenever the claim is free, until the shutdown.
///
/// That it is gone is noted even if its runtime ends before it has polled it once.
pub(super) fn background(state: Arc<DriverState>) -> impl Future<Output = ()> + Send {
    state.lock().has_background = true;
    let end = BackgroundEnd(Arc::clone(&state));
    async move {
        let _end = end;
        until_stopped(&state).await;
    }
}

async fn until_stopped(state: &Arc<DriverState>) {
    loop {
        let heard = state.changed.heard();
        match state.claim() {
            Some(claim) => drive(&claim).await,
            None => state.changed.wait(heard).await,
        }
        let (is_stopped, is_orphaned) = {
            let locked = state.lock();
            (locked.is_stopped(), locked.is_orphaned)
        };
        if is_stopped {
            // Otherwise the handle's `shutdown` waits for it.
            if let Some(exporter) = state.plan.exporter().filter(|_| is_orphaned) {
                report_exporter("shutdown", in_background(move || exporter.shutdown()).await);
            }
            return;
        }
    }
}

/// Drives in place of an owner that is gone or stands still. It is polled beside a future that waits,
/// and returns only when nothing can be sent any more.
pub(super) async fn stand_in(state: &Arc<DriverState>, deadline: Instant) {
    loop {
        let heard = state.changed.heard();
        let (has_background, left) = {
            let locked = state.lock();
            let now = locked.pipeline.now();
            (locked.has_background, deadline.saturating_since(now))
        };
        if Handle::try_current().is_err() {
            // Nothing can be sent from here.
            if !has_background {
                return;
            }
            state.changed.wait(heard).await;
            continue;
        }
        // A background task that lives takes a free claim by itself.
        let free = if has_background { None } else { state.claim() };
        let claim = match free {
            Some(claim) => Some(claim),
            None => {
                // An owner that lives shows it now: it waits for the bell whenever it waits, so its
                // runtime polls it again, or it hears the ring within a poll that has not ended yet.
                let polls = state.polls();
                state.bell.ring();
                pause(GRACE.min(left / 4).max(Duration::from_millis(1))).await;
                state.take_over(polls)
            }
        };
        if let Some(claim) = claim {
            drive(&claim).await;
        }
        if state.lock().is_stopped() {
            return pending().await;
        }
    }
}

/// Drives until the pipeline is shut down or the claim is void. A panic, of the client or by a bug,
/// costs one attempt and a pause, in which the runtime's other tasks have their turn.
async fn drive(claim: &Claim) {
    let mut restarts = Restarts::default();
    loop {
        let mut work = pin!(work(claim).suppressed());
        let ended = counted(&claim.state, work.as_mut()).await;
        let Err(panic) = ended else {
            return;
        };
        report_panic(&*panic);
        let mut last_error = LastError::default();
        last_error.set_panic(&*panic);
        claim
            .state
            .settle(&mut claim.state.event_log(), &last_error);
        let (now, accepted) = {
            let pipeline = &claim.state.lock().pipeline;
            (pipeline.now(), pipeline.stats().accepted)
        };
        rest(claim, restarts.pause(now, accepted)).await;
    }
}

/// Catches the panics of `work`, and counts the beginning and the end of each poll as a sign of life.
///
/// The end counts too, because a poll that has begun may consume a ring that comes meanwhile: no other
/// poll follows then before the answer arrives, and the beginning was counted before the ring.
async fn counted(state: &DriverState, mut work: Pin<&mut impl Future<Output = ()>>) -> Result<()> {
    poll_fn(|context| {
        state.note_poll();
        let poll = catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context)));
        state.note_poll();
        match poll {
            Ok(poll) => poll.map(Ok),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// Does nothing for `time`, whatever is recorded meanwhile. The beginning of a shutdown ends it, so
/// that what is left gets one more chance, and so does its end.
async fn rest(claim: &Claim, time: Duration) {
    let state = &claim.state;
    let was_closing = state.lock().pipeline.is_closing();
    let over = async {
        loop {
            let heard = state.bell.heard();
            let is_closing = state.lock().pipeline.is_closing();
            if claim.is_stopped() || (is_closing && !was_closing) {
                return;
            }
            state.note_poll();
            state.bell.wait(heard).await;
        }
    };
    first_of(over, pause(time)).await;
}

/// Drives with as many requests under way as the settings allow.
async fn work(claim: &Claim) {
    let lanes = claim.state.plan.lanes();
    if lanes <= 1 {
        return lane(claim).await;
    }
    let lanes = (0..lanes).map(|_| async {
        lane(claim).await;
        // The others end too.
        claim.state.bell.ring();
    });
    all(lanes).await;
}

/// Runs futures side by side, and returns their results in their order.
pub(super) async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(|it| (Some(Box::pin(it)), None)).collect();
    poll_fn(|context| {
        let mut is_over = true;
        for (future, output) in &mut running {
            let polled = future.as_mut().map(|it| it.as_mut().poll(context));
            match polled {
                Some(Poll::Ready(result)) => {
                    *output = Some(result);
                    *future = None;
                }
                Some(Poll::Pending) => is_over = false,
                None => {}
            }
        }
        match is_over {
            true => Poll::Ready(()),
            false => Poll::Pending,
        }
    })
    .await;
    running
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

/// Sends one request after the other.
async fn lane(claim: &Claim) {
    let state = &*claim.state;
    let mut log = state.event_log();
    let mut driver = Driver::new(claim, state.plan.output(), TokioSleep::new(&state.bell));
    loop {
        let sent = driver.send_next().await;
        state.settle(&mut log, driver.post().last_error());
        if claim.is_stopped() {
            // The shutdown may have come after the events of this step were collected.
            state.settle(&mut log, driver.post().last_error());
            return;
        }
        if !sent {
            driver.wait().await;
        }
    }
}

/// Notes that the background task is gone: by the end of the shutdown, or with its runtime.
struct BackgroundEnd(Arc<DriverState>);

impl Drop for BackgroundEnd {
    fn drop(&mut self) {
        let state = &self.0;
        let is_lost = {
            let mut locked = state.lock();
            locked.has_background = false;
            locked.is_orphaned && !locked.is_stopped()
        };
        if is_lost {
            state.abandon();
            report(
                Kind::Lifecycle,
                Severity::Warn,
                format_args!(
                    "the runtime ended before the last spans were sent; await `shutdown` before \
                     it does"
                ),
            );
        }
        release_kept();
        state.changed.ring();
    }
}

/// Waits until `done` returns something, `deadline` at most, and drives meanwhile if the claim is free.
pub(super) async fn wait_for<T>(
    state: &Arc<DriverState>,
    deadline: Instant,
    mut done: impl FnMut() -> Option<T>,
) -> Option<T> {
    let left = deadline.saturating_since(state.lock().pipeline.now());
    let mut limit = pin!(pause(left));
    let waiting = async {
        loop {
            let heard = state.changed.heard();
            if let Some(result) = done() {
                return Some(result);
            }
            let change = first_of(state.changed.wait(heard), limit.as_mut()).await;
            if change.is_none() {
                return done();
            }
        }
    };
    first_of(waiting, stand_in(state, deadline)).await.flatten()
}

#[cfg(test)]
#[path = "drive_tests.rs"]
mod tests;
