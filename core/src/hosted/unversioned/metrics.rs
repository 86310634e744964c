//! The pipeline's own metrics as OTLP requests.
//!
//! ```
//! use spandrel_core::hosted::config::Config;
//! use spandrel_core::hosted::unversioned::metrics::MetricsReporter;
//! use std::time::Duration;
//!
//! let config = Config {
//!     endpoint: "localhost:4318".into(),
//!     metrics_interval: Some(Duration::from_secs(60)),
//!     ..Config::development("shop")
//! };
//! let settings = config.resolve_with(|_| None)?;
//! let reporter = MetricsReporter::new(&settings).expect("an interval and a collector");
//! assert_eq!(reporter.http().url, "http://localhost:4318/v1/metrics");
//! # Ok::<(), spandrel_core::hosted::config::SettingsError>(())
//! ```

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;
use std::string::String;
use std::time::{SystemTime, UNIX_EPOCH};
use std::vec::Vec;

use crate::attribute::ValueLimits;
use crate::attribute::{KeyValue, Value};
use crate::env::{Endpoint, Protocol};
use crate::hosted::config::{HttpSettings, Settings};
use crate::hosted::diagnostics::{Kind, RedactedUrl, Severity, report_cause};
use crate::hosted::metrics::{DURATION_BOUNDS, Operations, SdkMetrics};
use crate::response::DropReason;
use crate::wire::{self, FIXED64, VARINT};

use super::events::LastError;

/// The number of the next pipeline's components.
static NEXT_COMPONENT: AtomicU32 = AtomicU32::new(0);

/// Cumulative sums, by OTLP's number.
const CUMULATIVE: u64 = 2;

/// Makes the requests that carry the metrics of one pipeline, and reports what became of them.
#[derive(Debug)]
pub struct MetricsReporter {
    interval: Duration,
    http: HttpSettings,
    /// The `Resource` message and the field with its schema URL.
    resource: Vec<u8>,
    schema_url: String,
    processor: Vec<u8>,
    exporter: Vec<u8>,
    started: u64,
    request: Vec<u8>,
}

impl MetricsReporter {
    /// `None` if the settings ask for no metrics, or spans do not go to a collector.
    #[must_use]
    pub fn new(settings: &Settings) -> Option<Self> {
        let interval = settings.metrics_interval?;
        let mut http = settings.http()?;
        http.url = settings.metrics_url.clone()?;
        let number = NEXT_COMPONENT.fetch_add(1, Ordering::Relaxed);
        let exporter_type = match settings.protocol {
            Protocol::HttpJson => "otlp_http_json_span_exporter",
            _ => "otlp_http_span_exporter",
        };
        let mut processor = Vec::new();
        put_component(&mut processor, "batching_span_processor", number);
        let mut exporter = Vec::new();
        put_component(&mut exporter, exporter_type, number);
        put_server(&mut exporter, &http.url);
        let mut resource = Vec::new();
        for attribute in settings.resource.attributes() {
            put_attribute(&mut resource, 1, &attribute);
        }
        Some(Self {
            interval,
            http,
            resource,
            schema_url: settings.resource.schema_url().into(),
            processor,
            exporter,
            started: unix_nanos(),
            request: Vec::new(),
        })
    }

    /// How often metrics are sent.
    #[must_use]
    pub const fn interval(&self) -> Duration {
        self.interval
    }

    /// How to reach the collector's receiver of metrics. Requests are protobuf.
    #[must_use]
    pub const fn http(&self) -> &HttpSettings {
        &self.http
    }

    /// The time limit of a request: about the interval, from 1 s to 10 s.
    #[must_use]
    pub fn timeout(&self) -> Duration {
        self.interval
            .clamp(Duration::from_secs(1), Duration::from_secs(10))
    }

    /// Makes [`request`](Self::request) of `metrics`, as of now.
    pub fn encode(&mut self, metrics: &SdkMetrics) {
        let points = Points {
            started: self.started,
            now: unix_nanos(),
        };
        let mut scope = Vec::new();
        put_bytes(&mut scope, 1, b"spandrel");
        put_bytes(&mut scope, 2, env!("CARGO_PKG_VERSION").as_bytes());
        let mut scope_metrics = Vec::new();
        put_bytes(&mut scope_metrics, 1, &scope);
        for metric in self.metrics(metrics, points) {
            put_bytes(&mut scope_metrics, 2, &metric);
        }
        put_text(&mut scope_metrics, 3, crate::hosted::resource::SCHEMA_URL);
        let mut resource_metrics = Vec::new();
        put_bytes(&mut resource_metrics, 1, &self.resource);
        put_bytes(&mut resource_metrics, 2, &scope_metrics);
        put_text(&mut resource_metrics, 3, &self.schema_url);
        self.request.clear();
        put_bytes(&mut self.request, 1, &resource_metrics);
    }

