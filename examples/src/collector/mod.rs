//! An OTLP/HTTP collector in this process, for examples and tests.
//!
//! It listens on a free port of the loopback interface, takes `POST /v1/traces` as protobuf or
//! JSON, plain or gzipped, and keeps every span. It decodes with the official types, so it shows
//! what any collector would see.
//!
//! ```
//! use spandrel_examples::Collector;
//!
//! let collector = Collector::start()?;
//! assert!(collector.endpoint().starts_with("http://127.0.0.1:"));
//!
//! collector.set_available(false); // 503 from now on
//! collector.respond_with(429, Some(2)); // or: too many requests, come back in two seconds
//! collector.set_available(true);
//! assert!(collector.spans().is_empty());
//! # Ok::<(), std::io::Error>(())
//! ```

mod http;

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;

/// Requests that are handled at the same time.
const WORKERS: usize = 4;

/// How long dropping a collector waits for requests that are being handled.
const PATIENCE: Duration = Duration::from_secs(1);

/// A collector that lives until it is dropped.
pub struct Collector {
    server: Arc<tiny_http::Server>,
    endpoint: String,
    shared: Arc<Shared>,
}

/// A span as it arrived.
#[derive(Clone, Debug)]
pub struct ReceivedSpan {
    /// The resource that it came under.
    pub resource: Arc<Resource>,
    /// The scope that it came under: the tracer's name and version.
    pub scope: Arc<InstrumentationScope>,
    /// The span itself.
    pub span: Span,
    /// The request that brought it.
    pub request: Arc<ReceivedRequest>,
}

impl ReceivedSpan {
    /// The resource's `service.name`, or nothing.
    #[must_use]
    pub fn service(&self) -> &str {
        match find(&self.resource.attributes, "service.name") {
            Some(Value::StringValue(name)) => name,
            _ => "",
        }
    }

    /// The value of the span's attribute `key`.
    #[must_use]
    pub fn attribute(&self, key: &str) -> Option<&Value> {
        find(&self.span.attributes, key)
    }
}

fn find<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes
        .iter()
        .find(|attribute| attribute.key == key)
        .and_then(|attribute| attribute.value.as_ref()?.value.as_ref())
}

/// A request as it arrived, whatever the answer was.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReceivedRequest {
    /// The method; `POST` if it is right.
    pub method: String,
    /// The path; `/v1/traces` if it is right.
    pub path: String,
    /// Every header in its order, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Bytes of the body on the wire.
    pub wire_bytes: usize,
    /// Bytes of the body after decompression.
    pub body_bytes: usize,
    /// Spans in it; 0 when it was refused before it was decoded.
    pub spans: usize,
    /// The status that it was answered with.
    pub status: u16,
}

impl ReceivedRequest {
    /// The first header called `name` (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header == name)
            .map(|(_, value)| value.as_str())
    }

    /// The `content-encoding`: `gzip`, or nothing.
    #[must_use]
    pub fn content_encoding(&self) -> Option<&str> {
        self.header("content-encoding")
    }

    /// The `user-agent`.
    #[must_use]
    pub fn user_agent(&self) -> Option<&str> {
        self.header("user-agent")
    }
}

/// The state that the workers and the owner share.
#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Notified whenever `state` changes.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    spans: Vec<ReceivedSpan>,
    requests: Vec<Arc<ReceivedRequest>>,
    /// The answer instead of taking spans.
    refusal: Option<Refusal>,
    /// Workers that have not ended.
    workers: usize,
}

#[derive(Clone, Copy)]
struct Refusal {
    status: u16,
    /// Seconds.
    retry_after: Option<u32>,
}

impl Collector {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    ///
    /// When there is no such port, or no thread to serve it.
    pub fn start() -> io::Result<Self> {
        let server = tiny_http::Server::http("127.0.0.1:0").map_err(io::Error::other)?;
        let address = server
            .server_addr()
            .to_ip()
            .ok_or_else(|| io::Error::other("the collector has no address"))?;
        let collector = Self {
            server: Arc::new(server),
            endpoint: format!("http://{address}"),
            shared: Arc::default(),
        };
        for _ in 0..WORKERS {
            let server = Arc::clone(&collector.server);
            let working = Working::new(&collector.shared);
            thread::Builder::new()
                .name("collector".into())
                .spawn(move || {
                    // Ends when it is unblocked, or with the listening socket.
                    while let Ok(request) = server.recv() {
                        http::handle(request, &working.0);
                    }
                })?;
        }
        Ok(collector)
    }

    /// Takes spans (`true`), or answers 503 (`false`).
    pub fn set_available(&self, available: bool) {
        self.shared.change(|state| {
            state.refusal = (!available).then_some(Refusal {
                status: 503,
                retry_after: None,
            });
        });
    }

    /// Answers every request with `status`, and with `Retry-After: retry_after` seconds if given,
    /// until [`Collector::set_available`] says otherwise.
    pub fn respond_with(&self, status: u16, retry_after: Option<u32>) {
        self.shared.change(|state| {
            state.refusal = Some(Refusal {
                status,
                retry_after,
            });
        });
    }

    /// The spans that have arrived since the last call, in that order.
    #[must_use]
    pub fn take(&self) -> Vec<ReceivedSpan> {
        self.shared.change(|state| std::mem::take(&mut state.spans))
    }

    /// The base of its URLs, `http://127.0.0.1:port`.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The spans that have arrived and were not taken, in that order.
    #[must_use]
    pub fn spans(&self) -> Vec<ReceivedSpan> {
        self.shared.lock().spans.clone()
    }

    /// All requests that have arrived, refused ones too, in the order of their answers.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<ReceivedRequest>> {
        self.shared.lock().requests.clone()
    }

    /// Waits until `spans` spans are there. Returns true if they came within `timeout`.
    #[must_use]
    pub fn wait_for(&self, spans: usize, timeout: Duration) -> bool {
        self.shared
            .wait(timeout, |state| state.spans.len() >= spans)
    }

    /// Waits until `requests` requests have been answered, refused ones too. Returns true if they
    /// were answered within `timeout`.
    #[must_use]
    pub fn wait_for_requests(&self, requests: usize, timeout: Duration) -> bool {
        self.shared
            .wait(timeout, |state| state.requests.len() >= requests)
    }
}

impl Drop for Collector {
    /// Stops listening. A client that stalls in the middle of a request cannot hold this up for
    /// longer than a second.
    fn drop(&mut self) {
        for _ in 0..WORKERS {
            self.server.unblock();
        }
        self.shared.wait(PATIENCE, |state| state.workers == 0);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    fn wait(&self, timeout: Duration, until: impl Fn(&State) -> bool) -> bool {
        let start = Instant::now();
        let mut state = self.lock();
        while !until(&state) {
            let left = timeout.saturating_sub(start.elapsed());
            if left.is_zero() {
                return false;
            }
            state = self
                .changed
                .wait_timeout(state, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }
}

/// A worker's place in the count, given up however the worker ends.
struct Working(Arc<Shared>);

impl Working {
    fn new(shared: &Arc<Shared>) -> Self {
        shared.change(|state| state.workers += 1);
        Self(Arc::clone(shared))
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        self.0.change(|state| state.workers -= 1);
    }
}

#[cfg(test)]
mod tests;
