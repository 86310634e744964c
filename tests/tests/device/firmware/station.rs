//! The weather station that `firmware_demo` shows, over both of its ways into one collector.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, SystemTime};

use opentelemetry_proto::tonic::trace::v1::Span;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};

use super::board::{Run, stations};
use super::link::gateway_to;
use super::scenarios::{attribute, text};

/// What one cycle records.
const CYCLE: [(&str, usize); 6] = [
    ("station.cycle", 1),
    ("sensor.read", 2),
    ("wind.measure", 1),
    ("wind.sample", 6),
    ("display.show", 1),
    // By the interrupt handler, through the shared buffer.
    ("rain.tip", 4),
];
/// How many samples the link's memory has no room for.
const DROPPED: usize = 2;

#[test]
fn one_collector_gets_the_station_over_http_and_over_a_serial_line() {
    for image in stations() {
        let name = image.board.name;
        let server = FaultServer::start(Script::new());
        let mut seen = 0;
        if image.board.has_network() {
            server.push(Reply::retry_after(503, &["1"]));
            let port = server.addr().port();
            let run = Run::parse(&image.output(&format!("http {port} 7")));
            run.assert_ledger(15, 15, 0);
            assert_eq!(run.number("stats.attempts"), 2, "{name}");
            let requests = server.requests();
            assert_eq!(requests[0].body, requests[1].body, "{name}");
            seen = requests.len();
            let spans: Vec<_> = requests[1].spans().cloned().collect();
            assert_cycle(name, &spans, 0);
            // The date became known when all was recorded.
            let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let start = Duration::from_nanos(spans[0].start_time_unix_nano);
            assert!(
                now.unwrap().abs_diff(start) < Duration::from_secs(60),
                "{name}"
            );
        }

        let gateway = gateway_to(&server);
        let line = image.output("uart 8");
        gateway.serve(&mut line.as_slice(), None).unwrap();
        let status = gateway.shutdown(Duration::from_secs(20));
        let requests = server.requests();
        let relayed = requests.get(seen..).unwrap();
        let spans: Vec<_> = relayed
            .iter()
            .flat_map(|request| request.spans().cloned())
            .collect();
        assert_cycle(name, &spans, DROPPED);
        let tally = status.tally;
        assert_eq!(
            [tally.ended, tally.dropped_by_device, tally.lost_on_link],
            [15, DROPPED as u64, 0],
            "{name}"
        );
        assert!(status.ledger.is_closed(), "{name}: {status}");
        let resource = &relayed[0].export.as_ref().unwrap().resource_spans[0].resource;
        let attributes = &resource.as_ref().unwrap().attributes;
        for (key, value) in [("service.name", "station"), ("device.model.name", name)] {
            assert!(
                attributes.contains(&attribute(key, text(value))),
                "{name}: {attributes:?}"
            );
        }
    }
}

/// One trace, in which every parent is known and `lost` samples are missing.
fn assert_cycle(name: &str, spans: &[Span], lost: usize) {
    let mut counts = HashMap::<&str, usize>::new();
    for span in spans {
        *counts.entry(&span.name).or_default() += 1;
        assert_eq!(span.trace_id, spans[0].trace_id, "{name}");
        assert!(
            span.end_time_unix_nano >= span.start_time_unix_nano,
            "{name}: {span:?}"
        );
    }
    let mut expected = HashMap::from(CYCLE);
    *expected.get_mut("wind.sample").unwrap() -= lost;
    assert_eq!(counts, expected, "{name}");
    let ids: HashSet<_> = spans.iter().map(|span| &span.span_id).collect();
    assert_eq!(ids.len(), spans.len(), "{name}: each once");
    for span in spans {
        let is_root = span.name == "station.cycle";
        assert_eq!(span.parent_span_id.is_empty(), is_root, "{name}: {span:?}");
        assert!(
            is_root || ids.contains(&span.parent_span_id),
            "{name}: {span:?}"
        );
    }
}