    /// The encoded `ExportMetricsServiceRequest`.
    #[must_use]
    pub fn request(&self) -> &[u8] {
        &self.request
    }

    /// Reports a request that was not accepted: with another status than a success, or none. The next
    /// request carries the same counters.
    pub fn settle(&self, status: Option<u16>, last: &LastError) {
        let cause = match status {
            Some(200..300) => return,
            Some(status) => std::format!("status {status}"),
            None => String::from(last.text()),
        };
        report_cause(
            Kind::ExportRetried,
            Severity::Warn,
            cause.clone(),
            format_args!(
                "the metrics of the pipeline were not accepted at {}: {cause}; they are sent again in \
                 {:?}",
                RedactedUrl(&self.http.url),
                self.interval
            ),
        );
    }

    fn metrics(&self, metrics: &SdkMetrics, points: Points) -> Vec<Vec<u8>> {
        let mut started = Vec::new();
        let mut live = Vec::new();
        let by_decision = [
            ("DROP", metrics.started.drop, metrics.live.drop),
            (
                "RECORD_ONLY",
                metrics.started.record_only,
                metrics.live.record_only,
            ),
            (
                "RECORD_AND_SAMPLE",
                metrics.started.record_and_sample,
                metrics.live.record_and_sample,
            ),
        ];
        for (decision, by_origin, open) in by_decision {
            let decided = text_attribute("otel.span.sampling_result", decision);
            if decision != "DROP" {
                points.number(&mut live, open, &[&decided]);
            }
            for (origin, count) in [
                ("none", by_origin.none),
                ("local", by_origin.local),
                ("remote", by_origin.remote),
            ] {
                let origin = text_attribute("otel.span.parent.origin", origin);
                points.number(&mut started, count, &[&decided, &origin]);
            }
        }
        let one = |count, of: &Vec<u8>| {
            let mut points_of = Vec::new();
            points.number(&mut points_of, count, &[of]);
            points_of
        };
        let ledger = &metrics.ledger;
        let mut processed = one(metrics.processed(), &self.processor);
        let mut exported = one(ledger.exported, &self.exporter);
        for (reason, count) in ledger.dropped_reasons() {
            let error = text_attribute("error.type", reason.as_str());
            match reason {
                DropReason::QueueFull => {
                    points.number(&mut processed, count, &[&self.processor, &error]);
                }
                _ => points.number(&mut exported, count, &[&self.exporter, &error]),
            }
        }
        let mut durations = Vec::new();
        for operations in &metrics.operations {
            points.histogram(&mut durations, operations, &self.exporter);
        }
        let stats = &metrics.stats;
        let (queue, exporter) = (&self.processor, &self.exporter);
        [
            sum("otel.sdk.span.started", "{span}", true, &started),
            sum("otel.sdk.span.live", "{span}", false, &live),
            sum(
                "otel.sdk.processor.span.queue.size",
                "{span}",
                false,
                &one(metrics.queue_size, queue),
            ),
            sum(
                "otel.sdk.processor.span.queue.capacity",
                "{span}",
                false,
                &one(metrics.queue_capacity, queue),
            ),
            sum(
                "otel.sdk.processor.span.processed",
                "{span}",
                true,
                &processed,
            ),
            sum(
                "otel.sdk.exporter.span.inflight",
                "{span}",
                false,
                &one(ledger.in_flight, exporter),
            ),
            sum("otel.sdk.exporter.span.exported", "{span}", true, &exported),
            histogram("otel.sdk.exporter.operation.duration", "s", &durations),
            sum(
                "spandrel.exporter.requests",
                "{request}",
                true,
                &one(stats.attempts, exporter),
            ),
            sum(
                "spandrel.exporter.retries",
                "{request}",
                true,
                &one(metrics.retries, exporter),
            ),
            sum(
                "spandrel.exporter.circuit_opened",
                "{change}",
                true,
                &one(stats.circuit_opened, exporter),
            ),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// The times of all data points of a request.
#[derive(Clone, Copy)]
struct Points {
    started: u64,
    now: u64,
}

impl Points {
    /// Appends a `NumberDataPoint` to the points of a sum; `attributes` are encoded `KeyValue`s in
    /// fields 7.
    fn number(self, points: &mut Vec<u8>, count: u64, attributes: &[&Vec<u8>]) {
        let mut point = Vec::new();
        self.put_times(&mut point);
        put_fixed(&mut point, 6, count.min(i64::MAX as u64));
        for attribute in attributes {
            point.extend_from_slice(attribute);
        }
        put_bytes(points, 1, &point);
    }

    fn histogram(self, points: &mut Vec<u8>, operations: &Operations, exporter: &[u8]) {
        let mut point = Vec::new();
        self.put_times(&mut point);
        put_fixed(&mut point, 4, operations.count);
        put_fixed(&mut point, 5, operations.total.as_secs_f64().to_bits());
        put_packed(&mut point, 6, operations.buckets.into_iter());
        put_packed(&mut point, 7, DURATION_BOUNDS.into_iter().map(f64::to_bits));
        // The attributes of numbers and of histograms differ in their field's number.
        let mut attributes = exporter.to_vec();
        if let Some(error) = &operations.error_type {
            attributes.extend(text_attribute("error.type", error));
        }
        if let Some(status) = operations.status {
            let status = KeyValue::new("http.response.status_code", i64::from(status));
            put_attribute(&mut attributes, 7, &status);
        }
        for (_, attribute) in fields_of(&attributes) {
            put_bytes(&mut point, 9, attribute);
        }
        put_bytes(points, 1, &point);
    }

    fn put_times(self, point: &mut Vec<u8>) {
        put_fixed(point, 2, self.started);
        put_fixed(point, 3, self.now);
    }
}

/// A `Metric` with a `Sum`; `None` without points.
fn sum(name: &str, unit: &str, is_monotonic: bool, points: &[u8]) -> Option<Vec<u8>> {
    let mut data = points.to_vec();
    put_number(&mut data, 2, CUMULATIVE);
    if is_monotonic {
        put_number(&mut data, 3, 1);
    }
    metric(name, unit, 7, points, &data)
}

/// A `Metric` with a `Histogram`; `None` without points.
fn histogram(name: &str, unit: &str, points: &[u8]) -> Option<Vec<u8>> {
    let mut data = points.to_vec();
    put_number(&mut data, 2, CUMULATIVE);
    metric(name, unit, 9, points, &data)
}

fn metric(name: &str, unit: &str, field: u8, points: &[u8], data: &[u8]) -> Option<Vec<u8>> {
    if points.is_empty() {
        return None;
    }
    let mut metric = Vec::new();
    put_text(&mut metric, 1, name);
    put_text(&mut metric, 3, unit);
    put_bytes(&mut metric, field, data);
    Some(metric)
}

fn put_component(target: &mut Vec<u8>, kind: &str, number: u32) {
    let name = std::format!("{kind}/{number}");
    target.extend(text_attribute("otel.component.type", kind));
    target.extend(text_attribute("otel.component.name", &name));
}

fn put_server(target: &mut Vec<u8>, url: &str) {
    let Ok(endpoint) = Endpoint::parse_exact(url, &mut crate::env::Diagnostics::new()) else {
        return;
    };
    target.extend(text_attribute("server.address", endpoint.host()));
    let port = KeyValue::new("server.port", i64::from(endpoint.port()));
    put_attribute(target, 7, &port);
}

/// An attribute of a data point of a sum.
fn text_attribute(key: &str, text: &str) -> Vec<u8> {
    let mut attribute = Vec::new();
    let pair = KeyValue {
        key,
        value: Value::String(text),
    };
    put_attribute(&mut attribute, 7, &pair);
    attribute
}

fn put_attribute(target: &mut Vec<u8>, field: u8, attribute: &KeyValue<'_>) {
    let limits = ValueLimits::default();
    let len = wire::key_value_len(attribute.key, &attribute.value, limits);
    let mut bytes = std::vec![0; len];
    let mut writer = wire::Writer::new(&mut bytes);
    wire::put_key_value(&mut writer, attribute.key, &attribute.value, limits);
    if writer.finish() == Some(len) {
        put_bytes(target, field, &bytes);
    }
}

/// The length-prefixed fields of what [`put_attribute`] wrote.
fn fields_of(bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> {
    wire::Fields::new(bytes).filter_map(|field| match field {
        Ok((number, wire::FieldValue::Bytes(bytes))) => Some((number, bytes)),
        _ => None,
    })
}

fn put_varint(target: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        target.push(value as u8 | 0x80);
        value >>= 7;
    }
    target.push(value as u8);
}

fn put_number(target: &mut Vec<u8>, field: u8, value: u64) {
    target.push(wire::tag(field, VARINT));
    put_varint(target, value);
}

fn put_fixed(target: &mut Vec<u8>, field: u8, value: u64) {
    target.push(wire::tag(field, FIXED64));
    target.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(target: &mut Vec<u8>, field: u8, bytes: &[u8]) {
    target.push(wire::tag(field, wire::BYTES));
    put_varint(target, bytes.len() as u64);
    target.extend_from_slice(bytes);
}

fn put_text(target: &mut Vec<u8>, field: u8, text: &str) {
    if !text.is_empty() {
        put_bytes(target, field, text.as_bytes());
    }
}

fn put_packed(target: &mut Vec<u8>, field: u8, values: impl Iterator<Item = u64>) {
    let bytes: Vec<u8> = values.flat_map(u64::to_le_bytes).collect();
    put_bytes(target, field, &bytes);
}

fn unix_nanos() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    })
}
