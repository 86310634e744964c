//! Whole requests: spans of several scopes, a clock that becomes known late, answers of all kinds.
//!
//! The model is a queue. The batch in hand is its front; which spans leave it is read off the
//! ledger, because when they leave is the business of other tests. This one looks at bytes.

use std::collections::VecDeque;

use arbitrary::{Arbitrary, Result, Unstructured};
use bumpalo::Bump;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1;
use opentelemetry_proto::tonic::resource::v1::Resource as WireResource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use spandrel_core::attribute::ValueLimits;
use spandrel_core::backoff::BackoffConfig;
use spandrel_core::batch::BatchConfig;
use spandrel_core::breaker::BreakerConfig;
use spandrel_core::buffer::{Buffer, Overflow};
use spandrel_core::exporter::{Exporter, ExporterConfig, OnTooLarge, Transmit};
use spandrel_core::resource::{InstrumentationScope, Registry, Resource, ScopeId};
use spandrel_core::response::{Outcome, Response, TransportError};
use spandrel_core::time::{Instant, UnixNanos, WallClock};

use super::gen_text::text;
use super::script::SpanScript;
use super::span::SpanModel;
use super::value::{Attributes, attributes, borrow, few, key_value, last_of_each};
use super::{assert_same, decode};

/// An instrumentation scope.
#[derive(Clone, Debug)]
pub struct ScopeScript {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The schema of its spans.
    pub schema_url: String,
    /// Its attributes.
    pub attributes: Attributes,
}

impl<'a> Arbitrary<'a> for ScopeScript {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(Self {
            name: text(u)?,
            version: ["", "1.0"][u.int_in_range(0..=1)?].into(),
            schema_url: ["", "https://schema"][u.int_in_range(0..=1)?].into(),
            attributes: attributes(u)?,
        })
    }
}

/// How a request ends.
#[derive(Clone, Copy, Debug, Arbitrary)]
pub enum Answer {
    /// 200.
    Accepted,
    /// 503.
    Unavailable,
    /// 400.
    Refused,
    /// 413.
    TooLarge,
    /// Cancelled by the driver.
    Cancelled,
    /// Broken off after the body.
    Reset,
    /// Never.
    Lost,
}

/// What happens next.
#[derive(Clone, Debug)]
pub enum Step {
    /// A span, from start to end.
    Span(Box<SpanScript>),
    /// The wall clock becomes known, changes, or is lost: its time at the origin.
    Clock(Option<u64>),
    /// A request is due.
    Send {
        /// Sizes of the reads, in turn.
        chunks: Vec<u16>,
        /// Spans that end between the reads.
        meanwhile: Vec<SpanScript>,
        /// How it ends.
        answer: Answer,
    },
}

impl<'a> Arbitrary<'a> for Step {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Ok(match u.int_in_range(0..=8)? {
            0..=3 => Self::Span(u.arbitrary()?),
            4 => Self::Clock(match u.int_in_range(0..=3)? {
                0 => None,
                1 => Some(u.arbitrary()?),
                _ => Some(u.int_in_range(1_600_000_000..=1_900_000_000)? * 1_000_000_000),
            }),
            _ => Self::Send {
                chunks: few(u, |u| u.int_in_range(1..=300))?,
                meanwhile: if u.ratio(1, 3)? {
                    few(u, |u| u.arbitrary())?
                } else {
                    Vec::new()
                },
                answer: u.arbitrary()?,
            },
        })
    }
}

/// The life of a pipeline.
#[derive(Clone, Debug)]
pub struct RequestScript {
    /// Attributes of the resource.
    pub resource: Attributes,
    /// The schema of the resource.
    pub schema_url: String,
    /// The scopes; at least one.
    pub scopes: Vec<ScopeScript>,
    /// Spans of a batch.
    pub batch: u32,
    /// Bytes of the buffer.
    pub buffer: usize,
    /// The most bytes of a request.
    pub max_request_bytes: usize,
    /// A full buffer drops the oldest spans.
    pub drop_oldest: bool,
    /// What happens.
    pub steps: Vec<Step>,
}

