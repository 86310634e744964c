//! The relay's faults and the ports that refuse or swallow, seen by a client that is not ours.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, Instant};

use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_tests::loopback::{Blackhole, Gate, ReservedPort, refuse};
use spandrel_tests::proxy::{End, Lane, Lanes, Proxy};

use super::support::{PATIENCE, agent, eventually, gzip, io_kind, sample, status, timed_out};

const SHORT: Duration = Duration::from_millis(200);

fn through(lanes: Lanes) -> (FaultServer, Proxy) {
    let server = FaultServer::start(Script::new());
    let proxy = Proxy::start(server.addr(), lanes);
    (server, proxy)
}

fn up(lane: Lane) -> Lanes {
    Lanes {
        up: lane,
        ..Lanes::default()
    }
}

fn down(lane: Lane) -> Lanes {
    Lanes {
        down: lane,
        ..Lanes::default()
    }
}

#[test]
fn a_refusing_port_refuses_at_once() {
    let port = refuse();
    let error = status(&agent(PATIENCE), &port.url(), &sample(1..2)).unwrap_err();
    assert_eq!(io_kind(&error), Some(ErrorKind::ConnectionRefused));
}

#[test]
fn a_reserved_port_is_given_to_nobody_else() {
    let port = ReservedPort::new().unwrap();
    let others: Vec<_> = (0..100)
        .map(|_| TcpListener::bind("127.0.0.1:0").unwrap())
        .collect();
    let taken = |other: &TcpListener| other.local_addr().unwrap() == port.addr();
    assert!(!others.iter().any(taken));
    let listener = port.listen(1).unwrap();
    assert!(port.listen(1).is_err());
    assert!(TcpStream::connect(port.addr()).is_ok());
    drop(listener);
    assert!(TcpStream::connect(port.addr()).is_err());
    assert!(port.listen(1).is_ok());
}

#[test]
fn a_blackhole_leaves_the_client_to_its_deadline() {
    let hole = Blackhole::start().unwrap();
    let started = Instant::now();
    let error = status(&agent(SHORT), &hole.url(), &sample(1..2)).unwrap_err();
    assert!(timed_out(&error), "{error:?}");
    assert!(started.elapsed() >= SHORT / 2, "{error:?} at once");
}

#[test]
fn a_gate_ends_a_pause() {
    let gate = Gate::default();
    assert!(gate.pause(Duration::from_millis(1)));
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| gate.pause(Duration::MAX));
        gate.close();
        assert!(!waiting.join().unwrap());
    });
    assert!(gate.is_closed() && !gate.pause(Duration::ZERO));
}

#[test]
fn an_untouched_relay_is_transparent() {
    let (server, proxy) = through(Lanes::default());
    let agent = agent(PATIENCE);
    for _ in 0..3 {
        assert_eq!(status(&agent, &proxy.url(), &sample(1..50)).unwrap(), 200);
    }
    assert_eq!(server.counters().accepted, 1);
    let relayed = proxy.relayed();
    assert_eq!(relayed.connections, 1);
    assert!(eventually(|| {
        server.counters().response_bytes == relayed.down
    }));
    assert!(relayed.up > 3 * gzip(&sample(1..50)).len() as u64);
    drop(agent);
    assert!(eventually(|| server.counters().open == 0));
}

#[test]
fn a_lane_ends_at_its_byte() {
    for end in [End::Cut, End::Reset, End::HalfClose] {
        for bytes in [0, 1, 50, 150] {
            let (server, proxy) = through(up(Lane::ending(bytes, end)));
            let result = status(&agent(PATIENCE), &proxy.url(), &sample(1..50));
            assert!(result.is_err(), "up {end:?} {bytes}: {result:?}");
            assert_eq!(proxy.relayed().up, bytes, "up {end:?}");
            assert!(server.requests().iter().all(|request| !request.complete));

            let (server, proxy) = through(down(Lane::ending(bytes.min(60), end)));
            let result = status(&agent(PATIENCE), &proxy.url(), &sample(1..50));
            assert!(result.is_err(), "down {end:?} {bytes}: {result:?}");
            assert_eq!(proxy.relayed().down, bytes.min(60), "down {end:?}");
            if bytes > 0 {
                assert_eq!(server.oracle().stored().len(), 49);
            }
        }
    }
}

#[test]
fn a_reset_reaches_both_sides() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let lanes = up(Lane::ending(3, End::Reset));
    let proxy = Proxy::start(listener.local_addr().unwrap(), lanes);
    let mut client = TcpStream::connect(proxy.addr()).unwrap();
    client.write_all(b"abcdef").unwrap();
    let (mut server, _) = listener.accept().unwrap();
    let mut seen = Vec::new();
    for side in [&mut client, &mut server] {
        side.set_read_timeout(Some(PATIENCE)).unwrap();
        let error = side.read_to_end(&mut seen).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    }
    assert_eq!(seen, b"abc");
}

#[test]
fn resets_travel_through() {
    let server = FaultServer::start(Reply::ResetAfterRequest);
    let proxy = Proxy::start(server.addr(), Lanes::default());
    let mut client = TcpStream::connect(proxy.addr()).unwrap();
    client.write_all(b"POST / HTTP/1.1\r\n\r\n").unwrap();
    let error = client.read_to_end(&mut Vec::new()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn open_connections_can_be_reset_at_will() {
    let (server, proxy) = through(Lanes::default());
    let mut client = TcpStream::connect(proxy.addr()).unwrap();
    assert!(eventually(|| server.counters().open == 1));
    proxy.reset_all();
    let error = client.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
    assert!(eventually(|| server.counters().open == 0));
}

#[test]
fn a_stalled_lane_ends_at_the_clients_deadline() {
    for lanes in [
        up(Lane::ending(20, End::Stall)),
        down(Lane::ending(20, End::Stall)),
    ] {
        let (server, proxy) = through(lanes);
        let started = Instant::now();
        let error = status(&agent(SHORT), &proxy.url(), &sample(1..50)).unwrap_err();
        assert!(timed_out(&error), "{error:?}");
        drop(proxy);
        drop(server);
        assert!(started.elapsed() < PATIENCE);
    }
}

#[test]
fn delay_and_throttle_take_their_time() {
    let lane = Lane {
        delay: SHORT / 2,
        ..Lane::default()
    };
    let (_server, proxy) = through(Lanes {
        up: lane,
        down: lane,
    });
    let timed = || {
        let started = Instant::now();
        let agent = agent(PATIENCE);
        assert_eq!(status(&agent, &proxy.url(), &sample(1..100)).unwrap(), 200);
        started.elapsed()
    };
    assert!(timed() >= SHORT);
    let before = proxy.relayed().up;
    proxy.set(up(Lane {
        bytes_per_sec: Some(5000),
        ..Lane::default()
    }));
    let time = timed();
    let bytes = proxy.relayed().up - before;
    let expected = Duration::from_secs(1).mul_f64(bytes as f64 / 5000.0);
    assert!(time >= expected.mul_f64(0.9), "{time:?} for {bytes} bytes");
}

#[test]
fn a_relay_to_a_stopped_server_resets() {
    let (server, proxy) = through(Lanes::default());
    server.available(false);
    let result = status(&agent(PATIENCE), &proxy.url(), &sample(1..2));
    assert!(result.is_err());
    server.available(true);
    assert_eq!(
        status(&agent(PATIENCE), &proxy.url(), &sample(1..2)).unwrap(),
        200
    );
}
