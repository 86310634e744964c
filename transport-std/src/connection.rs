//! The facts about the connection that the HTTP client hides from the sender.
//!
//! The client hides whether a connection is new or reused, whether anything came back, and it
//! resolves the host name for every request, on a new thread. Four small parts plugged into its
//! seams show and mend this:
//!
//! ```text
//! CachedResolver ─► Dial ─► connector of the client ─► Watch ─► Watched transport
//!       │             │                                  │             │
//!       └─────────────┴──── Connection (one per sender) ─┴─────────────┘
//! ```
//!
//! With it the rule about stale connections is exact: a request is repeated at once only if it went
//! out over a *reused* connection and not one byte came back.
//!
//! It also spares the kernel work: the client would write the head of a request and its body
//! separately, and look twice whether the connection still lives.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// The events on the wire during the present attempt. One attempt runs at a time; the
/// atomics are there because the client's traits are shared between threads.
#[derive(Debug, Default)]
pub(crate) struct Connection {
    /// Connections begun during this attempt: 0 = it went out over a reused one.
    connects: AtomicU32,
    /// Whether the client took the last byte of the body.
    body_taken: AtomicBool,
    /// Whether the last byte of the body was handed to the connection.
    body_sent: AtomicBool,
    /// Whether anything came back.
    answered: AtomicBool,
    /// Whether the beginning of the request has been written.
    head_begun: AtomicBool,
    /// Whether the host name could not be resolved.
    unresolved: AtomicBool,
    /// Whether the last attempt failed, so that the host is resolved again.
    forget_addresses: AtomicBool,
}

impl Connection {
    /// Starts a new attempt.
    pub(crate) fn begin(&self) {
        self.connects.store(0, Ordering::Relaxed);
        for flag in [
            &self.body_taken,
            &self.body_sent,
            &self.answered,
            &self.head_begun,
            &self.unresolved,
        ] {
            flag.store(false, Ordering::Relaxed);
        }
    }

    /// The client took the last byte of the body.
    pub(crate) fn body_taken(&self) {
        self.body_taken.store(true, Ordering::Relaxed);
    }

    /// Whatever is known about the host's addresses may be wrong.
    pub(crate) fn forget_addresses(&self) {
        self.forget_addresses.store(true, Ordering::Relaxed);
    }

    pub(crate) fn body_sent(&self) -> bool {
        self.body_sent.load(Ordering::Relaxed)
    }

    pub(crate) fn unresolved(&self) -> bool {
        self.unresolved.load(Ordering::Relaxed)
    }

    /// Returns true if the attempt went out over a reused connection that gave nothing back.
    pub(crate) fn reused_and_silent(&self) -> bool {
        self.connects.load(Ordering::Relaxed) == 0
            && !self.unresolved()
            && !self.answered.load(Ordering::Relaxed)
    }
}

/// Notes that a connection is made, before TLS: the first in the chain.
#[derive(Debug)]
pub(crate) struct Dial(pub(crate) Arc<Connection>);

impl Connector<()> for Dial {
    type Out = ();

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<()>,
    ) -> Result<Option<()>, ureq::Error> {
        self.0.connects.fetch_add(1, Ordering::Relaxed);
        Ok(chained)
    }
}

/// Wraps every new connection into a [`Watched`]. Last in the chain, so that it sees HTTP
/// and not TLS.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) connection: Arc<Connection>,
    /// See [`Forward::origin`](crate::forward::Forward::origin); empty without such a proxy.
    pub(crate) origin: Arc<str>,
}

impl<In: Transport> Connector<In> for Watch {
    type Out = Watched<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        Ok(chained.map(|inner| Watched {
            inner,
            connection: Arc::clone(&self.connection),
            origin: Arc::clone(&self.origin),
            held: 0,
        }))
    }
}

/// A connection that notes what passes, and writes the head of a request together with the
/// beginning of its body.
#[derive(Debug)]
pub(crate) struct Watched<T> {
    inner: T,
    connection: Arc<Connection>,
    origin: Arc<str>,
    /// Bytes at the front of the output: a head that was to be transmitted and waits for the body,
    /// which the client is given the rest of the output for.
    held: usize,
}