impl<'a> Arbitrary<'a> for RequestScript {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        let mut scopes = few(u, |u| u.arbitrary())?;
        scopes.push(u.arbitrary()?);
        Ok(Self {
            resource: attributes(u)?,
            schema_url: ["", "https://resource"][u.int_in_range(0..=1)?].into(),
            scopes,
            batch: u.int_in_range(1..=8)?,
            buffer: u.int_in_range(0..=6000)?,
            max_request_bytes: match u.int_in_range(0..=2)? {
                0 => u.int_in_range(0..=3000)?,
                _ => 1 << 20,
            },
            drop_oldest: u.arbitrary()?,
            steps: {
                let mut steps = Vec::new();
                while !u.is_empty() && steps.len() < 24 {
                    steps.push(u.arbitrary()?);
                }
                steps
            },
        })
    }
}

/// How often something interesting happened; a run in which nothing did proves nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sightings {
    /// Requests.
    pub requests: u64,
    /// Requests with spans of more than one scope.
    pub of_many_scopes: u64,
    /// Requests for the same spans again.
    pub retries: u64,
    /// Requests in which a span was dated that had already been sent without a date.
    pub dated_late: u64,
    /// Requests for a part of a batch.
    pub split: u64,
    /// Spans evicted.
    pub evicted: u64,
}

struct Entry {
    scope: usize,
    span: Span,
    sent: bool,
    is_dated: bool,
}

struct Runner {
    exporter: Exporter<Vec<u8>, Vec<u8>>,
    resource: Option<WireResource>,
    resource_schema: String,
    /// The distinct scopes in the order of their registration.
    scopes: Vec<(Option<v1::InstrumentationScope>, String)>,
    /// For each scope of the script its place in `scopes` and its number.
    numbers: Vec<(usize, ScopeId)>,
    queue: VecDeque<Entry>,
    /// How many at the front are leased.
    leased: usize,
    clock: Option<WallClock>,
    now: Instant,
    seed: u64,
    /// The body before, and the spans that left since the start when it was read.
    before: Option<(Vec<u8>, usize, u64)>,
    left: u64,
    seen: Sightings,
}

impl RequestScript {
    /// Runs the script.
    ///
    /// # Panics
    ///
    /// When a request is not what the model says.
    #[must_use]
    pub fn run(&self) -> Sightings {
        let mut runner = Runner::new(self);
        for step in &self.steps {
            match step {
                Step::Span(script) => runner.end_span(script),
                Step::Clock(at_origin) => {
                    runner.clock = at_origin.map(|unix| {
                        WallClock::from_pair(Instant::ZERO, UnixNanos::from_nanos(unix))
                    });
                    runner.exporter.set_wall_clock(runner.clock);
                }
                Step::Send {
                    chunks,
                    meanwhile,
                    answer,
                } => runner.send(chunks, meanwhile, *answer, self),
            }
            assert!(runner.exporter.ledger().is_balanced());
        }
        runner.seen
    }
}

impl Runner {
    fn new(script: &RequestScript) -> Self {
        let bump = Bump::new();
        let storage = || vec![0; 1 << 16];
        let resource = Resource {
            attributes: borrow(&bump, &script.resource),
            schema_url: &script.schema_url,
        };
        let mut wire_resource = (wire_attributes(&script.resource), script.schema_url.clone());
        let registry = Registry::new(storage(), &resource).unwrap_or_else(|_| {
            wire_resource = (Vec::new(), String::new());
            Registry::new(storage(), &Resource::default()).expect("nothing fits anywhere")
        });
        let overflow = if script.drop_oldest {
            Overflow::DropOldest
        } else {
            Overflow::DropNewest
        };
        let config = ExporterConfig {
            batch: BatchConfig {
                max_export_batch_size: script.batch,
                ..BatchConfig::DEFAULT
            },
            // Batches go out strictly in order: no batch is ever set aside.
            breaker: BreakerConfig {
                failure_threshold: 1000,
                ..BreakerConfig::default()
            },
            backoff: BackoffConfig::DEFAULT,
            max_request_bytes: script.max_request_bytes,
            max_batch_age: core::time::Duration::ZERO,
            on_too_large: OnTooLarge::Split,
            ..ExporterConfig::DEFAULT
        };
        let buffer = Buffer::new(vec![0; script.buffer]).with_overflow(overflow);
        let exporter = Exporter::new(config, buffer, registry).expect("a valid configuration");
        let (attributes, resource_schema) = wire_resource;
        let mut runner = Self {
            exporter,
            resource: (!attributes.is_empty()).then(|| WireResource {
                attributes,
                ..WireResource::default()
            }),
            resource_schema,
            scopes: Vec::new(),
            numbers: Vec::new(),
            queue: VecDeque::new(),
            leased: 0,
            clock: None,
            now: Instant::ZERO,
            seed: 0,
            before: None,
            left: 0,
            seen: Sightings::default(),
        };
        for scope in &script.scopes {
            runner.register(scope);
        }
        runner
    }

