//! The pipeline's own metrics, sent by both transports and read with the official types.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{Metric, NumberDataPoint};
use prost::Message;
use spandrel_core::hosted::config::Config;
use spandrel_core::hosted::trace::Tracer;
use spandrel_core::sampler::AlwaysOff;
use spandrel_tests::fault_server::{FaultServer, Reply, Request, Script};
use tokio::runtime::Builder;

use crate::child::Process;
use crate::harness::{PATIENCE, config};

fn with_metrics(server: &FaultServer, every: Duration) -> Config {
    Config {
        metrics_interval: Some(every),
        service_name: "measured".into(),
        ..config(&server.url())
    }
}

/// Runs `work` with a pipeline of each transport, to its end.
fn in_both(config: &Config, work: impl Fn(&Tracer)) {
    let telemetry = spandrel_transport_std::init(config.clone()).unwrap();
    work(&telemetry.tracer("test"));
    let _ = telemetry.shutdown(PATIENCE);
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let telemetry = spandrel_transport_async::init(config.clone()).unwrap();
        work(&telemetry.tracer("test"));
        let _ = telemetry.shutdown(PATIENCE).await;
    });
}

/// The requests to the path of metrics.
fn metrics_of(server: &FaultServer) -> Vec<Arc<Request>> {
    let mut requests = server.requests();
    requests.retain(|request| request.target == "/v1/metrics");
    requests
}

fn decode(request: &Request) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest::decode(request.decoded().unwrap().as_slice()).unwrap()
}

/// The numbers of a request: the metric's name and the values of its attributes, in their order.
fn numbers(request: &ExportMetricsServiceRequest) -> BTreeMap<String, i64> {
    let mut found = BTreeMap::new();
    for metric in metrics(request) {
        let Some(Data::Sum(sum)) = &metric.data else {
            continue;
        };
        assert_eq!(sum.aggregation_temporality, 2, "cumulative");
        for point in &sum.data_points {
            assert!(0 < point.start_time_unix_nano);
            assert!(point.start_time_unix_nano <= point.time_unix_nano);
            let Some(Number::AsInt(number)) = point.value else {
                panic!("{point:?}");
            };
            found.insert(format!("{} {}", metric.name, told_apart(point)), number);
        }
    }
    found
}

fn metrics(request: &ExportMetricsServiceRequest) -> &[Metric] {
    &request.resource_metrics[0].scope_metrics[0].metrics
}

/// The attributes that differ between the points of a metric.
fn told_apart(point: &NumberDataPoint) -> String {
    let words: Vec<_> = point
        .attributes
        .iter()
        .filter(|it| it.key.starts_with("otel.span.") || it.key == "error.type")
        .map(|it| text(it.value.as_ref().and_then(|value| value.value.as_ref())))
        .collect();
    words.join(",")
}

fn text(value: Option<&Value>) -> String {
    match value {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    }
}

