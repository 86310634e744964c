//! The gateway: spans of devices without a network, delivered like any others.
//!
//! Devices send frames ([`spandrel_core::link`]) over serial lines or TCP connections. The gateway
//! reads any number of such streams, dates the spans, adds attributes to the resources that the
//! devices announce, and gives each device its own pipeline, with batches, retries, circuit
//! breaker and ledger as in every other program.
//!
//! ```text
//!  serial ─▶ Session ─┐                       ┌─▶ Device (pump 1): Pipeline ─▶ worker ─▶ POST
//!  TCP    ─▶ Session ─┼─ by announced resource┤
//!  stdin  ─▶ Session ─┘                       └─▶ Device (pump 2): Pipeline ─▶ worker ─▶ POST
//! ```
//!
//! The books say where every span is: what the devices dropped (they say so), what the links lost
//! (the numbers have gaps), and what became of those that arrived ([`GatewayStatus`]). A device that
//! keeps its spans until they are acknowledged gets no acknowledgement while its pipeline is full,
//! so nothing is lost for lack of room; what was acknowledged is in the gateway's memory only.
//!
//! The program `spandrel-gateway` is this with options. In a program of your own:
//!
//! ```no_run
//! use spandrel_transport_std::Config;
//! use spandrel_transport_std::gateway::{Gateway, GatewayConfig};
//! use std::time::Duration;
//!
//! let config = Config { endpoint: "localhost:4318".into(), ..Config::default() };
//! let gateway = Gateway::new(&config, GatewayConfig::default())?;
//! gateway.listen(std::net::TcpListener::bind("127.0.0.1:4319")?)?;
//! std::thread::sleep(Duration::from_secs(60));
//! println!("{}", gateway.shutdown(Duration::from_secs(5)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod device;
mod options;
mod program;
mod session;
mod status;

use std::collections::HashMap;
use std::fmt;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use spandrel_core::hosted::config::{Config, Settings};
use spandrel_core::hosted::diagnostics::{Kind, Severity, report};
use spandrel_core::hosted::unversioned::lifecycle::report_settings;
use spandrel_core::hosted::unversioned::restart::panic_message;
use spandrel_core::link::EncodedEntry;

use crate::InitError;
use device::Device;
use session::Session;

pub use program::run as run_program;
pub use status::{GatewayStatus, StreamStats, Tally};

/// The interval at which a waiting thread checks if the gateway has been stopped.
const STOP_POLL: Duration = Duration::from_millis(100);
/// A device that does not read its answers is given up.
const WRITE_TIMEOUT: Duration = Duration::from_secs(5);

/// The settings of a gateway besides its pipelines' settings.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GatewayConfig {
    /// The most devices with different resources. Each costs a thread and a pipeline, whose memory
    /// is [`Config::buffer_bytes`]. Default 64.
    pub max_devices: usize,
    /// The most streams open at once. Default 128.
    pub max_streams: usize,
    /// Attributes for the resource of every device; they replace what the device says.
    pub attributes: Vec<(String, String)>,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            max_devices: 64,
            max_streams: 128,
            attributes: Vec::new(),
        }
    }
}

/// Why a stream was ended by the gateway.
#[derive(Debug)]
#[non_exhaustive]
pub enum StreamError {
    /// Reading or writing failed.
    Io(io::Error),
    /// There are [`GatewayConfig::max_devices`] other devices.
    TooManyDevices,
    /// There are [`GatewayConfig::max_streams`] other streams.
    TooManyStreams,
    /// No pipeline could be started for the device.
    Device(InitError),
    /// The gateway was stopped.
    Stopped,
    /// Reading panicked, with this message: a fault in the gateway or in the caller's stream. The
    /// spans that had arrived whole are in the books.
    Panicked(String),
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::TooManyDevices => f.write_str("too many devices; see --max-devices"),
            Self::TooManyStreams => f.write_str("too many connections"),
            Self::Device(error) => error.fmt(f),
            Self::Stopped => f.write_str("the gateway has been stopped"),
            Self::Panicked(message) => {
                write!(f, "its session panicked: {message}; please report it")
            }
        }
    }
}

