//! A TCP relay that delays, throttles, cuts and resets at an exact byte.
//!
//! Some faults belong to the network and not to the server, and must strike at each byte
//! of an exchange that both ends believe in, TLS included. So there is a
//! relay in user space with one [`Lane`] for each direction.
//!
//! ```text
//! client ── up ──▶ proxy ── up ──▶ server
//! client ◀─ down ─ proxy ◀─ down ─ server
//! ```

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::loopback::{Gate, ReservedPort, Socket, locked};

const BACKLOG: i32 = 128;
const PIECE: usize = 16 * 1024;
const PIECES_PER_SECOND: u32 = 20;

/// How a lane ends before its sender ends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// FIN to both sides, in both directions.
    Cut,
    /// RST to both sides.
    Reset,
    /// FIN to the receiver of this lane; the other lane goes on, and what still comes is swallowed.
    HalfClose,
    /// Nothing more is relayed on this lane, without a sign of it.
    Stall,
}

/// What happens to the bytes of one direction. The default relays them untouched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lane {
    /// Time before each piece read, at most 16 KiB, is passed on.
    pub delay: Duration,
    /// Bytes a second at most.
    pub bytes_per_sec: Option<u32>,
    /// The end, once exactly so many bytes of a connection have passed.
    pub end: Option<(u64, End)>,
}

impl Lane {
    /// A lane that ends after `bytes`.
    #[must_use]
    pub fn ending(bytes: u64, end: End) -> Self {
        Self {
            end: Some((bytes, end)),
            ..Self::default()
        }
    }
}

/// Both directions of the connections to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Lanes {
    /// From the client to the server.
    pub up: Lane,
    /// From the server to the client.
    pub down: Lane,
}

/// Counters of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Relayed {
    /// Connections accepted.
    pub connections: u64,
    /// Bytes passed on to the server.
    pub up: u64,
    /// Bytes passed on to the client.
    pub down: u64,
}

/// The relay; see the module. Dropping it cuts all connections and joins all threads.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    addr: SocketAddr,
    thread: Option<JoinHandle<()>>,
    // Kept so that the port refuses, and is nobody else's, once the thread is gone.
    _port: ReservedPort,
}

