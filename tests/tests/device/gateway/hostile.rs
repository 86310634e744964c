//! Bytes of any kind, and more devices than there is room for.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use proptest::prelude::*;
use spandrel_core::link::LinkConfig;
use spandrel_core::time::Instant;
use spandrel_tests::device::Device;
use spandrel_tests::fault_server::FaultServer;
use spandrel_transport_std::gateway::{GatewayConfig, StreamError};

use super::support::{gateway, listen, wait};

fn line(name: &str, spans: usize) -> Vec<u8> {
    let mut device = Device::named(name, LinkConfig::DEFAULT, 7, 10_000);
    for _ in 0..spans {
        device.span(0);
    }
    device.frames(Instant::from_secs(1), 200).concat()
}

#[test]
fn good_frames_after_any_noise_are_delivered() {
    let server = FaultServer::start([]);
    let gateway = gateway(&server, GatewayConfig::default());
    let mut bytes = vec![0x55; 200_000];
    bytes.extend(b"\0boot loader says hello\r\n\0\0\x01\0");
    bytes.extend(line("pump", 4));
    gateway.serve(&mut bytes.as_slice(), None).unwrap();
    let status = gateway.shutdown(Duration::from_secs(10));
    assert_eq!(status.ledger.exported, 4, "{status}");
    assert_eq!(status.streams.bad_frames, 3);
}

#[test]
fn a_connection_that_talks_nonsense_disturbs_nobody() {
    let server = FaultServer::start([]);
    let gateway = gateway(&server, GatewayConfig::default());
    let address = listen(&gateway);
    let mut bad = TcpStream::connect(address).unwrap();
    bad.write_all(b"GET / HTTP/1.1\r\n\r\n\0").unwrap();
    let mut good = TcpStream::connect(address).unwrap();
    good.write_all(&line("pump", 3)).unwrap();
    let status = wait(&gateway, |status| {
        status.ledger.exported == 3 && status.streams.bad_frames == 1
    });
    assert_eq!(status.streams.open, 2);
    drop((bad, good));
    wait(&gateway, |status| status.streams.open == 0);
}

/// A stream that panics after its bytes.
struct Panics(Vec<u8>);

impl std::io::Read for Panics {
    fn read(&mut self, target: &mut [u8]) -> std::io::Result<usize> {
        assert!(!self.0.is_empty(), "a fault of the line");
        let len = self.0.as_slice().read(target)?;
        self.0.drain(..len);
        Ok(len)
    }
}

// fault X42
#[test]
fn a_session_that_panics_ends_alone_and_its_spans_stay_in_the_books() {
    let server = FaultServer::start([]);
    let gateway = gateway(&server, GatewayConfig::default());
    let ended = gateway.serve(&mut Panics(line("pump", 3)), None);
    let text = ended.unwrap_err().to_string();
    assert!(text.contains("a fault of the line"), "{text}");
    gateway.serve(&mut line("fan", 2).as_slice(), None).unwrap();
    let status = gateway.shutdown(Duration::from_secs(10));
    assert_eq!(status.streams.open, 0);
    assert_eq!(status.ledger.exported, 5, "{status}");
}

#[test]
fn one_device_too_many_is_turned_away_and_the_others_go_on() {
    let server = FaultServer::start([]);
    let mut settings = GatewayConfig::default();
    settings.max_devices = 2;
    let gateway = gateway(&server, settings);
    for name in ["a", "b"] {
        gateway.serve(&mut line(name, 1).as_slice(), None).unwrap();
    }
    let third = gateway.serve(&mut line("c", 1).as_slice(), None);
    assert!(matches!(third, Err(StreamError::TooManyDevices)));
    gateway.serve(&mut line("a", 1).as_slice(), None).unwrap();
    let status = gateway.shutdown(Duration::from_secs(10));
    assert_eq!((status.devices, status.streams.refused), (2, 1));
    assert_eq!(status.ledger.exported, 3);
}

#[test]
fn spans_that_were_never_announced_are_counted() {
    let server = FaultServer::start([]);
    let gateway = gateway(&server, GatewayConfig::default());
    let mut device = Device::new(LinkConfig::DEFAULT, 7, 10_000);
    device.span(0);
    device.span(0);
    let frames = device.frames(Instant::from_secs(1), 200);
    let spans = frames[2..].concat();
    gateway.serve(&mut spans.as_slice(), None).unwrap();
    let status = gateway.shutdown(Duration::from_secs(1));
    assert_eq!((status.devices, status.streams.unannounced), (0, 2));
    assert_eq!(server.requests().len(), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_are_survived_and_the_books_stay_closed(
        noise in prop::collection::vec(any::<u8>(), 0..2_000),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..30),
    ) {
        let server = FaultServer::start([]);
        let gateway = gateway(&server, GatewayConfig::default());
        let mut bytes = line("pump", 20);
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        bytes.extend(noise);
        gateway.serve(&mut bytes.as_slice(), None).unwrap();
        let status = gateway.shutdown(Duration::from_secs(10));
        prop_assert!(status.ledger.is_closed());
        prop_assert_eq!(status.ledger.ended, status.tally.received);
        prop_assert_eq!(status.ledger.exported, server.oracle().copies_stored());
        prop_assert!(status.tally.received + status.tally.lost_on_link <= 20);
    }
}