/// A larger head is written at once.
const MAX_HELD: usize = 4 * 1024;

impl<T: Transport> Watched<T> {
    /// Puts the origin before the path, in the first line of a request that a proxy is to forward.
    /// Returns the length of the output.
    fn forward(&mut self, amount: usize) -> usize {
        let has_begun = self.connection.head_begun.swap(true, Ordering::Relaxed);
        if has_begun || self.origin.is_empty() {
            return amount;
        }
        let len = self.origin.len();
        let output = self.inner.buffers().output();
        let path = output.iter().take(amount).position(|byte| *byte == b' ');
        let Some(path) = path.map(|space| space + 1) else {
            return amount;
        };
        if amount + len > output.len() {
            // No head of ours is so long; the proxy refuses it as it is.
            return amount;
        }
        output.copy_within(path..amount, path + len);
        if let Some(target) = output.get_mut(path..path + len) {
            target.copy_from_slice(self.origin.as_bytes());
        }
        amount + len
    }

    /// Takes the output for a head, to be written with what follows it.
    fn hold(&mut self, amount: usize) -> bool {
        let is_head = self.held == 0 && !self.connection.body_taken.load(Ordering::Relaxed);
        let holds = is_head && amount <= MAX_HELD && amount < self.inner.buffers().output().len();
        if holds {
            self.held = amount;
        }
        holds
    }

    /// Writes the head, if one is held, and `amount` bytes of output.
    fn write(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        // Taken before the write: the client reads a piece of the body, then transmits it.
        let last = self.connection.body_taken.load(Ordering::Relaxed);
        let held = std::mem::take(&mut self.held);
        self.inner.transmit_output(held + amount, timeout)?;
        if last {
            self.connection.body_sent.store(true, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// While a head is held, the client sees the output behind it. There is no input, because nothing has
/// been asked yet.
impl<T: Transport> Buffers for Watched<T> {
    fn output(&mut self) -> &mut [u8] {
        let output = self.inner.buffers().output();
        output.get_mut(self.held..).unwrap_or_default()
    }

    fn input(&self) -> &[u8] {
        &[]
    }

    fn input_append_buf(&mut self) -> &mut [u8] {
        self.inner.buffers().input_append_buf()
    }

    fn input_appended(&mut self, amount: usize) {
        self.inner.buffers().input_appended(amount);
    }

    fn input_consume(&mut self, amount: usize) {
        self.inner.buffers().input_consume(amount);
    }

    fn tmp_and_output(&mut self) -> (&mut [u8], &mut [u8]) {
        let (tmp, output) = self.inner.buffers().tmp_and_output();
        (tmp, output.get_mut(self.held..).unwrap_or_default())
    }

    fn can_use_input(&self) -> bool {
        false
    }
}

impl<T: Transport> Transport for Watched<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        if self.held > 0 {
            return self;
        }
        self.inner.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        let amount = self.forward(amount);
        if self.hold(amount) {
            return Ok(());
        }
        self.write(amount, timeout)
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        if self.held > 0 {
            self.write(0, timeout)?;
        }
        let progress = self.inner.await_input(timeout)?;
        if progress {
            self.connection.answered.store(true, Ordering::Relaxed);
        }
        Ok(progress)
    }

    fn is_open(&mut self) -> bool {
        // After an answer the client asks in order to keep the connection. It asks again before the
        // next request, and only that answer matters.
        self.connection.answered.load(Ordering::Relaxed) || self.inner.is_open()
    }

    fn is_tls(&self) -> bool {
        self.inner.is_tls()
    }
}

/// Resolves once per connection's life instead of once per request. An answer is kept for the idle age
/// of connections at most and forgotten with the first failure. An address literal
/// needs neither the system nor a thread.
#[derive(Debug)]
pub(crate) struct CachedResolver {
    inner: DefaultResolver,
    connection: Arc<Connection>,
    /// What is resolved in place of the target.
    proxy: Option<Uri>,
    max_age: Duration,
    cache: Mutex<Option<Entry>>,
}

#[derive(Debug)]
struct Entry {
    uri: Uri,
    since: Instant,
    addresses: Vec<SocketAddr>,
}

impl CachedResolver {
    pub(crate) fn new(connection: Arc<Connection>, proxy: Option<Uri>, max_age: Duration) -> Self {
        Self {
            inner: DefaultResolver::default(),
            connection,
            proxy,
            max_age,
            cache: Mutex::new(None),
        }
    }

    fn cached(&self, uri: &Uri) -> Option<Vec<SocketAddr>> {
        let mut cache = self.cache.lock().unwrap_or_else(PoisonError::into_inner);
        if self
            .connection
            .forget_addresses
            .swap(false, Ordering::Relaxed)
        {
            *cache = None;
        }
        let entry = cache.as_ref()?;
        (entry.uri == *uri && entry.since.elapsed() < self.max_age).then(|| entry.addresses.clone())
    }

    fn fill(&self, addresses: &[SocketAddr]) -> ResolvedSocketAddrs {
        // As many as fit; the constant is the client's own and private, 16.
        let mut filled = self.empty();
        for &address in addresses.iter().take(16) {
            filled.push(address);
        }
        filled
    }
}

impl Resolver for CachedResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let uri = self.proxy.as_ref().unwrap_or(uri);
        if let Some(address) = literal(uri) {
            return Ok(self.fill(&[address]));
        }
        if let Some(addresses) = self.cached(uri) {
            return Ok(self.fill(&addresses));
        }
        let resolved = self.inner.resolve(uri, config, timeout);
        match &resolved {
            Ok(addresses) => {
                let entry = Entry {
                    uri: uri.clone(),
                    since: Instant::now(),
                    addresses: addresses.iter().copied().collect(),
                };
                *self.cache.lock().unwrap_or_else(PoisonError::into_inner) = Some(entry);
            }
            // A deadline is reported as what it is.
            Err(ureq::Error::Timeout(_)) => {}
            Err(_) => self.connection.unresolved.store(true, Ordering::Relaxed),
        }
        resolved
    }
}