#[derive(Debug)]
struct Shared {
    server: SocketAddr,
    lanes: Mutex<Lanes>,
    gate: Gate,
    links: Mutex<Vec<Arc<Link>>>,
    connections: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl Proxy {
    /// Starts a relay to `server` on a loopback port that the kernel picks.
    ///
    /// # Panics
    /// If the machine has no free port or thread.
    #[must_use]
    pub fn start(server: SocketAddr, lanes: Lanes) -> Self {
        let port = ReservedPort::new().expect("a free loopback port");
        let listener = port.listen(BACKLOG).expect("a listening port");
        let shared = Arc::new(Shared {
            server,
            lanes: Mutex::new(lanes),
            gate: Gate::default(),
            links: Mutex::default(),
            connections: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        });
        let its_shared = shared.clone();
        let thread = thread::Builder::new()
            .name("proxy".to_owned())
            .spawn(move || accept(&listener, &its_shared))
            .expect("a thread");
        Self {
            shared,
            addr: port.addr(),
            thread: Some(thread),
            _port: port,
        }
    }

    /// Changes what happens to connections accepted from now on.
    pub fn set(&self, lanes: Lanes) {
        *locked(&self.shared.lanes) = lanes;
    }

    /// Resets every connection that is open now.
    pub fn reset_all(&self) {
        for link in locked(&self.shared.links).iter() {
            link.end(End::Reset);
        }
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The base of an `http` URL through it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// The counters now.
    #[must_use]
    pub fn relayed(&self) -> Relayed {
        Relayed {
            connections: self.shared.connections.load(Relaxed),
            up: self.shared.up.load(Relaxed),
            down: self.shared.down.load(Relaxed),
        }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.gate.close();
        let _ = TcpStream::connect_timeout(&self.addr, Duration::from_secs(1));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn accept(listener: &TcpListener, shared: &Shared) {
    thread::scope(|scope| {
        for client in listener.incoming() {
            if shared.gate.is_closed() {
                break;
            }
            let Ok(client) = client else {
                shared.gate.pause(Duration::from_millis(5));
                continue;
            };
            shared.connections.fetch_add(1, Relaxed);
            let client = Socket::new(client);
            let connected = TcpStream::connect_timeout(&shared.server, Duration::from_secs(1));
            let Ok(server) = connected else {
                // The client sees what it would have seen without us, one step later.
                client.reset_on_close();
                continue;
            };
            let lanes = *locked(&shared.lanes);
            let link = Link::new(client, Socket::new(server));
            locked(&shared.links).push(link.clone());
            let (up, down) = (link.clone(), link);
            scope.spawn(move || {
                up.relay(Direction::Up, lanes.up, &shared.up);
                forget(shared, up);
            });
            scope.spawn(move || {
                down.relay(Direction::Down, lanes.down, &shared.down);
                forget(shared, down);
            });
        }
        for link in locked(&shared.links).iter() {
            link.end(End::Cut);
        }
    });
}

/// Drops one lane's handle; when the other lane's is gone too, so is the connection.
fn forget(shared: &Shared, link: Arc<Link>) {
    let mut links = locked(&shared.links);
    drop(link);
    links.retain(|link| Arc::strong_count(link) > 1);
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Direction {
    Up,
    Down,
}

/// One relayed connection.
#[derive(Debug)]
struct Link {
    client: Socket,
    server: Socket,
    /// Closed when both lanes have to stop.
    gate: Gate,
}

impl Link {
    fn new(client: Socket, server: Socket) -> Arc<Self> {
        Arc::new(Self {
            client,
            server,
            gate: Gate::default(),
        })
    }

    /// Passes bytes on until a side ends, the lane's own end comes, or the link is ended.
    fn relay(&self, direction: Direction, lane: Lane, passed: &AtomicU64) {
        let (from, to) = match direction {
            Direction::Up => (&self.client, &self.server),
            Direction::Down => (&self.server, &self.client),
        };
        let (mut from, mut to) = (from.clone(), to.clone());
        let mut left = lane.end.map_or(u64::MAX, |(bytes, _)| bytes);
        while left > 0 {
            match self.pass(&mut from, &mut to, lane, left, passed) {
                Ok(0) => {
                    // A half-open connection stays one on the other side of the relay.
                    if !self.gate.is_closed() {
                        to.finish_writing();
                    }
                    return;
                }
                Ok(count) => left -= count,
                Err(error) => {
                    // Resets travel through the relay too.
                    if error.kind() == io::ErrorKind::ConnectionReset {
                        self.end(End::Reset);
                    }
                    return;
                }
            }
        }
        if let Some((_, end)) = lane.end {
            if end == End::HalfClose {
                to.finish_writing();
            }
            self.end(end);
            if matches!(end, End::HalfClose | End::Stall) {
                while from.read(&mut [0; PIECE]).is_ok_and(|read| read > 0) {}
            }
            if end == End::Stall {
                // The stalled side gave up; the other one must not wait for it for ever.
                self.end(End::Cut);
            }
        }
    }

    /// Passes one piece on, never more than `left` bytes; zero at the end of the stream.
    fn pass(
        &self,
        from: &mut Socket,
        to: &mut Socket,
        lane: Lane,
        left: u64,
        passed: &AtomicU64,
    ) -> io::Result<u64> {
        let mut buffer = [0; PIECE];
        let limit = lane.bytes_per_sec.map_or(PIECE, |rate| {
            usize::try_from(rate.div_ceil(PIECES_PER_SECOND)).unwrap_or(PIECE)
        });
        let limit = limit
            .clamp(1, PIECE)
            .min(usize::try_from(left).unwrap_or(PIECE));
        let room = buffer.get_mut(..limit).unwrap_or_default();
        let count = from.read(room)?;
        let mut wait = lane.delay;
        if let Some(rate) = lane.bytes_per_sec {
            let size = u32::try_from(count).unwrap_or(u32::MAX);
            wait += Duration::from_secs(size.into()) / rate.max(1);
        }
        if !wait.is_zero() && !self.gate.pause(wait) {
            return Ok(0);
        }
        // Counted first: whoever has received a byte finds it counted.
        passed.fetch_add(count as u64, Relaxed);
        to.write_all(buffer.get(..count).unwrap_or_default())?;
        Ok(count as u64)
    }

    fn end(&self, end: End) {
        match end {
            End::Cut => {
                self.gate.close();
                self.client.close();
                self.server.close();
            }
            End::Reset => {
                // The resets leave when the last handle goes, so both lanes are woken to let go.
                for socket in [&self.client, &self.server] {
                    socket.reset_on_close();
                }
                self.gate.close();
                for socket in [&self.client, &self.server] {
                    socket.wake_readers();
                }
            }
            End::HalfClose | End::Stall => {}
        }
    }
}