impl std::error::Error for StreamError {}

/// A running gateway; clones are the same one.
#[derive(Clone, Debug)]
pub struct Gateway {
    hub: Arc<Hub>,
}

#[derive(Debug)]
struct Hub {
    settings: Settings,
    config: GatewayConfig,
    /// By the encoded resource that they announced.
    devices: Mutex<HashMap<Vec<u8>, Arc<Device>>>,
    streams: Mutex<StreamStats>,
    /// Signalled when a stream ends.
    stream_ended: Condvar,
    stopping: AtomicBool,
}

impl Gateway {
    /// A gateway without streams. `config` says where spans go and how, environment included;
    /// what it says about this process's own resource and sampler is of no importance.
    ///
    /// # Errors
    ///
    /// What is wrong with `config`.
    pub fn new(config: &Config, gateway: GatewayConfig) -> Result<Self, InitError> {
        let settings = config.resolve().map_err(InitError::Settings)?;
        report_settings(&settings);
        // A wrong header or certificate is found now, and not with the first device.
        crate::output::Output::new(&settings).map_err(InitError::Exporter)?;
        Ok(Self {
            hub: Arc::new(Hub {
                settings,
                config: gateway,
                devices: Mutex::default(),
                streams: Mutex::default(),
                stream_ended: Condvar::new(),
                stopping: AtomicBool::new(false),
            }),
        })
    }

    /// Reads one stream to its end on this thread. Acknowledgements go to `output`, if there is
    /// a way back.
    ///
    /// A read that blocks for ever keeps this thread from noticing a stop.
    ///
    /// # Errors
    ///
    /// Why the stream was not read to its end.
    pub fn serve(
        &self,
        input: &mut dyn Read,
        output: Option<&mut dyn Write>,
    ) -> Result<(), StreamError> {
        let _open = self.open_stream()?;
        let session = AssertUnwindSafe(|| Session::new(self).run(input, output));
        let result = catch_unwind(session).unwrap_or_else(|panic| {
            // A device that comes back at once must not make a storm of it.
            std::thread::sleep(STOP_POLL);
            Err(StreamError::Panicked(panic_message(&*panic).into()))
        });
        if matches!(
            result,
            Err(StreamError::TooManyDevices | StreamError::Device(_))
        ) {
            self.with_streams(|all| all.refused += 1);
        }
        result
    }

    /// Accepts connections of devices on a new thread, and serves each on another one.
    ///
    /// # Errors
    ///
    /// When the system gives no thread.
    pub fn listen(&self, listener: TcpListener) -> io::Result<()> {
        listener.set_nonblocking(true)?;
        let gateway = self.clone();
        let run = move || {
            while !gateway.is_stopping() {
                let accepted = AssertUnwindSafe(|| match listener.accept() {
                    Ok((stream, _)) => gateway.serve_on_thread(stream),
                    Err(_) => std::thread::sleep(STOP_POLL / 4),
                });
                if let Err(panic) = catch_unwind(accepted) {
                    tell_end(
                        "a connection",
                        &StreamError::Panicked(panic_message(&*panic).into()),
                    );
                    std::thread::sleep(STOP_POLL);
                }
            }
        };
        std::thread::Builder::new()
            .name("spandrel-listen".into())
            .spawn(run)?;
        Ok(())
    }

    /// Where every span is, and what the streams were like.
    #[must_use]
    pub fn status(&self) -> GatewayStatus {
        let mut status = GatewayStatus {
            streams: *self.streams(),
            ..GatewayStatus::default()
        };
        for device in self.devices().values() {
            status.devices += 1;
            status.circuits_open += usize::from(!device.is_healthy());
            status.tally += device.tally();
            status.ledger += device.ledger();
        }
        status
    }