// spec G-016, spec G-017, spec G-018, spec G-019, spec G-020, spec G-021, spec G-022, spec G-024
#[test]
fn a_pipeline_sends_its_own_metrics_by_the_names_of_the_conventions() {
    let server = FaultServer::start(Script::new());
    let hour = Duration::from_secs(3600);
    in_both(&with_metrics(&server, hour), |tracer| {
        let root = tracer.start("root");
        tracer.span("child").parent(&root).start().end();
        drop(root);
    });
    let requests = metrics_of(&server);
    assert_eq!(requests.len(), 2, "one at each end");
    for request in requests {
        assert_eq!(
            request.header("content-type"),
            Some("application/x-protobuf")
        );
        assert_eq!(request.header("content-encoding"), Some("gzip"));
        let request = decode(&request);
        let of = &request.resource_metrics[0];
        let resource = of.resource.as_ref().unwrap();
        assert!(
            resource
                .attributes
                .iter()
                .any(|it| it.key == "service.name")
        );
        assert!(
            of.schema_url
                .starts_with("https://opentelemetry.io/schemas/")
        );
        assert_eq!(of.scope_metrics[0].scope.as_ref().unwrap().name, "spandrel");
        let numbers = numbers(&request);
        for (name, expected) in [
            ("otel.sdk.span.started RECORD_AND_SAMPLE,none", 1),
            ("otel.sdk.span.started RECORD_AND_SAMPLE,local", 1),
            ("otel.sdk.span.started RECORD_AND_SAMPLE,remote", 0),
            ("otel.sdk.span.started DROP,none", 0),
            ("otel.sdk.span.live RECORD_AND_SAMPLE", 0),
            ("otel.sdk.processor.span.queue.size ", 0),
            ("otel.sdk.processor.span.queue.capacity ", 2048),
            ("otel.sdk.processor.span.processed ", 2),
            ("otel.sdk.exporter.span.inflight ", 0),
            ("otel.sdk.exporter.span.exported ", 2),
            ("spandrel.exporter.requests ", 1),
            ("spandrel.exporter.retries ", 0),
        ] {
            assert_eq!(numbers.get(name), Some(&expected), "{name}: {numbers:#?}");
        }
        let is_duration = |it: &&Metric| it.name == "otel.sdk.exporter.operation.duration";
        let duration = metrics(&request).iter().find(is_duration).unwrap();
        let Some(Data::Histogram(histogram)) = &duration.data else {
            panic!("{duration:?}");
        };
        let point = &histogram.data_points[0];
        assert_eq!(
            (point.count, point.bucket_counts.iter().sum::<u64>()),
            (1, 1)
        );
        assert_eq!(point.bucket_counts.len(), point.explicit_bounds.len() + 1);
        let keys: Vec<_> = point.attributes.iter().map(|it| it.key.as_str()).collect();
        assert_eq!(
            keys,
            [
                "otel.component.type",
                "otel.component.name",
                "server.address",
                "server.port",
                "http.response.status_code"
            ]
        );
    }
}

#[test]
fn losses_and_failures_are_told_apart_by_their_type() {
    let server = FaultServer::start(Script::new().times(2, &Reply::status(400)));
    let off = Config {
        sampler: Some(Arc::new(AlwaysOff)),
        ..with_metrics(&server, Duration::from_secs(3600))
    };
    let telemetry = spandrel_transport_std::init(off).unwrap();
    telemetry.tracer("test").start("not sampled").end();
    assert_eq!(telemetry.metrics().started.drop.none, 1);
    drop(telemetry);

    let config = with_metrics(&server, Duration::from_secs(3600));
    let telemetry = spandrel_transport_std::init(config).unwrap();
    let open = telemetry.tracer("test").start("open");
    telemetry.tracer("test").start("refused").end();
    let _ = telemetry.force_flush(PATIENCE);
    let metrics = telemetry.metrics();
    assert_eq!(metrics.live.record_and_sample, 1);
    let [refused] = &metrics.operations[..] else {
        panic!("{:?}", metrics.operations);
    };
    assert_eq!(refused.error_type.as_deref(), Some("400"));
    assert_eq!((refused.status, refused.count), (Some(400), 1));
    drop((open, telemetry));
    let last = metrics_of(&server).pop().unwrap();
    let numbers = numbers(&decode(&last));
    let rejected = numbers.get("otel.sdk.exporter.span.exported rejected_4xx");
    assert_eq!(rejected, Some(&1), "{numbers:#?}");
}

#[test]
fn metrics_are_sent_again_and_again_and_never_unless_they_are_asked_for() {
    let server = FaultServer::start(Script::new());
    in_both(&config(&server.url()), |tracer| tracer.start("alone").end());
    assert!(metrics_of(&server).is_empty());
    in_both(&with_metrics(&server, Duration::from_millis(5)), |_| {
        let before = metrics_of(&server).len();
        let arrived = || metrics_of(&server).len() >= before + 3;
        let begun = std::time::Instant::now();
        while !arrived() && begun.elapsed() < PATIENCE {
            std::thread::yield_now();
        }
        assert!(arrived());
    });
}

#[test]
fn a_receiver_that_refuses_metrics_is_said_once_and_spans_go_on() {
    let server = FaultServer::start(Script::new().otherwise(Reply::status(404)));
    let lines = Process::start("metrics", &server.url(), 1, None).lines();
    let said: Vec<_> = lines
        .iter()
        .filter(|line| line.contains("the metrics of the pipeline were not accepted"))
        .collect();
    assert_eq!(said.len(), 1, "{lines:?}");
    assert!(
        said[0].contains("/v1/metrics: status 404; they are sent again in"),
        "{said:?}"
    );
}
