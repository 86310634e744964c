//! What a request looks like, in each form that the settings allow.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use spandrel_core::env::{Compression, Protocol};
use spandrel_core::resource::InstrumentationScope;
use spandrel_tests::fault_server::{FaultServer, Script};
use spandrel_transport_std::{Config, KeyValue, SpanKind, start};

use crate::harness::{PATIENCE, Rig, config};

#[test]
fn a_request_is_what_otlp_asks_for() {
    let rig = Rig::new(Script::new());
    rig.deliver(2);
    let end = rig.close();
    let request = &end.server.requests()[0];
    assert_eq!(
        (request.method.as_str(), request.target.as_str()),
        ("POST", "/v1/traces")
    );
    assert_eq!(
        request.header_values("content-type"),
        ["application/x-protobuf"]
    );
    assert_eq!(request.header_values("content-encoding"), ["gzip"]);
    assert_eq!(
        request.header_values("content-length"),
        [request.body.len().to_string()]
    );
    assert_eq!(request.header("transfer-encoding"), None);
    assert_eq!(request.header("accept-encoding"), None);
    let agent = request.header("user-agent").unwrap();
    assert!(agent.starts_with("Spandrel-OTLP-Exporter-Rust/"), "{agent}");
}

#[test]
fn many_exports_share_one_connection() {
    let rig = Rig::new(Script::new());
    for _ in 0..40 {
        rig.deliver(1);
    }
    let end = rig.close();
    assert_eq!(end.server.counters().accepted, 1);
    assert_eq!(end.server.requests().len(), 40);
}

#[test]
fn the_resource_and_the_scope_are_on_every_request() {
    let rig = Rig::with(Script::new(), |config| {
        config.service_version = Some("1.2.3".into());
        config.environment = Some("testing".into());
        config.resource_attributes = vec![("team".into(), "blue".into())];
    });
    rig.deliver(1);
    rig.deliver(1);
    let end = rig.close();
    for request in end.server.requests() {
        let export = request.export.as_ref().unwrap();
        let [resource_spans] = export.resource_spans.as_slice() else {
            unreachable!("{export:?}")
        };
        let resource = resource_spans.resource.as_ref().unwrap();
        let attributes: BTreeMap<_, _> = resource
            .attributes
            .iter()
            .map(|it| {
                (
                    it.key.as_str(),
                    it.value.as_ref().and_then(|v| v.value.clone()),
                )
            })
            .collect();
        for (key, text) in [
            ("service.name", "loopback"),
            ("service.version", "1.2.3"),
            ("deployment.environment.name", "testing"),
            ("team", "blue"),
            ("process.runtime.name", "rust"),
            ("telemetry.sdk.language", "rust"),
            ("os.type", std::env::consts::OS),
        ] {
            let expected = Some(Value::StringValue(text.into()));
            assert_eq!(attributes.get(key), Some(&expected), "{key}");
        }
        for key in ["host.name", "process.runtime.version", "telemetry.sdk.name"] {
            assert!(attributes.contains_key(key), "{key}");
        }
        let scope = resource_spans.scope_spans[0].scope.as_ref().unwrap();
        assert_eq!(scope.name, "loopback");
    }
}

// spec D-001, D-004
#[test]
fn a_scope_arrives_with_all_that_its_tracer_was_given() {
    let rig = Rig::new(Script::new());
    let attributes = [KeyValue::new("shard", 7)];
    let scope = InstrumentationScope {
        schema_url: "https://opentelemetry.io/schemas/1.44.0",
        attributes: &attributes,
        ..InstrumentationScope::new("storage").with_version("2.1")
    };
    rig.end(rig.telemetry.provider().tracer_with(&scope).start("read"));
    assert!(rig.flush().is_success());
    let requests = rig.server.requests();
    let export = requests[0].export.as_ref().unwrap();
    let scope_spans = &export.resource_spans[0].scope_spans[0];
    assert_eq!(
        scope_spans.schema_url,
        "https://opentelemetry.io/schemas/1.44.0"
    );
    let scope = scope_spans.scope.as_ref().unwrap();
    assert_eq!(
        (scope.name.as_str(), scope.version.as_str()),
        ("storage", "2.1")
    );
    let [attribute] = scope.attributes.as_slice() else {
        unreachable!("{scope:?}")
    };
    let value = attribute.value.clone().unwrap().value;
    assert_eq!(
        (attribute.key.as_str(), value),
        ("shard", Some(Value::IntValue(7)))
    );
    rig.close().is(1, &[]);
}