/// The address that `uri` names by itself.
fn literal(uri: &Uri) -> Option<SocketAddr> {
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']');
    let address: IpAddr = host.parse().ok()?;
    let port = match (uri.port_u16(), uri.scheme_str()?) {
        (Some(port), _) => port,
        (None, "http") => 80,
        (None, "https") => 443,
        _ => return None,
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ureq::unversioned::transport::LazyBuffers;

    /// A connection that keeps what is written, write by write.
    #[derive(Debug)]
    struct Recorder {
        buffers: LazyBuffers,
        writes: Vec<Vec<u8>>,
    }

    impl Transport for Recorder {
        fn buffers(&mut self) -> &mut dyn Buffers {
            &mut self.buffers
        }

        fn transmit_output(&mut self, amount: usize, _: NextTimeout) -> Result<(), ureq::Error> {
            let output = self.buffers.output();
            self.writes.push(output[..amount].to_vec());
            Ok(())
        }

        fn await_input(&mut self, _: NextTimeout) -> Result<bool, ureq::Error> {
            Ok(true)
        }

        fn is_open(&mut self) -> bool {
            false
        }
    }

    fn watched() -> Watched<Recorder> {
        let buffers = LazyBuffers::new(16, 100);
        Watched {
            inner: Recorder {
                buffers,
                writes: Vec::new(),
            },
            connection: Arc::new(Connection::default()),
            origin: "".into(),
            held: 0,
        }
    }

    fn put(connection: &mut Watched<Recorder>, bytes: &[u8]) {
        connection.buffers().output()[..bytes.len()].copy_from_slice(bytes);
        connection
            .transmit_output(bytes.len(), NextTimeout::default())
            .unwrap();
    }

    #[test]
    fn a_head_and_its_body_are_one_write() {
        let mut connection = watched();
        for _ in 0..2 {
            connection.connection.begin();
            put(&mut connection, b"head ");
            assert!(!connection.connection.body_sent());
            connection.connection.body_taken();
            put(&mut connection, b"body");
            assert!(connection.connection.body_sent());
            assert_eq!(connection.inner.writes, [b"head body"]);
            connection.inner.writes.clear();
        }
    }

    // fault X48
    #[test]
    fn the_head_of_a_request_that_is_forwarded_names_the_origin_once() {
        let mut connection = watched();
        connection.origin = "http://c:1".into();
        for _ in 0..2 {
            connection.connection.begin();
            put(&mut connection, b"POST / HTTP/1.1 ");
            put(&mut connection, b"a b ");
            connection.connection.body_taken();
            put(&mut connection, b"c d");
            let sent = connection.inner.writes.concat();
            assert_eq!(sent, b"POST http://c:1/ HTTP/1.1 a b c d");
            connection.inner.writes.clear();
        }
    }

    #[test]
    fn a_body_of_any_size_arrives_in_order_behind_its_head() {
        let body: Vec<u8> = (0..=255).collect();
        for len in [1, 89, 90, 91, 99, 100, 101, 189, 190, 191, 256] {
            let mut connection = watched();
            put(&mut connection, b"0123456789");
            let mut left = &body[..len];
            while !left.is_empty() {
                let room = connection.buffers().tmp_and_output().1.len();
                let (now, later) = left.split_at(left.len().min(room));
                left = later;
                if left.is_empty() {
                    connection.connection.body_taken();
                }
                put(&mut connection, now);
            }
            assert!(connection.connection.body_sent());
            let sent = connection.inner.writes.concat();
            assert_eq!(sent, [b"0123456789", &body[..len]].concat(), "{len}");
        }
    }

    #[test]
    fn a_head_without_a_body_goes_out_before_the_answer_is_awaited() {
        let mut connection = watched();
        put(&mut connection, b"head");
        assert!(connection.inner.writes.is_empty());
        connection.await_input(NextTimeout::default()).unwrap();
        assert_eq!(connection.inner.writes, [b"head"]);
    }

    #[test]
    fn a_connection_is_looked_at_before_a_request_and_not_after_its_answer() {
        let mut connection = watched();
        connection.connection.begin();
        assert!(!connection.is_open());
        connection.await_input(NextTimeout::default()).unwrap();
        assert!(connection.is_open());
        connection.connection.begin();
        assert!(!connection.is_open());
    }

    #[test]
    fn an_address_literal_is_its_own_answer() {
        for (uri, address) in [
            ("http://127.0.0.1:4318/x", Some("127.0.0.1:4318")),
            ("https://[::1]/x", Some("[::1]:443")),
            ("http://10.0.0.1", Some("10.0.0.1:80")),
            ("http://localhost:4318", None),
            ("socks5://10.0.0.1", None),
        ] {
            let uri: Uri = uri.parse().unwrap();
            assert_eq!(literal(&uri), address.map(|a| a.parse().unwrap()));
        }
    }

    #[test]
    fn an_answer_is_kept_until_it_is_old_or_an_attempt_failed() {
        let connection = Arc::new(Connection::default());
        let config = Config::default();
        let resolver =
            CachedResolver::new(Arc::clone(&connection), None, Duration::from_secs(3600));
        let uri: Uri = "http://localhost:4318".parse().unwrap();
        resolver
            .resolve(&uri, &config, NextTimeout::default())
            .unwrap();
        assert!(resolver.cached(&uri).is_some());
        assert!(
            resolver
                .cached(&"http://localhost:1".parse().unwrap())
                .is_none()
        );
        connection.forget_addresses();
        assert!(resolver.cached(&uri).is_none());

        let impatient = CachedResolver::new(connection, None, Duration::ZERO);
        impatient
            .resolve(&uri, &config, NextTimeout::default())
            .unwrap();
        assert!(impatient.cached(&uri).is_none());
    }
}
