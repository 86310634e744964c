//! Our transport, a collector by other people, our server: what comes out is what went in.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "tests fail or are skipped at once, with the reason"
)]

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span as Received;
use spandrel_core::env::{Compression, Protocol};
use spandrel_tests::fault_server::{FaultServer, Script};
use spandrel_tests::rotel::Rotel;
use spandrel_transport_std::{Config, KeyValue, SpanKind, Telemetry, init};

const PATIENCE: Duration = Duration::from_secs(15);
const ORDERS: usize = 300;

fn telemetry(rotel: &Rotel, protocol: Protocol, compression: Compression) -> Telemetry {
    init(Config {
        enabled: true,
        service_name: "rotel".into(),
        endpoint: rotel.url(),
        protocol: Some(protocol),
        compression: Some(compression),
        max_export_batch_size: Some(100),
        read_environment: false,
        set_global: false,
        ..Config::default()
    })
    .unwrap()
}

fn id(bytes: [u8; 8]) -> Vec<u8> {
    bytes.to_vec()
}

/// Sends orders with their payments; the payment's id by the order's.
fn record(telemetry: &Telemetry, server: &FaultServer) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let tracer = telemetry.tracer("shop");
    let mut orders = BTreeMap::new();
    for number in 0..ORDERS {
        let mut order = tracer.span("order.place").kind(SpanKind::Server).start();
        order.set_attribute("order.number", number as i64);
        order.set_attribute("order.total", 0.5);
        order.set_attribute("order.note", "gr\u{fc}n");
        order.set_attribute("order.paid", false);
        order.add_event("stock.checked", &[KeyValue::new("left", 7)]);
        let payment = order.in_scope(|_| {
            let mut payment = tracer.start("payment.charge");
            payment.set_error("declined");
            let context = *payment.context();
            payment.end();
            context
        });
        let context = *order.context();
        order.end();
        for context in [context, payment] {
            let trace = context.trace_id().to_bytes();
            server.oracle().issue(trace, context.span_id().to_bytes());
        }
        orders.insert(
            id(context.span_id().to_bytes()),
            id(payment.span_id().to_bytes()),
        );
    }
    orders
}

fn arrived(server: &FaultServer) -> BTreeMap<Vec<u8>, Received> {
    let requests = server.requests();
    let spans = requests.iter().flat_map(|request| request.spans());
    spans
        .map(|span| (span.span_id.clone(), span.clone()))
        .collect()
}

fn passes_through(protocol: Protocol, compression: Compression) {
    let server = FaultServer::start(Script::new());
    let rotel = match Rotel::start(&server.url()) {
        Ok(rotel) => rotel,
        Err(skip) => return println!("{skip}"),
    };
    let telemetry = telemetry(&rotel, protocol, compression);
    let orders = record(&telemetry, &server);
    let report = telemetry.shutdown(PATIENCE);
    assert!(report.is_success(), "{report:?}\n{}", rotel.log());
    // The report starts at the shutdown, and full batches may have gone before.
    let ledger = telemetry.ledger();
    assert!(ledger.is_closed(), "{ledger}");
    assert_eq!(ledger.exported, 2 * ORDERS as u64, "{ledger}");

    let limit = Instant::now() + PATIENCE;
    while arrived(&server).len() < 2 * ORDERS {
        assert!(Instant::now() < limit, "it printed:\n{}", rotel.log());
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(server.oracle().missing().is_empty());
    assert!(server.oracle().unknown().is_empty());
    assert!(server.oracle().duplicated().is_empty());

    let spans = arrived(&server);
    assert_eq!(spans.len(), 2 * ORDERS);
    for (order_id, payment_id) in &orders {
        let (order, payment) = (&spans[order_id], &spans[payment_id]);
        assert!(order.parent_span_id.is_empty());
        assert_eq!(payment.parent_span_id, *order_id);
        assert_eq!(payment.trace_id, order.trace_id);
        assert_eq!((order.name.as_str(), order.kind), ("order.place", 2));
        assert_eq!((payment.name.as_str(), payment.kind), ("payment.charge", 1));
        let attributes: Vec<_> = order
            .attributes
            .iter()
            .map(|it| (it.key.as_str(), it.value.clone().unwrap().value.unwrap()))
            .collect();
        assert!(matches!(
            attributes[0],
            ("order.number", Value::IntValue(_))
        ));
        assert_eq!(
            attributes[1..],
            [
                ("order.total", Value::DoubleValue(0.5)),
                ("order.note", Value::StringValue("gr\u{fc}n".into())),
                ("order.paid", Value::BoolValue(false)),
            ]
        );
        let [event] = order.events.as_slice() else {
            unreachable!("{order:?}")
        };
        assert_eq!(event.name, "stock.checked");
        assert_eq!(event.attributes[0].key, "left");
        assert!(event.time_unix_nano >= order.start_time_unix_nano);
        assert!(order.end_time_unix_nano >= payment.end_time_unix_nano);
        let status = payment.status.as_ref().unwrap();
        assert_eq!((status.code, status.message.as_str()), (2, "declined"));
    }
    let numbers: std::collections::BTreeSet<_> = spans
        .values()
        .filter_map(|span| span.attributes.first())
        .map(|it| format!("{:?}", it.value))
        .collect();
    assert_eq!(numbers.len(), ORDERS, "each number once");
}

#[test]
fn gzip_protobuf_passes_through_a_real_collector() {
    passes_through(Protocol::HttpProtobuf, Compression::Gzip);
}

#[test]
fn plain_protobuf_passes_through_a_real_collector() {
    passes_through(Protocol::HttpProtobuf, Compression::None);
}

#[test]
fn gzip_json_passes_through_a_real_collector() {
    passes_through(Protocol::HttpJson, Compression::Gzip);
}
