//! A transport that is one function: the suite brings the driver.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use spandrel_core::exporter::Transmit;
use spandrel_core::hosted::clock::Clock;
use spandrel_core::prelude::*;

use super::{Pipeline, Settings, Transport};
use crate::loopback::locked;
use crate::rng::TestRng;

const BUFFER_BYTES: usize = 256 << 10;
const REGISTRY_BYTES: usize = 1024;

/// What a POST has to send.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct PostRequest<'a> {
    /// The base URL of the collector, such as `http://127.0.0.1:40681`; `/v1/traces` is appended to it.
    pub endpoint: &'a str,
    /// The body: OTLP in protobuf, without compression.
    pub body: &'a [u8],
    /// How long the whole exchange may take.
    pub timeout: Duration,
}

/// What became of a POST.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostAnswer {
    /// The collector has answered, to the end.
    Answered {
        /// The status code.
        status: u16,
        /// The `Retry-After` header.
        retry_after: Option<String>,
        /// The `Content-Type` header.
        content_type: Option<String>,
        /// The body; `None` if it is longer than a transport may read.
        body: Option<Vec<u8>>,
    },
    /// It has not.
    Failed(TransportError),
}

/// A [`Transport`] made of a function that makes one POST.
///
/// Everything else is the core's: a thread drives an
/// [`Exporter`] and calls the function whenever a request is due.
pub struct PostTransport<F> {
    post: Arc<F>,
}

impl<F> PostTransport<F>
where
    F: Fn(&PostRequest<'_>) -> PostAnswer + Send + Sync + 'static,
{
    /// A transport that sends with `post`, which must keep to the request's time limit and follow no
    /// redirect. A panic in it is a failed attempt.
    pub fn new(post: F) -> Self {
        Self {
            post: Arc::new(post),
        }
    }
}

impl<F> core::fmt::Debug for PostTransport<F> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("PostTransport").finish_non_exhaustive()
    }
}

impl<F> Transport for PostTransport<F>
where
    F: Fn(&PostRequest<'_>) -> PostAnswer + Send + Sync + 'static,
{
    fn start(&mut self, settings: &Settings) -> Box<dyn Pipeline> {
        let resource = Resource {
            attributes: &[KeyValue::new("service.name", "conformance")],
            schema_url: "",
        };
        let registry = Registry::new(vec![0; REGISTRY_BYTES], &resource).expect("room for a name");
        let buffer = Buffer::new(vec![0; BUFFER_BYTES]);
        let exporter = Exporter::new(settings.exporter, buffer, registry);
        let mut exporter = exporter.expect("settings that fit together");
        let clock = Clock::new();
        exporter.set_wall_clock(Some(clock.wall()));
        let shared = Arc::new(Shared {
            exporter: Mutex::new(exporter),
            changed: Condvar::new(),
            clock,
        });
        let driven = Driven {
            shared: shared.clone(),
            tracer: BareTracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(1))),
        };
        let (post, endpoint) = (self.post.clone(), settings.endpoint.clone());
        let timeout = settings.exporter.request_timeout;
        // Not joined: a function that hangs must not take the suite with it.
        thread::spawn(move || {
            shared.drive(|body| {
                let request = PostRequest {
                    endpoint: &endpoint,
                    body,
                    timeout,
                };
                let answer = catch_unwind(AssertUnwindSafe(|| post(&request)));
                answer.unwrap_or(PostAnswer::Failed(TransportError::Other))
            });
        });
        Box::new(driven)
    }
}

struct Shared {
    exporter: Mutex<Exporter<Vec<u8>, Vec<u8>>>,
    changed: Condvar,
    clock: Clock,
}

impl Shared {
    /// Sends what is due until the exporter has stopped.
    fn drive(&self, post: impl Fn(&[u8]) -> PostAnswer) {
        let mut exporter = locked(&self.exporter);
        while !exporter.is_stopped() {
            match exporter.poll_transmit(self.clock.now()) {
                Some(transmit) => exporter = self.exchange(exporter, transmit, &post),
                None => {
                    let wake = exporter.poll_timeout().unwrap_or(Instant::MAX);
                    let wait = wake.saturating_since(self.clock.now());
                    exporter = self.wait(exporter, wait);
                }
            }
            while exporter.poll_event().is_some() {}
            self.changed.notify_all();
        }
    }

