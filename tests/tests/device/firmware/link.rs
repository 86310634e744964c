//! Frames of an emulated device, over its serial line, through the real gateway into a collector.

use std::time::Duration;

use opentelemetry_proto::tonic::trace::v1::Span;
use spandrel_core::hosted::config::Config;
use spandrel_tests::fault_server::FaultServer;
use spandrel_transport_std::gateway::{Gateway, GatewayConfig};

use super::board::linked;
use super::scenarios::{attribute, numbered, root, span_id, text};

const MILLI: u64 = 1_000_000;
/// How many of the first 22 spans the device has room for.
const KEPT: u32 = 16;

/// The gateway in front of `server`.
pub(crate) fn gateway_to(server: &FaultServer) -> Gateway {
    let config = Config {
        endpoint: server.url(),
        enabled: true,
        read_environment: false,
        scheduled_delay: Some(Duration::from_millis(20)),
        set_global: false,
        ..Config::default()
    };
    Gateway::new(&config, GatewayConfig::default()).unwrap()
}

#[test]
fn spans_of_a_device_without_a_network_arrive_through_the_gateway() {
    for image in linked() {
        let name = image.board.name;
        let server = FaultServer::start([]);
        let gateway = gateway_to(&server);
        let line = image.output("link");
        gateway.serve(&mut line.as_slice(), None).unwrap();
        let status = gateway.shutdown(Duration::from_secs(20));

        let requests = server.requests();
        let exports: Vec<_> = requests
            .iter()
            .map(|request| request.export.as_ref().unwrap())
            .collect();
        let of_resource = &exports[0].resource_spans[0];
        let resource = &of_resource.resource.as_ref().unwrap().attributes;
        for (key, value) in [("service.name", "firmware"), ("device.model.name", name)] {
            assert!(
                resource.contains(&attribute(key, text(value))),
                "{name}: {resource:?}"
            );
        }
        let spans: Vec<_> = requests
            .iter()
            .flat_map(|request| request.spans())
            .collect();
        // The gateway knows when frames came and not when they were sent, so it dates by the fastest
        // one so far: each of the two times that the device sent has one offset for all its spans.
        let (first, last) = (spans[0], spans[spans.len() - 1]);
        let early = first.start_time_unix_nano - MILLI;
        let late = last.start_time_unix_nano;
        assert!(late > 1_700_000_000_000 * MILLI, "{name}: it is dated");
        assert!(
            early.abs_diff(late) < 1_000 * MILLI,
            "{name}: {early} and {late}"
        );
        let work = |offset: u64, i: u32| {
            let at = offset + u64::from(i) * MILLI;
            Span {
                span_id: span_id(2 + i),
                parent_span_id: span_id(2),
                ..numbered(1, "work", "number", i, at, at + MILLI)
            }
        };
        let mut expected: Vec<_> = (1..=KEPT).map(|i| work(early, i)).collect();
        expected.push(work(late, 23));
        expected.push(root(1, "boot", late, late + 24 * MILLI));
        assert_eq!(spans, expected.iter().collect::<Vec<_>>(), "{name}");

        let tally = status.tally;
        let lost = u64::from(22 - KEPT);
        assert_eq!(
            [
                tally.ended,
                tally.dropped_by_device,
                tally.received,
                tally.lost_on_link
            ],
            [24, lost, 24 - lost, 0],
            "{name}"
        );
        assert!(status.ledger.is_closed(), "{name}: {status}");
        assert_eq!(status.streams.bad_frames, 0, "{name}");
    }
}
