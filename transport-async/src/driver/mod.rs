//! The one driver: it runs the core's machine over whatever can sleep and post.
//!
//! The machine ([`Outbox`]) says when to send and what an answer means. A runtime adds two things,
//! each one or two functions: [`Sleep`] and [`Post`].
//!
//! ```text
//!         ┌──────────────────── nothing to send ─────────────────────┐
//!         ▼                                                          │
//!   poll_transmit ── request ──▶ post, until answer or deadline ──▶ handle_response
//!         │                          │ the future is dropped here
//!         │                          └──────────────────────▶ the request goes back: Cancelled
//!         └── none ──▶ sleep_until(poll_timeout) ──▶ again
//! ```
//!
//! # Cancellation
//!
//! Every future of [`Driver`] may be dropped at any await: a request under way goes back into the
//! machine, which frees its batch and its permit of the circuit breaker, and the next call sends it
//! again. Nothing counts as a failure. If the request may have left by then
//! ([`Post::body_sent`]), its spans count as possible duplicates.
//!
//! A sender or a clock that panics inside of [`run`](Driver::run) is a failed attempt: a program that catches
//! the panic may call `run` again, and the next attempt waits as after any other failure.
//!
//! # Example
//!
//! A driver over a sender that always succeeds, on an executor of one line:
//!
//! ```
//! use core::cell::RefCell;
//! use spandrel_core::prelude::*;
//! use spandrel_transport_async::{Body, Driver, Post, Sleep};
//! # use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
//!
//! struct Sink;
//! impl Post for Sink {
//!     async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_> {
//!         let mut chunk = [0; 64];
//!         while body.read(&mut chunk) > 0 {}
//!         Outcome::Response(Response::new(200))
//!     }
//! }
//!
//! struct Clock;
//! impl Sleep for Clock {
//!     fn now(&self) -> Instant { Instant::from_secs(10) }
//!     async fn sleep_until(&self, _: Instant) {}
//! }
//!
//! # let resource = Resource { attributes: &[KeyValue::new("service.name", "demo")], schema_url: "" };
//! let registry = Registry::new([0_u8; 256], &resource)?;
//! let exporter = Exporter::new(ExporterConfig::DEFAULT, Buffer::new([0_u8; 4096]), registry)?;
//! let outbox = RefCell::new(exporter);
//! let ids = RandomIdGenerator::new(SplitMix64::seed_from_u64(1));
//! let mut tracer = BareTracer::new(AlwaysOn, ids);
//! let span = tracer.start::<256>(SpanBuilder::new("boot"), Instant::ZERO);
//! span.end(Instant::from_millis(3), &mut *outbox.borrow_mut())?;
//! outbox.borrow_mut().shutdown(Instant::from_secs(10), Instant::from_secs(20));
//!
//! let mut driver = Driver::new(&outbox, Sink, Clock);
//! let mut run = core::pin::pin!(driver.run());
//! let mut context = core::task::Context::from_waker(core::task::Waker::noop());
//! assert!(run.as_mut().poll(&mut context).is_ready());
//! assert_eq!(outbox.borrow().ledger().exported, 1);
//! # use core::future::Future;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod outbox;
mod request;

#[cfg(feature = "reqwest")]
pub(crate) use outbox::LOOK_AFTER;
pub use outbox::Outbox;
pub use request::Body;
use request::{Attempt, Polling, Request};

use core::future::{Future, poll_fn};
use core::pin::pin;
use core::task::Poll;
use core::time::Duration;

use spandrel_core::response::{Outcome, TransportError};
use spandrel_core::time::Instant;

/// The shortest sleep: a machine that is late by a hair must not become a busy loop.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// A runtime's clock and alarm. Cancel-safe: a sleep may be dropped.
#[allow(
    async_fn_in_trait,
    reason = "whether the future is `Send` follows from the implementation that is used"
)]
pub trait Sleep {
    /// The present instant, of the same clock by which spans are timed.
    fn now(&self) -> Instant;

    /// Returns at `at`, or sooner: the driver then checks if there is something to do and sleeps
    /// again.
    ///
    /// Return sooner whenever spans were recorded, a flush was asked for, or a shutdown: the driver
    /// does not notice them while it sleeps. [`Instant::MAX`] = until then.
    async fn sleep_until(&self, at: Instant);
}