    fn exchange<'a>(
        &'a self,
        exporter: MutexGuard<'a, Exporter<Vec<u8>, Vec<u8>>>,
        mut transmit: Transmit,
        post: &impl Fn(&[u8]) -> PostAnswer,
    ) -> MutexGuard<'a, Exporter<Vec<u8>, Vec<u8>>> {
        let mut body = vec![0; transmit.content_length()];
        let read = exporter.read_body(&mut transmit, &mut body);
        body.truncate(read);
        drop(exporter);
        let answer = post(&body);
        let mut exporter = locked(&self.exporter);
        let now = self.clock.now();
        match &answer {
            PostAnswer::Failed(error) => {
                exporter.handle_response(now, transmit, &Outcome::Failed(*error));
            }
            PostAnswer::Answered {
                status,
                retry_after,
                content_type,
                body,
            } => {
                let outcome = match body {
                    Some(body) => Outcome::Response(Response {
                        retry_after: retry_after.as_deref(),
                        content_type: content_type.as_deref(),
                        body: Some(body),
                        ..Response::new(*status)
                    }),
                    None => Outcome::ResponseTooLarge { status: *status },
                };
                exporter.handle_response(now, transmit, &outcome);
            }
        }
        exporter
    }

    fn wait<'a, T>(&self, guard: MutexGuard<'a, T>, time: Duration) -> MutexGuard<'a, T> {
        // A wait of centuries overflows the clock inside the condition variable.
        let time = time.min(Duration::from_secs(3600));
        let waited = self.changed.wait_timeout(guard, time);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }
}

struct Driven {
    shared: Arc<Shared>,
    tracer: BareTracer<AlwaysOn, RandomIdGenerator<TestRng>>,
}

impl Pipeline for Driven {
    fn record(&mut self, count: usize) {
        let clock = &self.shared.clock;
        let exporter = &mut *locked(&self.shared.exporter);
        for _ in 0..count {
            let span = SpanBuilder::new("conformance");
            let span = self.tracer.start::<256>(span, clock.now());
            // A span that is refused is counted.
            let _ = span.end(clock.now(), exporter);
        }
        self.shared.changed.notify_all();
    }

    fn flush(&mut self, timeout: Duration) -> bool {
        let Shared {
            exporter,
            changed,
            clock,
        } = &*self.shared;
        let deadline = clock.now().saturating_add(timeout);
        let mut exporter = locked(exporter);
        let flush = exporter.force_flush(clock.now(), deadline);
        changed.notify_all();
        loop {
            let now = clock.now();
            if let Some(report) = exporter.poll_flush(&flush, now) {
                return report.is_success();
            }
            exporter = self.shared.wait(exporter, deadline.saturating_since(now));
        }
    }

    fn shutdown(&mut self, timeout: Duration) {
        let Shared {
            exporter,
            changed,
            clock,
        } = &*self.shared;
        let deadline = clock.now().saturating_add(timeout);
        let mut exporter = locked(exporter);
        exporter.shutdown(clock.now(), deadline);
        changed.notify_all();
        while exporter.poll_shutdown().is_none() {
            let now = clock.now();
            if now >= deadline {
                // The answer of a function that is still at work will not be waited for.
                exporter.cancel_in_flight(now);
            }
            let wait = deadline.saturating_since(now).max(Duration::from_millis(1));
            exporter = self.shared.wait(exporter, wait);
        }
        changed.notify_all();
    }

    fn ledger(&self) -> Ledger {
        locked(&self.shared.exporter).ledger()
    }
}

/// The thread ends as soon as its function lets it.
impl Drop for Driven {
    fn drop(&mut self) {
        let mut exporter = locked(&self.shared.exporter);
        let now = self.shared.clock.now();
        exporter.shutdown(now, now);
        exporter.cancel_in_flight(now);
        drop(exporter);
        self.shared.changed.notify_all();
    }
}
