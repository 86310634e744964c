//! A gateway before a collector, and devices on sockets.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant as StdInstant};

use spandrel_core::hosted::config::Config;
use spandrel_core::link::CommandReader;
use spandrel_core::time::Instant;
use spandrel_tests::device::Device;
use spandrel_tests::fault_server::{FaultServer, SpanKey};
use spandrel_transport_std::gateway::{Gateway, GatewayConfig, GatewayStatus};

/// Long enough for any machine; nothing waits for it when all is well.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn config(server: &FaultServer) -> Config {
    Config {
        endpoint: server.url(),
        enabled: true,
        read_environment: false,
        scheduled_delay: Some(Duration::from_millis(20)),
        set_global: false,
        ..Config::default()
    }
}

pub(crate) fn gateway(server: &FaultServer, settings: GatewayConfig) -> Gateway {
    Gateway::new(&config(server), settings).unwrap()
}

pub(crate) fn listen(gateway: &Gateway) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    gateway.listen(listener).unwrap();
    address
}

/// Notes the device's spans as expected.
pub(crate) fn issue(server: &FaultServer, device: &Device) {
    for context in &device.contexts {
        server
            .oracle()
            .issue(context.trace_id().to_bytes(), context.span_id().to_bytes());
    }
}

pub(crate) fn keys(device: &Device) -> Vec<SpanKey> {
    let key = |context: &spandrel_core::context::SpanContext| SpanKey {
        trace: context.trace_id().to_bytes(),
        span: context.span_id().to_bytes(),
    };
    device.contexts.iter().map(key).collect()
}

/// Waits until `is_done` says so of the status.
pub(crate) fn wait(gateway: &Gateway, is_done: impl Fn(&GatewayStatus) -> bool) -> GatewayStatus {
    let until = StdInstant::now() + PATIENCE;
    loop {
        let status = gateway.status();
        if is_done(&status) {
            return status;
        }
        assert!(StdInstant::now() < until, "{status:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends everything that the device has and reads acknowledgements until nothing is left.
pub(crate) fn send_all(device: &mut Device, stream: &mut TcpStream) {
    let start = StdInstant::now();
    let now = || Instant::from_secs(1).saturating_add(start.elapsed());
    stream
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let mut reader = CommandReader::new();
    let mut bytes = [0; 256];
    while !device.link.buffer().is_empty() {
        for frame in device.frames(now(), 200) {
            stream.write_all(&frame).unwrap();
        }
        let len = stream.read(&mut bytes).unwrap_or(0);
        for &byte in &bytes[..len] {
            if let Some(command) = reader.push(byte) {
                device.link.handle_command(now(), command);
            }
        }
        assert!(start.elapsed() < PATIENCE, "{:?}", device.link.ledger());
    }
    for frame in device.frames(now(), 200) {
        stream.write_all(&frame).unwrap();
    }
}
