//! Driving the pipeline: in the background, or in the place of a background that is gone.

use core::future::{Future, pending, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::vec::Vec;

use spandrel_core::hosted::current::ContextFutureExt;
use spandrel_core::hosted::diagnostics::{Kind, Severity, report};
use spandrel_core::time::Instant;
use tokio::runtime::Handle;

use super::shared::{Claim, Shared};
use super::time::{TokioSleep, first_of, pause};
use crate::{Driver, Outbox};

/// How long an owner may take to show a sign of life before somebody else drives. Ours are polled
/// within a wake-up of the runtime; only a runtime that stands still takes longer.
const GRACE: Duration = Duration::from_millis(100);

/// The task of [`init`](super::init()): drives whenever nobody else does, until the shutdown.
pub(super) async fn background(shared: Arc<Shared>) {
    let _end = BackgroundEnd(Arc::clone(&shared));
    loop {
        let heard = shared.changed.heard();
        match shared.claim() {
            Some(claim) => drive(&claim).await,
            None => shared.changed.wait(heard).await,
        }
        if shared.lock().is_stopped() {
            return;
        }
    }
}

/// Drives in the place of an owner that is gone or stands still; never returns while there is
/// hope. Whoever waits polls this beside his waiting.
pub(super) async fn stand_in(shared: &Arc<Shared>, deadline: Instant) {
    loop {
        let heard = shared.changed.heard();
        let (has_background, left) = {
            let state = shared.lock();
            let now = state.pipeline.now();
            (state.has_background, deadline.saturating_since(now))
        };
        if Handle::try_current().is_err() {
            // Nothing can be sent from here.
            if !has_background {
                return;
            }
            shared.changed.wait(heard).await;
            continue;
        }
        let polls = shared.polls();
        if has_background {
            shared.bell.ring();
            pause(GRACE.min(left / 4).max(Duration::from_millis(1))).await;
        }
        if let Some(claim) = shared.take_over(polls) {
            drive(&claim).await;
        }
        if shared.lock().is_stopped() {
            return pending().await;
        }
        if !has_background {
            // Somebody else stands in and was alive just now.
            pause(GRACE).await;
        }
    }
}

/// Drives until the pipeline is shut down or the claim is void. A panic, in a program's log handler
/// or by a bug, costs one attempt.
async fn drive(claim: &Claim) {
    loop {
        let mut work = pin!(work(claim).suppressed());
        let ended = poll_fn(|context| {
            claim.shared.note_poll();
            match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
                Ok(poll) => poll.map(Ok),
                Err(panic) => Poll::Ready(Err(panic)),
            }
        })
        .await;
        if ended.is_ok() {
            return;
        }
        report(
            Kind::Internal,
            Severity::Error,
            format_args!("the sender panicked and goes on; the request is sent again"),
        );
    }
}

async fn work(claim: &Claim) {
    let shared = &*claim.shared;
    let mut told = Vec::new();
    let mut driver = Driver::new(claim, shared.plan.output(), TokioSleep::new(shared));
    loop {
        let sent = driver.send_next().await;
        shared.settle(&mut told, driver.post().last_error());
        if claim.is_stopped() {
            return;
        }
        if !sent {
            driver.wait().await;
        }
    }
}

/// Notes that the background task is gone: by the end of the shutdown, or with its runtime.
struct BackgroundEnd(Arc<Shared>);

impl Drop for BackgroundEnd {
    fn drop(&mut self) {
        let shared = &self.0;
        let is_lost = {
            let mut state = shared.lock();
            state.has_background = false;
            state.is_orphaned && !state.is_stopped()
        };
        if is_lost {
            shared.abandon();
            report(
                Kind::Lifecycle,
                Severity::Warn,
                format_args!(
                    "the runtime ended before the last spans were sent; await `shutdown` before \
                     it does"
                ),
            );
        }
        shared.changed.ring();
    }
}

/// Waits until `done` says something, `deadline` at most, and drives meanwhile if nobody else does.
pub(super) async fn wait_for<T>(
    shared: &Arc<Shared>,
    deadline: Instant,
    mut done: impl FnMut() -> Option<T>,
) -> Option<T> {
    let left = deadline.saturating_since(shared.lock().pipeline.now());
    let mut limit = pin!(pause(left));
    let waiting = async {
        loop {
            let heard = shared.changed.heard();
            if let Some(result) = done() {
                return Some(result);
            }
            let change = first_of(shared.changed.wait(heard), limit.as_mut()).await;
            if change.is_none() {
                return done();
            }
        }
    };
    first_of(waiting, stand_in(shared, deadline))
        .await
        .flatten()
}
