//! A request goes through a real collector and comes out with the same ids and attributes.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_tests::rotel::Rotel;

use super::support::{PATIENCE, agent, eventually, sample, span_id, status, trace_id};

/// The spans by id, and the resource's attributes; a collector may regroup the rest.
fn content(requests: &[&ExportTraceServiceRequest]) -> (BTreeMap<Vec<u8>, String>, String) {
    let mut spans = BTreeMap::new();
    let mut resources = Vec::new();
    for resource in requests.iter().flat_map(|request| &request.resource_spans) {
        resources.push(format!("{:?}", resource.resource));
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            spans.insert(span.span_id.clone(), format!("{span:?}"));
        }
    }
    resources.dedup();
    (spans, resources.concat())
}

#[test]
fn a_request_passes_through_the_collector_unchanged() {
    let server = FaultServer::start(Script::new());
    let rotel = match Rotel::start(&server.url()) {
        Ok(rotel) => rotel,
        Err(skip) => return println!("{skip}"),
    };
    let sent = sample(1..20);
    for number in 1..20 {
        server.oracle().issue(trace_id(number), span_id(number));
    }
    assert_eq!(status(&agent(PATIENCE), &rotel.url(), &sent).unwrap(), 200);
    assert!(
        eventually(|| server.oracle().missing().is_empty()),
        "the collector printed:\n{}",
        rotel.log()
    );
    let requests = server.requests();
    let received: Vec<_> = requests
        .iter()
        .map(|request| request.export.as_ref().unwrap())
        .collect();
    assert_eq!(content(&received), content(&[&sent]));
    assert!(server.oracle().unknown().is_empty());
    assert!(server.oracle().duplicated().is_empty());
    assert!(
        requests
            .iter()
            .all(|request| request.target == "/v1/traces")
    );
}

#[test]
fn the_collector_retries_what_our_server_refuses_for_a_while() {
    let server = FaultServer::start([Reply::status(503)]);
    let rotel = match Rotel::start(&server.url()) {
        Ok(rotel) => rotel,
        Err(skip) => return println!("{skip}"),
    };
    assert_eq!(
        status(&agent(PATIENCE), &rotel.url(), &sample(1..3)).unwrap(),
        200
    );
    assert!(
        eventually(|| server.oracle().acked().len() == 2),
        "the collector printed:\n{}",
        rotel.log()
    );
    assert_eq!(server.requests().len(), 2);
}

#[test]
fn the_collector_is_gone_once_dropped() {
    let server = FaultServer::start(Script::new());
    let rotel = match Rotel::start(&server.url()) {
        Ok(rotel) => rotel,
        Err(skip) => return println!("{skip}"),
    };
    assert!(eventually(|| rotel.log().contains("Starting Rotel")));
    let url = rotel.url();
    drop(rotel);
    assert!(status(&agent(PATIENCE), &url, &sample(1..3)).is_err());
}