    /// Registers a scope; one that does not fit is left out.
    fn register(&mut self, script: &ScopeScript) {
        let bump = Bump::new();
        let scope = InstrumentationScope {
            name: &script.name,
            version: &script.version,
            schema_url: &script.schema_url,
            attributes: borrow(&bump, &script.attributes),
        };
        let Ok(number) = self.exporter.scope(&scope) else {
            return;
        };
        let wire = v1::InstrumentationScope {
            name: script.name.clone(),
            version: script.version.clone(),
            attributes: wire_attributes(&script.attributes),
            ..v1::InstrumentationScope::default()
        };
        let is_said = wire != v1::InstrumentationScope::default();
        let entry = (is_said.then_some(wire), script.schema_url.clone());
        // Not-a-number differs from itself, so compare bytes.
        let bytes = |(scope, schema_url): &(Option<v1::InstrumentationScope>, String)| {
            (
                scope.as_ref().map(Message::encode_to_vec),
                schema_url.clone(),
            )
        };
        let same = |known: &_| bytes(known) == bytes(&entry);
        let place = self.scopes.iter().position(same).unwrap_or_else(|| {
            self.scopes.push(entry.clone());
            self.scopes.len() - 1
        });
        for (other, known) in &self.numbers {
            assert_eq!(
                *other == place,
                *known == number,
                "equal scopes, one number"
            );
        }
        self.numbers.push((place, number));
    }

    fn end_span(&mut self, script: &SpanScript) {
        let Some(&(scope, number)) = self.numbers.get(script.scope % self.numbers.len().max(1))
        else {
            return;
        };
        self.seed += 1;
        let evicted = self.exporter.buffer().evicted();
        let started = script.run(self.seed, number, &mut self.exporter);
        let evicted = self.exporter.buffer().evicted() - evicted;
        self.seen.evicted += evicted;
        for _ in 0..evicted {
            assert!(
                self.queue.remove(self.leased).is_some(),
                "never a leased one"
            );
        }
        if let (Some(span), Ok(())) = (started.expected, started.pushed) {
            self.queue.push_back(Entry {
                scope,
                span,
                sent: false,
                is_dated: false,
            });
        }
        assert_eq!(self.exporter.buffer().len(), self.queue.len());
    }

    fn send(
        &mut self,
        chunks: &[u16],
        meanwhile: &[SpanScript],
        answer: Answer,
        script: &RequestScript,
    ) {
        self.exporter.force_flush(self.now, Instant::MAX);
        if let Some(due) = self.exporter.poll_timeout() {
            self.now = self.now.max(due);
        }
        let Some(mut transmit) = self.exporter.poll_transmit(self.now) else {
            assert!(self.queue.is_empty(), "something is due");
            return;
        };
        let window = transmit.spans();
        assert!(window > 0, "no request without spans (A-023)");
        if self.leased == 0 {
            self.leased = window;
            assert!(window <= script.batch as usize && window <= self.queue.len());
        }
        self.seen.requests += 1;
        self.seen.split += u64::from(window < self.leased);

        let dated_late = self.date();
        let expected = self.expected(window);
        self.seen.of_many_scopes += u64::from(expected.resource_spans[0].scope_spans.len() > 1);
        let length = transmit.content_length();
        assert!(length <= script.max_request_bytes, "the request limit");

        let mut meanwhile = meanwhile.iter();
        let body = self.read(&mut transmit, chunks, &mut meanwhile);
        assert_eq!(body.len(), length, "the exact length");
        assert_same(&decode(&body), &expected, "request");
        transmit.rewind();
        let again = self.read(&mut transmit, &[u16::MAX], &mut [].iter());
        assert!(again == body, "a second reading gives other bytes");
        let before = self.before.take();
        let same = before.filter(|(_, spans, left)| (*spans, *left) == (window, self.left));
        if let Some((before, ..)) = same {
            self.seen.retries += 1;
            self.seen.dated_late += u64::from(dated_late);
            assert!(dated_late || before == body, "a retry has other bytes");
        }
        self.before = Some((body, window, self.left));
        self.answer(transmit, answer);
    }

