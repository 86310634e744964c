//! An OTLP/HTTP collector that misbehaves by script and records what it received.
//!
//! What collectors and networks do to a sender must be tested on real sockets, again and again, and
//! without hanging. So there is one listener on loopback,
//! one thread per connection, and for each request the next [`Reply`] of a [`Script`]. What arrives
//! is recorded whole ([`Request`]) and entered in a ledger of spans ([`Oracle`]).
//!
//! ```text
//!           accept           head read: next reply        reply says
//! listening ──────▶ greeting ──────────▶ reading body ──────────────▶ answering ──▶ open / FIN / RST
//!     ▲               Front                 │ reset here                  │
//!     └── available(true), (false) ──▶ refused; every pause and socket ended, every thread joined
//! ```
//!
//! ```
//! use spandrel_testkit::fault_server::{FaultServer, Reply};
//! use std::io::{Read, Write};
//!
//! let server = FaultServer::start([Reply::retry_after(503, &["1"])]);
//! let mut client = std::net::TcpStream::connect(server.addr())?;
//! client.write_all(b"POST /v1/traces HTTP/1.1\r\nconnection: close\r\n\r\n")?;
//! let mut answer = String::new();
//! client.read_to_string(&mut answer)?;
//! assert!(answer.starts_with("HTTP/1.1 503 "));
//! assert_eq!(server.requests()[0].target, "/v1/traces");
//! # Ok::<(), std::io::Error>(())
//! ```

mod answer;
mod connection;
mod http;
mod oracle;
mod reply;
mod request;
mod secure;

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::loopback::{Gate, ReservedPort, Socket, locked};

use connection::Connection;
pub use oracle::{Oracle, SpanKey};
pub use reply::{Reply, Script};
pub use request::Request;

const BACKLOG: i32 = 128;
/// Connections served at once; further ones are closed unserved.
const MAX_CONNECTIONS: usize = 512;

/// How the server greets a connection.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub enum Front {
    /// HTTP at once.
    #[default]
    Plain,
    /// TLS with these settings.
    #[cfg(feature = "tls")]
    Tls(Arc<rustls::ServerConfig>),
    /// Takes the client's hello and says nothing.
    StalledHandshake,
    /// Answers the client's hello in plain HTTP.
    GarbageHandshake,
    /// Answers the client's hello with a choice of TLS 1.1, and can do no more.
    Tls11,
}

/// Counters of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections being served now.
    pub open: u64,
    /// Requests whose head was read.
    pub requests: u64,
    /// Requests that were not HTTP/1.1 as RFC 9112 wants it.
    pub bad_requests: u64,
    /// TLS handshakes that failed.
    pub failed_handshakes: u64,
    /// Bytes of answers taken by the kernel, before encryption. A few megabytes may sit in socket
    /// buffers, unread by the client; the counter may be a moment behind what the client has read.
    pub response_bytes: u64,
}

/// The server; see the module. Dropping it ends all connections and joins all threads.
#[derive(Debug)]
pub struct FaultServer {
    shared: Arc<Shared>,
    listening: Mutex<Option<Listening>>,
}

impl FaultServer {
    /// Starts a plain HTTP server on a loopback port that the kernel picks.
    ///
    /// # Panics
    /// If the machine has no free port or thread.
    #[must_use]
    pub fn start(script: impl Into<Script>) -> Self {
        Self::start_with(script, Front::Plain)
    }

    /// Starts a server with another greeting.
    ///
    /// # Panics
    /// If the machine has no free port or thread.
    #[must_use]
    pub fn start_with(script: impl Into<Script>, front: Front) -> Self {
        let port = ReservedPort::new().expect("a free loopback port");
        Self::start_on(port, script, front)
    }

    /// Starts a plain HTTP server at an address within a network namespace.
    ///
    /// # Panics
    /// If the address is taken or is none of this machine, or if there is no free thread.
    #[must_use]
    pub fn start_at(addr: SocketAddr, script: impl Into<Script>) -> Self {
        let port = ReservedPort::at(addr).expect("an address of this machine");
        Self::start_on(port, script, Front::Plain)
    }

    fn start_on(port: ReservedPort, script: impl Into<Script>, front: Front) -> Self {
        let server = Self {
            shared: Arc::new(Shared {
                port,
                front,
                script: Mutex::new(script.into()),
                requests: Mutex::default(),
                arrived: Condvar::new(),
                oracle: Oracle::default(),
                last_handshake_failure: Mutex::default(),
                accepted: AtomicU64::new(0),
                bad_requests: AtomicU64::new(0),
                failed_handshakes: AtomicU64::new(0),
                response_bytes: AtomicU64::new(0),
            }),
            listening: Mutex::new(None),
        };
        server.available(true);
        server
    }

    /// Stops the server as a crash would, or starts it again on the same port. Stopping ends every
    /// connection and returns when no thread is left; what was recorded and the rest of the script
    /// stay.
    ///
    /// # Panics
    /// If the port cannot be listened on again.
    pub fn available(&self, available: bool) {
        let mut listening = locked(&self.listening);
        match (available, listening.take()) {
            (true, None) => {
                *listening = Some(Listening::start(&self.shared).expect("a listening port"));
            }
            (true, running) => *listening = running,
            (false, Some(running)) => running.stop(self.shared.port.addr()),
            (false, None) => {}
        }
    }

