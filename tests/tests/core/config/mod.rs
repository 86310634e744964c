//! The configuration: spec, B-001 to B-030, C-001 to C-033, faults G1 to G4.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of tests fail by panicking, as tests do"
)]

mod endpoint;
mod exporter;
mod headers;
mod properties;
mod sdk;

use std::collections::HashMap;
use std::time::Duration;

use spandrel_core::env::{
    self, Compression, DiagnosticKind, Diagnostics, Endpoint, EndpointErrorKind, EnvConfig,
    HeaderProblemKind, Headers, LogLevel, MAX_HEADERS, PropagatorName, Propagators, Protocol,
    SamplerChoice, Scheme, Timeout, TracesExporter, VARIABLES,
};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";
const TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TIMEOUT";
const TRACES_TIMEOUT: &str = "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT";
const SAMPLER: &str = "OTEL_TRACES_SAMPLER";
const SAMPLER_ARG: &str = "OTEL_TRACES_SAMPLER_ARG";
const PROPAGATORS: &str = "OTEL_PROPAGATORS";
const RESOURCE: &str = "OTEL_RESOURCE_ATTRIBUTES";

fn read<'a>(variables: &[(&'a str, &'a str)]) -> (EnvConfig<'a>, Diagnostics<'a>) {
    env::from_lookup(|name| {
        let found = variables.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    })
}

/// The configuration, after checking that nothing was wrong with the variables.
fn read_clean<'a>(variables: &[(&'a str, &'a str)]) -> EnvConfig<'a> {
    let (env, diagnostics) = read(variables);
    assert!(diagnostics.is_empty(), "{variables:?}: {diagnostics:?}");
    env
}

/// The configuration, after checking that exactly this was said.
fn read_with<'a>(variables: &[(&'a str, &'a str)], sentence: &str) -> EnvConfig<'a> {
    let (env, diagnostics) = read(variables);
    let said: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    assert_eq!(said, [sentence], "{variables:?}");
    env
}

fn kinds(diagnostics: &Diagnostics<'_>) -> Vec<DiagnosticKind> {
    diagnostics.iter().map(|d| d.kind()).collect()
}

fn url(endpoint: Endpoint<'_>) -> String {
    let mut url = String::new();
    endpoint.write_url(&mut url).unwrap();
    url
}

fn target(endpoint: Endpoint<'_>) -> String {
    let mut target = String::new();
    endpoint.write_target(&mut target).unwrap();
    target
}

/// The URL that a variable leads to, with what was said about it.
fn url_of(name: &str, value: &str) -> (String, Vec<DiagnosticKind>) {
    let (env, diagnostics) = read(&[(name, value)]);
    let endpoint = env.endpoint.unwrap_or(Endpoint::DEFAULT);
    (url(endpoint), kinds(&diagnostics))
}

fn pairs(headers: Headers<'_>) -> Vec<(String, String)> {
    let read = headers.iter();
    read.map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}

/// The headers of a text, with what was said about the others.
fn headers_of(text: &str) -> (Vec<(String, String)>, Vec<HeaderProblemKind>) {
    let (env, diagnostics) = read(&[(HEADERS, text)]);
    let problems = kinds(&diagnostics).into_iter().map(|kind| match kind {
        DiagnosticKind::Header(problem, _) => problem,
        other => panic!("unexpected {other:?}"),
    });
    (pairs(env.headers.unwrap()), problems.collect())
}

fn owned(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = expected.iter();
    owned
        .map(|(key, value)| (key.to_string(), value.to_string()))
        .collect()
}