    /// Gives every leased span its date, once, as soon as the clock is known. Whether one of them
    /// had been sent without.
    fn date(&mut self) -> bool {
        let mut late = false;
        for entry in self.queue.iter_mut().take(self.leased) {
            if self.clock.is_some() && !entry.is_dated {
                late |= entry.sent;
                entry.is_dated = true;
                entry.span = SpanModel::dated(std::mem::take(&mut entry.span), self.clock);
            }
            entry.sent = true;
        }
        late
    }

    /// One `ResourceSpans`, in it one `ScopeSpans` for each scope.
    fn expected(&self, window: usize) -> ExportTraceServiceRequest {
        let mut scope_spans = Vec::new();
        for (place, (scope, schema_url)) in self.scopes.iter().enumerate() {
            let spans: Vec<Span> = self
                .queue
                .iter()
                .take(window)
                .filter(|entry| entry.scope == place)
                .map(|entry| entry.span.clone())
                .collect();
            if !spans.is_empty() {
                scope_spans.push(ScopeSpans {
                    scope: scope.clone(),
                    spans,
                    schema_url: schema_url.clone(),
                });
            }
        }
        ExportTraceServiceRequest {
            resource_spans: vec![ResourceSpans {
                resource: self.resource.clone(),
                scope_spans,
                schema_url: self.resource_schema.clone(),
            }],
        }
    }

    /// Reads the whole body, ending a span between any two reads.
    fn read<'s>(
        &mut self,
        transmit: &mut Transmit,
        chunks: &[u16],
        meanwhile: &mut impl Iterator<Item = &'s SpanScript>,
    ) -> Vec<u8> {
        let mut sizes = chunks.iter().copied().cycle();
        let mut body = Vec::new();
        while !transmit.is_read() {
            let mut target = vec![0xee; sizes.next().unwrap_or(64).into()];
            let len = self.exporter.read_body(transmit, &mut target);
            body.extend_from_slice(&target[..len]);
            assert!(len == target.len() || transmit.is_read(), "a short read");
            if let Some(script) = meanwhile.next() {
                self.end_span(script);
            }
        }
        body
    }

    fn answer(&mut self, mut transmit: Transmit, answer: Answer) {
        let held = self.exporter.buffer().len();
        let status = |status| Outcome::Response(Response::new(status));
        let outcome = match answer {
            Answer::Accepted => status(200),
            Answer::Unavailable => status(503),
            Answer::Refused => status(400),
            Answer::TooLarge => status(413),
            Answer::Cancelled => Outcome::Failed(TransportError::Cancelled),
            Answer::Reset => Outcome::Failed(TransportError::Reset { body_sent: true }),
            Answer::Lost => {
                self.now = self.exporter.poll_timeout().unwrap_or(self.now);
                self.exporter.handle_timeout(self.now);
                transmit.rewind();
                let late = self.exporter.read_body(&mut transmit, &mut [0; 9]);
                assert_eq!(late, 0, "the body of a lost request");
                status(200)
            }
        };
        self.exporter.handle_response(self.now, transmit, &outcome);
        let gone = held - self.exporter.buffer().len();
        self.queue.drain(..gone);
        self.leased -= gone;
        self.left += gone as u64;
    }
}

/// Attributes of a resource or a scope: without limits, without empty keys.
fn wire_attributes(attributes: &Attributes) -> Vec<v1::KeyValue> {
    last_of_each(attributes)
        .into_iter()
        .filter(|(key, _)| !key.is_empty())
        .map(|(key, value)| key_value(key, value, ValueLimits::DEFAULT))
        .collect()
}