    /// Adds a reply to the end of the queue.
    pub fn push(&self, reply: Reply) {
        locked(&self.shared.script).push(reply);
    }

    /// Sets what answers once the queue is empty.
    pub fn set_default(&self, reply: Reply) {
        locked(&self.shared.script).set_default(reply);
    }

    /// The address it listens on.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.shared.port.addr()
    }

    /// The base of its URLs, without a slash at the end: `http://127.0.0.1:port`, or `https`
    /// whenever the front has to do with TLS.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.shared.front {
            Front::Plain => "http",
            _ => "https",
        };
        format!("{scheme}://{}", self.addr())
    }

    /// Every request so far, in the order in which their bodies ended.
    #[must_use]
    pub fn requests(&self) -> Vec<Arc<Request>> {
        locked(&self.shared.requests).clone()
    }

    /// Waits until `count` requests are recorded, or for `within`; true if they are.
    #[must_use]
    pub fn wait_for_requests(&self, count: usize, within: Duration) -> bool {
        let until = Instant::now() + within;
        let mut requests = locked(&self.shared.requests);
        while requests.len() < count {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            requests = self
                .shared
                .arrived
                .wait_timeout(requests, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        true
    }

    /// The ledger of spans.
    #[must_use]
    pub fn oracle(&self) -> &Oracle {
        &self.shared.oracle
    }

    /// The counters now.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let open = locked(&self.listening)
            .as_ref()
            .map_or(0, |listening| locked(&listening.run.sockets).len());
        Counters {
            accepted: self.shared.accepted.load(Relaxed),
            open: open as u64,
            requests: locked(&self.shared.requests).len() as u64,
            bad_requests: self.shared.bad_requests.load(Relaxed),
            failed_handshakes: self.shared.failed_handshakes.load(Relaxed),
            response_bytes: self.shared.response_bytes.load(Relaxed),
        }
    }

    /// Why the last failed TLS handshake failed, as the server saw it.
    #[must_use]
    pub fn last_handshake_failure(&self) -> Option<String> {
        locked(&self.shared.last_handshake_failure).clone()
    }
}

impl Drop for FaultServer {
    fn drop(&mut self) {
        self.available(false);
    }
}

/// What outlives a stop.
#[derive(Debug)]
struct Shared {
    port: ReservedPort,
    front: Front,
    script: Mutex<Script>,
    requests: Mutex<Vec<Arc<Request>>>,
    arrived: Condvar,
    oracle: Oracle,
    last_handshake_failure: Mutex<Option<String>>,
    accepted: AtomicU64,
    bad_requests: AtomicU64,
    failed_handshakes: AtomicU64,
    response_bytes: AtomicU64,
}

impl Shared {
    fn next_reply(&self) -> Reply {
        locked(&self.script).next()
    }

    fn record(&self, request: Request) -> Arc<Request> {
        let request = Arc::new(request);
        locked(&self.requests).push(request.clone());
        self.arrived.notify_all();
        request
    }

    #[cfg(feature = "tls")]
    fn note_handshake_failure(&self, error: &io::Error) {
        *locked(&self.last_handshake_failure) = Some(error.to_string());
        self.failed_handshakes.fetch_add(1, Relaxed);
    }
}

/// What one period of listening shares with its connections.
#[derive(Debug, Default)]
struct Run {
    gate: Gate,
    sockets: Mutex<HashMap<u64, Socket>>,
}

/// The accepting thread and its way out.
#[derive(Debug)]
struct Listening {
    run: Arc<Run>,
    thread: JoinHandle<()>,
}

impl Listening {
    fn start(shared: &Arc<Shared>) -> io::Result<Self> {
        let listener = shared.port.listen(BACKLOG)?;
        let run = Arc::new(Run::default());
        let (shared, its_run) = (shared.clone(), run.clone());
        let thread = thread::Builder::new()
            .name("fault-server".to_owned())
            .spawn(move || accept(listener, &shared, &its_run))?;
        Ok(Self { run, thread })
    }

    fn stop(self, addr: SocketAddr) {
        self.run.gate.close();
        // Wakes the accepting thread; if the backlog is full it is awake already.
        let _ = TcpStream::connect_timeout(&addr, Duration::from_secs(1));
        let _ = self.thread.join();
    }
}

fn accept(listener: TcpListener, shared: &Shared, run: &Run) {
    thread::scope(|scope| {
        for stream in listener.incoming() {
            if run.gate.is_closed() {
                break;
            }
            let Ok(stream) = stream else {
                // Out of file descriptors, most likely: not a reason to spin.
                run.gate.pause(Duration::from_millis(5));
                continue;
            };
            if locked(&run.sockets).len() >= MAX_CONNECTIONS {
                continue;
            }
            let number = shared.accepted.fetch_add(1, Relaxed) + 1;
            let socket = Socket::new(stream);
            locked(&run.sockets).insert(number, socket.clone());
            scope.spawn(move || {
                if let Some(connection) = Connection::open(number, socket, shared, &run.gate) {
                    connection.serve();
                }
                // The last handle: a reset, if one is due, leaves here.
                locked(&run.sockets).remove(&number);
            });
        }
        drop(listener);
        for socket in locked(&run.sockets).values() {
            socket.close();
        }
    });
}