#[test]
fn a_span_arrives_as_it_was_recorded() {
    let rig = Rig::new(Script::new());
    let mut span = rig
        .tracer()
        .span("order.place")
        .kind(SpanKind::Server)
        .start();
    span.set_attribute("text", "ü");
    span.set_attribute("whole", -7);
    span.set_attribute("broken", 0.5);
    span.set_attribute("yes", true);
    span.add_event("cache.miss", &[KeyValue::new("key", "k")]);
    span.record_error(&std::fmt::Error);
    span.set_error("out of stock");
    let context = *span.context();
    rig.end(span);
    assert!(rig.flush().is_success());
    let requests = rig.server.requests();
    let span = requests[0].spans().next().unwrap();
    assert_eq!(span.name, "order.place");
    assert_eq!(span.trace_id, context.trace_id().to_bytes());
    assert_eq!(span.kind, 2);
    let values: Vec<_> = span
        .attributes
        .iter()
        .map(|it| (it.key.as_str(), it.value.clone().unwrap().value.unwrap()))
        .collect();
    assert_eq!(
        values,
        [
            ("text", Value::StringValue("ü".into())),
            ("whole", Value::IntValue(-7)),
            ("broken", Value::DoubleValue(0.5)),
            ("yes", Value::BoolValue(true)),
        ]
    );
    let events: Vec<_> = span.events.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(events, ["cache.miss", "exception"]);
    let status = span.status.as_ref().unwrap();
    assert_eq!((status.code, status.message.as_str()), (2, "out of stock"));
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let age = u128::from(span.end_time_unix_nano).abs_diff(now.as_nanos());
    assert!(age < 60_000_000_000, "{age} ns from now");
    assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
    rig.close().is(1, &[]);
}

#[test]
fn without_compression_the_body_is_plain() {
    let rig = Rig::with(Script::new(), |config| {
        config.compression = Some(Compression::None)
    });
    rig.deliver(2);
    let end = rig.close();
    let request = &end.server.requests()[0];
    assert_eq!(request.header("content-encoding"), None);
    assert_eq!(request.body, request.decoded().unwrap());
}

#[test]
fn json_is_otlp_json_compressed_or_not() {
    for compression in [Compression::Gzip, Compression::None] {
        let rig = Rig::with(Script::new(), |config| {
            config.protocol = Some(Protocol::HttpJson);
            config.compression = Some(compression);
        });
        let mut span = rig.tracer().start("json");
        span.set_attribute("quote", "\"\n");
        let id = span.context().span_id().to_bytes().to_vec();
        span.end();
        assert!(rig.flush().is_success());
        let request = rig.server.requests()[0].clone();
        assert_eq!(request.header("content-type"), Some("application/json"));
        let plain = request.decoded().unwrap();
        let export: ExportTraceServiceRequest = serde_json::from_slice(&plain).unwrap();
        let span = &export.resource_spans[0].scope_spans[0].spans[0];
        assert_eq!((span.name.as_str(), &span.span_id), ("json", &id));
        assert!(rig.telemetry.shutdown(PATIENCE).is_success());
        assert!(rig.telemetry.ledger().is_closed());
    }
}

#[test]
fn the_variables_of_the_environment_are_heard() {
    let server = FaultServer::start(Script::new());
    let url = server.url();
    let settings = Config {
        enabled: true,
        set_global: false,
        ..Config::default()
    }
    .resolve_with(|name| {
        Some(match name {
            "OTEL_EXPORTER_OTLP_ENDPOINT" => url.clone(),
            "OTEL_EXPORTER_OTLP_HEADERS" => "x-tenant=blue%20one".into(),
            "OTEL_EXPORTER_OTLP_COMPRESSION" => "none".into(),
            "OTEL_SERVICE_NAME" => "from the environment".into(),
            "OTEL_BSP_SCHEDULE_DELAY" => "3600000".into(),
            _ => return None,
        })
    })
    .unwrap();
    assert!(
        settings.diagnostics.is_empty(),
        "{:?}",
        settings.diagnostics
    );
    let telemetry = start(&settings).unwrap();
    telemetry.tracer("env").start("work").end();
    assert!(telemetry.shutdown(PATIENCE).is_success());
    let request = server.requests()[0].clone();
    assert_eq!(request.header("x-tenant"), Some("blue one"));
    assert_eq!(request.header("content-encoding"), None);
    let text = format!("{:?}", request.export);
    assert!(text.contains("from the environment"), "{text}");
}

#[test]
fn the_switch_of_the_operator_disables() {
    let server = FaultServer::start(Script::new());
    let settings = config(&server.url());
    let settings = Config {
        read_environment: true,
        ..settings
    }
    .resolve_with(|name| (name == "OTEL_SDK_DISABLED").then(|| "true".into()))
    .unwrap();
    let telemetry = start(&settings).unwrap();
    assert!(!telemetry.is_enabled());
    telemetry.tracer("none").start("none").end();
    assert!(telemetry.shutdown(PATIENCE).is_success());
    assert_eq!(server.counters().accepted, 0);
}

#[test]
fn an_unsampled_trace_sends_nothing_and_passes_its_context_on() {
    let rig = Rig::with(Script::new(), |config| config.sample_rate = Some(0.0));
    let span = rig.tracer().start("unsampled");
    assert!(!span.is_recording());
    assert!(span.context().is_valid() && !span.context().is_sampled());
    span.end();
    rig.close().is(0, &[]).attempts(0);
}
