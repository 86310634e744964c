//! What goes in comes out: ids, times, attributes, resources, scopes and counts.

use std::net::TcpStream;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use spandrel_core::link::{Command, CommandReader, LinkConfig};
use spandrel_core::time::Instant;
use spandrel_tests::device::Device;
use spandrel_tests::fault_server::{FaultServer, Reply};
use spandrel_transport_std::gateway::GatewayConfig;

use super::support::{gateway, issue, keys, listen, send_all, wait};

const RELIABLE: LinkConfig = LinkConfig::DEFAULT.with_acknowledgements(Duration::from_millis(500));

#[test]
fn a_stream_without_a_way_back_is_delivered_whole_and_dated() {
    let server = FaultServer::start([]);
    let mut settings = GatewayConfig::default();
    settings.attributes = vec![("site".into(), "north".into()), ("line".into(), "3".into())];
    let gateway = gateway(&server, settings);
    let mut device = Device::new(LinkConfig::DEFAULT, 7, 10_000);
    for extra in [0, 10, 900] {
        assert!(device.span(extra));
    }
    issue(&server, &device);
    // Read at the device's tenth second: its spans began ten seconds ago.
    let line = device.frames(Instant::from_secs(10), 128).concat();
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    gateway.serve(&mut line.as_slice(), None).unwrap();
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let status = gateway.shutdown(Duration::from_secs(10));

    assert_eq!(server.oracle().missing().len(), 0, "{status}");
    assert_eq!(server.oracle().copies_stored(), 3);
    assert_eq!((status.tally.received, status.ledger.exported), (3, 3));
    assert_eq!((status.tally.ended, status.tally.lost_on_link), (3, 0));
    assert!(status.ledger.is_closed(), "{status:?}");
    assert_eq!(device.link.ledger().exported, 3);

    let requests = server.requests();
    let export = requests[0].export.as_ref().unwrap();
    let resource_spans = &export.resource_spans[0];
    let attributes = &resource_spans.resource.as_ref().unwrap().attributes;
    let mut texts: Vec<_> = attributes
        .iter()
        .map(|kv| match kv.value.as_ref().unwrap().value.as_ref() {
            Some(Value::StringValue(text)) => (kv.key.as_str(), text.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    texts.sort_unstable();
    assert_eq!(
        texts,
        [("line", "3"), ("service.name", "pump"), ("site", "north")]
    );
    assert_eq!(resource_spans.schema_url, "https://example.com/schema");
    let scope = resource_spans.scope_spans[0].scope.as_ref().unwrap();
    assert_eq!(
        (scope.name.as_str(), scope.version.as_str()),
        ("valves", "2")
    );

    let spans: Vec<_> = requests
        .iter()
        .flat_map(|request| request.spans())
        .collect();
    for (number, span) in spans.iter().enumerate() {
        let offset = Duration::from_secs(10) - Duration::from_millis(number as u64);
        let start = Duration::from_nanos(span.start_time_unix_nano);
        assert!(before - offset <= start && start <= after - offset);
        assert_eq!(
            span.end_time_unix_nano - span.start_time_unix_nano,
            1_000_000
        );
        assert_eq!(span.events[0].time_unix_nano, span.start_time_unix_nano);
        assert_eq!(span.name, "turn");
    }
    assert!(spans.iter().any(|span| {
        let value = span.attributes[0].value.as_ref().unwrap().value.as_ref();
        value == Some(&Value::StringValue("x".repeat(900)))
    }));
}

#[test]
fn several_devices_at_once_keep_their_spans_apart() {
    let server = FaultServer::start([]);
    let gateway = gateway(&server, GatewayConfig::default());
    let address = listen(&gateway);
    let devices: Vec<Device> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..6_u32)
            .map(|place| {
                scope.spawn(move || {
                    let config = if place % 2 == 0 {
                        RELIABLE
                    } else {
                        LinkConfig::DEFAULT
                    };
                    let name = format!("pump {place}");
                    let mut device = Device::named(&name, config, place, 100_000);
                    let mut stream = TcpStream::connect(address).unwrap();
                    for _ in 0..5 {
                        for extra in 0..20 {
                            assert!(device.span(extra));
                        }
                        send_all(&mut device, &mut stream);
                    }
                    device
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().unwrap())
            .collect()
    });
    let status = wait(&gateway, |status| status.tally.ended == 600);
    assert_eq!((status.devices, status.tally.received), (6, 600));
    let status = gateway.shutdown(Duration::from_secs(10));
    assert_eq!((status.ledger.exported, status.tally.repeated), (600, 0));
    assert!(status.ledger.is_closed() && status.tally.lost_on_link == 0);
    for device in &devices {
        issue(&server, device);
    }
    assert_eq!(server.oracle().missing().len(), 0);
    assert_eq!(server.oracle().copies_stored(), 600);

    for request in server.requests() {
        for resource_spans in &request.export.as_ref().unwrap().resource_spans {
            let attributes = &resource_spans.resource.as_ref().unwrap().attributes;
            let name = attributes.iter().find(|kv| kv.key == "service.name");
            let name = match name.unwrap().value.as_ref().unwrap().value.as_ref() {
                Some(Value::StringValue(name)) => name.clone(),
                other => panic!("{other:?}"),
            };
            let place: usize = name.strip_prefix("pump ").unwrap().parse().unwrap();
            let own = keys(&devices[place]);
            for span in resource_spans.scope_spans.iter().flat_map(|s| &s.spans) {
                let is_own = own.iter().any(|key| key.span[..] == span.span_id[..]);
                assert!(is_own, "a span of another device under {name}");
            }
        }
    }
}

#[test]
fn gaps_and_the_devices_own_losses_are_counted() {
    let server = FaultServer::start([]);
    let gateway = gateway(&server, GatewayConfig::default());
    let mut device = Device::new(LinkConfig::DEFAULT, 7, 1_000);
    for _ in 0..20 {
        device.span(0);
    }
    let dropped = device.link.ledger().dropped_total();
    assert!(dropped > 0);
    let frames = device.frames(Instant::from_secs(10), 256);
    // Announcement, announcement, counts; then spans, of which two vanish.
    let kept: Vec<u8> = frames
        .iter()
        .enumerate()
        .filter(|(place, _)| ![4, 5].contains(place))
        .flat_map(|(_, frame)| frame.clone())
        .collect();
    gateway.serve(&mut kept.as_slice(), None).unwrap();
    let status = gateway.shutdown(Duration::from_secs(10));
    assert_eq!(status.tally.lost_on_link, 2);
    assert_eq!(status.tally.dropped_by_device, dropped);
    assert_eq!(status.tally.ended, 20);
    assert_eq!(
        status.tally.ended,
        status.tally.dropped_by_device + status.tally.lost_on_link + status.tally.received
    );
    assert_eq!(status.streams.lost_frames, 2);
    assert_eq!(status.ledger.exported, status.tally.received);
}

#[test]
fn a_device_that_connects_again_is_the_same_one_and_nothing_arrives_twice() {
    let server = FaultServer::start([]);
    let gateway = gateway(&server, GatewayConfig::default());
    let address = listen(&gateway);
    let mut device = Device::new(RELIABLE, 7, 10_000);
    for _ in 0..3 {
        device.span(0);
    }
    // The first connection breaks before any answer could be read.
    let first = device.frames(Instant::from_secs(1), 200).concat();
    gateway.serve(&mut first.as_slice(), None).unwrap();
    assert_eq!(device.link.ledger().buffered, 3);
    device.span(0);
    let mut stream = TcpStream::connect(address).unwrap();
    send_all(&mut device, &mut stream);
    let status = wait(&gateway, |status| status.tally.ended == 4);
    assert_eq!((status.devices, status.tally.received), (1, 4));
    assert_eq!((status.tally.repeated, status.tally.lost_on_link), (3, 0));
    let _ = gateway.shutdown(Duration::from_secs(10));
    issue(&server, &device);
    assert_eq!(server.oracle().missing().len(), 0);
    assert_eq!(server.oracle().copies_stored(), 4);
}

#[test]
fn a_collector_that_is_away_loses_nothing() {
    let server = FaultServer::start([]);
    server.available(false);
    let gateway = gateway(&server, GatewayConfig::default());
    let mut device = Device::new(LinkConfig::DEFAULT, 7, 10_000);
    for _ in 0..10 {
        device.span(0);
    }
    let line = device.frames(Instant::from_secs(1), 200).concat();
    gateway.serve(&mut line.as_slice(), None).unwrap();
    server.push(Reply::retry_after(503, &["0"]));
    server.available(true);
    let status = wait(&gateway, |status| status.ledger.exported == 10);
    assert_eq!(status.ledger.dropped_total(), 0);
    let _ = gateway.shutdown(Duration::from_secs(10));
}

#[test]
fn a_full_pipeline_leaves_the_spans_of_a_careful_device_with_it() {
    let server = FaultServer::start([]);
    server.available(false);
    let mut config = super::support::config(&server);
    config.buffer_bytes = Some(20_000);
    let gateway = spandrel_transport_std::gateway::Gateway::new(&config, GatewayConfig::default());
    let gateway = gateway.unwrap();
    let address = listen(&gateway);
    let mut device = Device::new(RELIABLE, 7, 100_000);
    for _ in 0..300 {
        device.span(50);
    }
    let mut stream = TcpStream::connect(address).unwrap();
    let sending = std::thread::spawn(move || {
        send_all(&mut device, &mut stream);
        device
    });
    wait(&gateway, |status| status.ledger.buffered >= 50);
    server.available(true);
    let device = sending.join().unwrap();
    let status = wait(&gateway, |status| status.ledger.exported == 300);
    assert_eq!(status.ledger.dropped_total(), 0, "{status:?}");
    let _ = gateway.shutdown(Duration::from_secs(10));
    issue(&server, &device);
    assert_eq!(server.oracle().missing().len(), 0);
}

#[test]
fn a_gateway_asks_for_a_missing_resource_and_acknowledges_nothing() {
    let server = FaultServer::start([]);
    let gateway = gateway(&server, GatewayConfig::default());
    let mut device = Device::new(RELIABLE, 7, 10_000);
    device.span(0);
    let frames = device.frames(Instant::from_secs(1), 200);
    let answers = |line: Vec<u8>| {
        let mut output = Vec::new();
        let served = gateway.serve(&mut line.as_slice(), Some(&mut output));
        served.unwrap();
        let mut reader = CommandReader::new();
        let commands = output.iter().filter_map(|&byte| reader.push(byte));
        commands.collect::<Vec<_>>()
    };
    assert_eq!(
        answers(frames[2..].concat()),
        [Command::Announce { boot: 7 }]
    );
    assert_eq!(
        answers(frames.concat()),
        [Command::Ack { boot: 7, next: 1 }]
    );
    let _ = gateway.shutdown(Duration::from_secs(10));
}

#[test]
fn a_backlog_is_dated_by_its_last_frame() {
    let server = FaultServer::start([]);
    let gateway = gateway(&server, GatewayConfig::default());
    let mut device = Device::new(LinkConfig::DEFAULT, 7, 10_000);
    let mut line = Vec::new();
    // A capture of 100 seconds, one frame in each.
    for second in 0..100 {
        assert!(device.span(0));
        line.extend(device.frames(Instant::from_secs(second), 256).concat());
    }
    issue(&server, &device);
    let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    gateway.serve(&mut line.as_slice(), None).unwrap();
    let after = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    let status = gateway.shutdown(Duration::from_secs(10));
    assert_eq!(server.oracle().copies_stored(), 100, "{status}");

    let mut starts: Vec<_> = server
        .requests()
        .iter()
        .flat_map(|request| request.export.clone().unwrap().resource_spans)
        .flat_map(|resource| resource.scope_spans)
        .flat_map(|scope| scope.spans)
        .map(|span| Duration::from_nanos(span.start_time_unix_nano))
        .collect();
    starts.sort_unstable();
    // The device's spans began in its first 100 milliseconds, one in each.
    for (milli, start) in (0..).zip(&starts) {
        let ago = Duration::from_millis(99_000 - milli);
        assert!((before - ago..=after - ago).contains(start), "{milli}");
    }
}

#[test]
fn a_run_with_the_number_of_the_one_before_arrives_on_another_stream() {
    let server = FaultServer::start([]);
    let gateway = gateway(&server, GatewayConfig::default());
    let mut received = 0;
    for (start, lost) in [(100, 0), (3, 1), (2, 1)] {
        let mut device = Device::new(LinkConfig::DEFAULT, 7, 10_000);
        let mut frames = Vec::new();
        // Long enough for a second announcement.
        for second in start..start + 40 {
            assert!(device.span(0));
            frames.extend(device.frames(Instant::from_secs(second), 256));
        }
        let line = frames[lost..].concat();
        gateway.serve(&mut line.as_slice(), None).unwrap();
        received += 40;
        let tally = gateway.status().tally;
        assert_eq!((tally.received, tally.repeated), (received, 0));
    }
    gateway.shutdown(Duration::from_secs(10));
}
