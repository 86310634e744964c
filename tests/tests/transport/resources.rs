//! Faults of a program that uses much of what is bounded, and what the rest of it must not notice.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;
use spandrel_tests::fault_server::Script;

use crate::harness::Rig;

/// Spans by the name of their scope, as the collector has them.
fn by_scope(rig: &Rig) -> BTreeMap<String, Vec<String>> {
    let mut found = BTreeMap::<String, Vec<String>>::new();
    for request in rig.server.requests() {
        let body = request.decoded().expect("a body");
        let request = ExportTraceServiceRequest::decode(&*body).expect("OTLP");
        for scope in request.resource_spans.iter().flat_map(|it| &it.scope_spans) {
            let name = scope.scope.clone().unwrap_or_default().name;
            let spans = scope.spans.iter().map(|span| span.name.clone());
            found.entry(name).or_default().extend(spans);
        }
    }
    found
}

#[test]
fn x100_a_component_with_thousands_of_tracers_takes_no_other_ones_name() {
    let rig = Rig::new(Script::new());
    rig.end(rig.telemetry.tracer("orders").start("before"));
    // Long names fill the registry soon, short ones leave no room at the end of it.
    for number in 0..1000 {
        drop(rig.telemetry.tracer(&format!("component.{number:0>80}")));
    }
    for number in 0..20 {
        drop(rig.telemetry.tracer(&number.to_string()));
    }
    rig.end(rig.telemetry.tracer("orders").start("after"));
    rig.end(rig.telemetry.tracer("late").start("nameless"));
    assert!(rig.flush().is_success());
    let found = by_scope(&rig);
    assert_eq!(found["orders"], ["before", "after"]);
    assert_eq!(found[""], ["nameless"]);
    rig.close();
}