    /// Ends all streams, sends what is left within `timeout`, and tells where everything is.
    /// Spans that could not be sent are counted as dropped for the shutdown.
    pub fn shutdown(&self, timeout: Duration) -> GatewayStatus {
        let deadline = Instant::now() + timeout;
        self.stop();
        let streams = self.streams();
        // Threads that sit in a read that blocks are not waited for.
        let patience = timeout.min(STOP_POLL * 5);
        let waited = self
            .hub
            .stream_ended
            .wait_timeout_while(streams, patience, |streams| streams.open > 0);
        drop(waited);
        let devices: Vec<_> = self.devices().values().cloned().collect();
        let left = deadline.saturating_duration_since(Instant::now());
        std::thread::scope(|scope| {
            for device in &devices {
                let thread = std::thread::Builder::new();
                if thread
                    .spawn_scoped(scope, || device.shutdown(left))
                    .is_err()
                {
                    // The system gives no thread: this one waits for each in turn.
                    device.shutdown(deadline.saturating_duration_since(Instant::now()));
                }
            }
        });
        self.status()
    }

    /// Asks all streams to end, and returns at once.
    pub fn stop(&self) {
        self.hub.stopping.store(true, Ordering::Relaxed);
        self.hub.stream_ended.notify_all();
    }

    /// Returns true if the gateway has been stopped.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.hub.stopping.load(Ordering::Relaxed)
    }

    fn serve_on_thread(&self, mut stream: TcpStream) {
        let gateway = self.clone();
        let prepared = stream
            .set_nonblocking(false)
            .and_then(|()| stream.set_read_timeout(Some(STOP_POLL)))
            .and_then(|()| stream.set_write_timeout(Some(WRITE_TIMEOUT)))
            .and_then(|()| stream.try_clone());
        let spawned = prepared.and_then(|mut output| {
            std::thread::Builder::new()
                .name("spandrel-device".into())
                .spawn(move || {
                    if let Err(error) = gateway.serve(&mut stream, Some(&mut output)) {
                        tell_end("a connection", &error);
                    }
                })
        });
        if let Err(error) = spawned {
            tell_end("a connection", &StreamError::Io(error));
        }
    }

    /// The device that announced `resource`, which is started when it is new.
    fn device(&self, resource: &EncodedEntry<'_>) -> Result<Arc<Device>, StreamError> {
        let mut devices = self.devices();
        if let Some(device) = devices.get(resource.as_bytes()) {
            return Ok(Arc::clone(device));
        }
        if self.is_stopping() {
            return Err(StreamError::Stopped);
        }
        if devices.len() >= self.hub.config.max_devices {
            return Err(StreamError::TooManyDevices);
        }
        let mut settings = self.hub.settings.clone();
        // No two pipelines march in step (fault S20).
        let place = devices.len() as u64 + 1;
        settings.exporter.seed ^= place.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let device = Device::start(&settings, resource, &self.hub.config.attributes)
            .map_err(StreamError::Device)?;
        report(
            Kind::Lifecycle,
            Severity::Info,
            format_args!("new device: {}", device.name()),
        );
        let device = Arc::new(device);
        devices.insert(resource.as_bytes().to_vec(), Arc::clone(&device));
        Ok(device)
    }

    fn open_stream(&self) -> Result<OpenStream<'_>, StreamError> {
        let mut streams = self.streams();
        if streams.open >= self.hub.config.max_streams as u64 {
            streams.refused += 1;
            return Err(StreamError::TooManyStreams);
        }
        streams.open += 1;
        Ok(OpenStream(self))
    }

    fn with_streams(&self, act: impl FnOnce(&mut StreamStats)) {
        act(&mut self.streams());
    }

    fn streams(&self) -> MutexGuard<'_, StreamStats> {
        let streams = self.hub.streams.lock();
        streams.unwrap_or_else(PoisonError::into_inner)
    }

    fn devices(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Arc<Device>>> {
        let devices = self.hub.devices.lock();
        devices.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counts a stream as open while it lives.
struct OpenStream<'a>(&'a Gateway);

impl Drop for OpenStream<'_> {
    fn drop(&mut self) {
        self.0.with_streams(|all| all.open -= 1);
        self.0.hub.stream_ended.notify_all();
    }
}

fn tell_end(what: &str, error: &StreamError) {
    if !matches!(error, StreamError::Stopped) {
        report(
            Kind::Lifecycle,
            Severity::Warn,
            format_args!("{what} was ended: {error}"),
        );
    }
}