/// One POST.
///
/// It owns no policy: no retry, no redirect, no queue. Nor does it need a deadline: the driver
/// drops the future when the request's time is up, so every future must be fit to be dropped, and
/// the next call must not reuse a connection that was left half-way.
#[allow(
    async_fn_in_trait,
    reason = "whether the future is `Send` follows from the implementation that is used"
)]
pub trait Post {
    /// Sends the body that it pulls out of `body`, and waits for the whole answer, at most
    /// [`MAX_RESPONSE_BYTES`](spandrel_core::response::MAX_RESPONSE_BYTES) of it.
    ///
    /// A success is believed if the body was read to its end; else the attempt has failed, as after
    /// [`TransportError::Cancelled`], which is the driver's to decide.
    async fn post<B: Body>(&mut self, body: &mut B) -> Outcome<'_>;

    /// Returns true if the whole request of the last [`post`](Post::post) had left, although the
    /// future was dropped or met a stale connection: the collector may have the spans already.
    /// `is_read` is true if the body had been pulled to its end.
    fn body_sent(&self, is_read: bool) -> bool {
        is_read
    }
}

/// Runs an [`Outbox`]: see the [module](self).
#[derive(Debug)]
pub struct Driver<O, P, S> {
    outbox: O,
    post: P,
    sleep: S,
}

/// How a request ended.
enum Ended<T> {
    Answered(T),
    /// Its time was up.
    Late,
    /// Its answer is not needed any more.
    Stopped,
}

impl<O: Outbox, P: Post, S: Sleep> Driver<O, P, S> {
    /// A driver that takes requests out of `outbox`.
    pub const fn new(outbox: O, post: P, sleep: S) -> Self {
        Self {
            outbox,
            post,
            sleep,
        }
    }

    /// Sends and sleeps until the outbox is shut down and empty.
    ///
    /// May be dropped at any await and called again.
    pub async fn run(&mut self) {
        loop {
            while self.send_next().await {}
            if self.outbox.is_stopped() {
                return;
            }
            self.wait().await;
        }
    }

    /// Sends the next request, if one is due, and hands over its answer; false if none was due.
    ///
    /// May be dropped at any await: the request is then sent again by the next call.
    pub async fn send_next(&mut self) -> bool {
        let Self {
            outbox,
            post,
            sleep,
        } = self;
        let Some(transmit) = outbox.poll_transmit(sleep.now()) else {
            return false;
        };
        let deadline = transmit.deadline();
        let polling = Polling::default();
        let mut attempt = Attempt {
            request: Request::new(&*outbox, &*sleep, &polling, transmit),
            post,
        };
        let Attempt { request, post } = &mut attempt;
        let answer = post.post(request);
        let ended = until(&*outbox, &*sleep, &polling, deadline, answer).await;
        match ended {
            Ended::Answered(Outcome::Failed(stale @ TransportError::Stale)) => {
                if post.body_sent(request.is_read()) {
                    request.note_resent();
                }
                request.answer(&Outcome::Failed(stale));
            }
            Ended::Answered(outcome) => request.answer_of_sender(&outcome),
            Ended::Late => {
                let body_sent = post.body_sent(request.is_read());
                request.answer(&Outcome::Failed(TransportError::Timeout { body_sent }));
            }
            Ended::Stopped => {}
        }
        true
    }

    /// Sleeps until there may be something to do. May be dropped at any await.
    pub async fn wait(&self) {
        let now = self.sleep.now();
        let at = self.outbox.poll_timeout().unwrap_or(Instant::MAX);
        let at = at.max(now.saturating_add(SHORTEST_SLEEP));
        self.sleep.sleep_until(at).await;
    }

    /// The sender.
    pub const fn post(&self) -> &P {
        &self.post
    }

    /// The outbox.
    pub const fn outbox(&self) -> &O {
        &self.outbox
    }
}

/// Runs `future` until `deadline`, or until the outbox is shut down for good.
async fn until<O: Outbox, S: Sleep, F: Future>(
    outbox: &O,
    sleep: &S,
    polling: &Polling,
    deadline: Instant,
    future: F,
) -> Ended<F::Output> {
    let mut future = pin!(future);
    let mut look_at = Instant::MAX;
    loop {
        let deadline = deadline.min(outbox.request_deadline());
        let mut nap = pin!(sleep.sleep_until(deadline.min(look_at)));
        let answer = poll_fn(|context| {
            polling.poll(|| {
                if let Poll::Ready(answer) = future.as_mut().poll(context) {
                    return Poll::Ready(Some(answer));
                }
                nap.as_mut().poll(context).map(|()| None)
            })
        })
        .await;
        if let Some(answer) = answer {
            return Ended::Answered(answer);
        }
        if outbox.is_stopped() {
            return Ended::Stopped;
        }
        let now = sleep.now();
        if now >= deadline {
            return Ended::Late;
        }
        if let Some(after) = outbox.look_after() {
            if now >= look_at {
                outbox.look();
                look_at = Instant::MAX;
            } else {
                look_at = look_at.min(now.saturating_add(after));
            }
        }
    }
}
