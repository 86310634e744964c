//! A stock client and a sample request, to prove the harness with code that is not ours.
#![allow(dead_code, reason = "each test binary uses its part")]
#![allow(clippy::unwrap_used, reason = "these run inside tests alone")]

use std::io::Write;
use std::ops::Range;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue, any_value::Value};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span};
use prost::Message;
use ureq::tls::TlsConfig;
use ureq::{Agent, Body, Error, http::Response};

/// Long enough for a loaded machine; only broken tests wait for it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) fn agent(timeout: Duration) -> Agent {
    agent_with(timeout, TlsConfig::default())
}

pub(crate) fn agent_with(timeout: Duration, tls: TlsConfig) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .max_redirects(0)
        .max_redirects_will_error(false)
        .http_status_as_error(false)
        .proxy(None)
        .tls_config(tls)
        .build()
        .into()
}

pub(crate) fn trace_id(number: u8) -> [u8; 16] {
    [number; 16]
}

pub(crate) fn span_id(number: u8) -> [u8; 8] {
    [number; 8]
}

/// One resource, one scope, one span for each number, each with an attribute.
pub(crate) fn sample(numbers: Range<u8>) -> ExportTraceServiceRequest {
    let spans = numbers.map(|number| Span {
        trace_id: trace_id(number).to_vec(),
        span_id: span_id(number).to_vec(),
        name: format!("span {number}"),
        start_time_unix_nano: 1_700_000_000_000_000_000,
        end_time_unix_nano: 1_700_000_000_000_000_000 + u64::from(number),
        attributes: vec![attribute("number", Value::IntValue(number.into()))],
        ..Span::default()
    });
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(Resource {
                attributes: vec![attribute(
                    "service.name",
                    Value::StringValue("sample".to_owned()),
                )],
                ..Resource::default()
            }),
            scope_spans: vec![ScopeSpans {
                spans: spans.collect(),
                ..ScopeSpans::default()
            }],
            ..ResourceSpans::default()
        }],
    }
}

pub(crate) fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

pub(crate) fn gzip(request: &ExportTraceServiceRequest) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(&request.encode_to_vec()).unwrap();
    encoder.finish().unwrap()
}

/// Posts a sample, gzip-compressed, and leaves the answer's body unread.
pub(crate) fn post(
    agent: &Agent,
    base: &str,
    request: &ExportTraceServiceRequest,
) -> Result<Response<Body>, Error> {
    agent
        .post(format!("{base}/v1/traces"))
        .header("content-type", "application/x-protobuf")
        .header("content-encoding", "gzip")
        .send(gzip(request))
}

/// Posts a sample, reads the answer to its end, and returns its status.
pub(crate) fn status(
    agent: &Agent,
    base: &str,
    request: &ExportTraceServiceRequest,
) -> Result<u16, Error> {
    let mut answer = post(agent, base, request)?;
    answer.body_mut().read_to_vec()?;
    Ok(answer.status().as_u16())
}

pub(crate) fn io_kind(error: &Error) -> Option<std::io::ErrorKind> {
    match error {
        Error::Io(error) => Some(error.kind()),
        _ => None,
    }
}

/// Whether the client gave up at its own deadline; `ureq` has two ways to say so.
pub(crate) fn timed_out(error: &Error) -> bool {
    matches!(error, Error::Timeout(_)) || io_kind(error) == Some(std::io::ErrorKind::TimedOut)
}

/// Waits until `condition` holds; false if it does not in time.
pub(crate) fn eventually(condition: impl Fn() -> bool) -> bool {
    let until = Instant::now() + PATIENCE;
    while !condition() {
        if Instant::now() > until {
            return false;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    true
}
