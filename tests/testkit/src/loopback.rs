//! Loopback sockets with the manners that fault tests need.
//!
//! A test wants a port where nothing listens, a port that listens again later, a host
//! that swallows connections, a connection that ends with a reset, and a server that can be
//! stopped while it sleeps. There are
//! [`ReservedPort`], [`Blackhole`], [`Socket`] and [`Gate`].

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Type};

/// Locks `mutex` even if a panicking test thread poisoned it: what it guards here is plain data,
/// and the first panic is the one worth reading.
pub fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A loopback port that stays ours whether or not anything listens on it.
///
/// A second socket is bound to the port and never listens. The kernel refuses connections until
/// [`ReservedPort::listen`], and gives the port to no other socket, so a server can go away and come
/// back without a race against the other tests of the machine. This relies on the address reuse
/// rules of Linux, where sockets with `SO_REUSEADDR` may share a port as long as one listens.
#[derive(Debug)]
pub struct ReservedPort {
    _held: socket2::Socket,
    addr: SocketAddr,
}

impl ReservedPort {
    /// Reserves a port that the kernel picks.
    ///
    /// # Errors
    /// What `socket` or `bind` answered.
    pub fn new() -> io::Result<Self> {
        Self::at((Ipv4Addr::LOCALHOST, 0).into())
    }

    /// Reserves the port of `addr`, which another network namespace may hold too.
    ///
    /// # Errors
    /// What `socket` or `bind` answered.
    pub fn at(addr: SocketAddr) -> io::Result<Self> {
        let held = bound(addr)?;
        let addr = held
            .local_addr()?
            .as_socket()
            .ok_or_else(|| io::Error::other("a bound socket without an IP address"))?;
        Ok(Self { _held: held, addr })
    }

    /// The address; connecting to it is refused while nothing listens.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as the base of a URL, `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Starts to listen; dropping the listener makes the port refuse again.
    ///
    /// # Errors
    /// What `bind` or `listen` answered; also when a listener of this port is still alive.
    pub fn listen(&self, backlog: i32) -> io::Result<TcpListener> {
        let socket = bound(self.addr)?;
        socket.listen(backlog)?;
        Ok(socket.into())
    }
}

fn bound(addr: SocketAddr) -> io::Result<socket2::Socket> {
    let socket = socket2::Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    Ok(socket)
}

/// A port that refuses every connection for as long as the value lives.
///
/// # Panics
/// If the machine has no free loopback port.
#[must_use]
pub fn refuse() -> ReservedPort {
    ReservedPort::new().expect("a free loopback port")
}

/// A port where connecting neither succeeds nor fails.
///
/// It listens with the smallest backlog, never accepts, and fills the backlog itself; from then on
/// the kernel drops every SYN, as a firewall would.
#[derive(Debug)]
pub struct Blackhole {
    addr: SocketAddr,
    _listener: TcpListener,
    _filling: Vec<TcpStream>,
}

impl Blackhole {
    /// Opens the port and fills its backlog.
    ///
    /// # Errors
    /// What the kernel answered, or `Unsupported` where it goes on completing connections.
    pub fn start() -> io::Result<Self> {
        const ATTEMPTS: usize = 16;
        let port = ReservedPort::new()?;
        let listener = port.listen(0)?;
        let addr = port.addr();
        let mut filling = Vec::new();
        for _ in 0..ATTEMPTS {
            match TcpStream::connect_timeout(&addr, Duration::from_millis(100)) {
                Ok(stream) => filling.push(stream),
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    return Ok(Self {
                        addr,
                        _listener: listener,
                        _filling: filling,
                    });
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::Unsupported.into())
    }

    /// The address to connect to.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The address as the base of a URL, `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }
}

/// A shared TCP stream that can end with a reset.
#[derive(Debug, Clone)]
pub struct Socket(Arc<TcpStream>);

impl Socket {
    /// Shares `stream`, with Nagle's algorithm off so that bytes leave when they are written.
    #[must_use]
    pub fn new(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        Self(Arc::new(stream))
    }

    /// The stream itself, for its options.
    #[must_use]
    pub fn stream(&self) -> &TcpStream {
        &self.0
    }

    /// Makes the coming close send RST in place of FIN. The reset leaves when the last clone goes.
    pub fn reset_on_close(&self) {
        let _ = SockRef::from(&*self.0).set_linger(Some(Duration::ZERO));
    }

    /// Wakes a thread that waits for bytes. The peer does not notice.
    pub fn wake_readers(&self) {
        let _ = self.0.shutdown(Shutdown::Read);
    }

    /// Sends FIN and goes on reading.
    pub fn finish_writing(&self) {
        let _ = self.0.shutdown(Shutdown::Write);
    }

    /// Ends both directions and wakes threads that read or write.
    pub fn close(&self) {
        let _ = self.0.shutdown(Shutdown::Both);
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self.0).read(buffer)
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A pause that a stopping server can cut short: open once, closed for ever.
#[derive(Debug, Default)]
pub struct Gate {
    closed: Mutex<bool>,
    changed: Condvar,
}

impl Gate {
    /// Closes the gate and ends every pause.
    pub fn close(&self) {
        *locked(&self.closed) = true;
        self.changed.notify_all();
    }

    /// Waits for `time`, or until the gate closes; true if the gate is still open.
    pub fn pause(&self, time: Duration) -> bool {
        let until = Instant::now().checked_add(time);
        let mut closed = locked(&self.closed);
        while !*closed {
            let left = match until {
                Some(until) => until.saturating_duration_since(Instant::now()),
                None => Duration::MAX,
            };
            if left.is_zero() {
                break;
            }
            // A wait of centuries overflows the clock inside the condition variable.
            let wait = left.min(Duration::from_secs(3600));
            closed = self
                .changed
                .wait_timeout(closed, wait)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        !*closed
    }

    /// Returns true if the gate was closed.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        *locked(&self.closed)
    }
}
