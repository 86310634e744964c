//! A real collector as a child process.
//!
//! Problem: our own server reads what our own sender writes, and both could share a mistake.
//! Answer: Rotel, a collector by other people, takes our OTLP/HTTP and forwards it as OTLP/HTTP to a
//! [`FaultServer`](crate::fault_server::FaultServer), which compares. `tests/install-rotel.sh` puts
//! it in `tests/.venv`; the variable `SPANDREL_ROTEL` names another executable.

use std::env;
use std::fmt;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::loopback::{ReservedPort, locked};

/// The time that a collector may take to listen.
const START_LIMIT: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(20);
/// Enough for any failure's text; what comes later is read and forgotten.
const MAX_LOG: usize = 256 * 1024;

/// Why a test with a real collector cannot run here; the test prints it and returns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    reason: String,
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "skipped: {}", self.reason)
    }
}

impl std::error::Error for Skip {}

/// A running collector. Dropping it kills the child and waits for its end.
#[derive(Debug)]
pub struct Rotel {
    child: Child,
    addr: SocketAddr,
    log: Arc<Mutex<Vec<u8>>>,
    readers: Vec<JoinHandle<()>>,
    // The child listens on these ports beside our reservations, so no other test can take them.
    _ports: [ReservedPort; 2],
}

impl Rotel {
    /// Starts a collector that receives OTLP/HTTP on an ephemeral port of loopback and forwards to
    /// `forward_to`, the base of a URL without `/v1/traces`. It forwards after at most 50 ms.
    ///
    /// # Errors
    /// [`Skip`] if no collector is installed or this machine cannot execute it.
    ///
    /// # Panics
    /// If it starts and then ends or does not listen: a broken harness must not look like a skip.
    pub fn start(forward_to: &str) -> Result<Self, Skip> {
        let executable = executable()?;
        let ports = [free_port(), free_port()];
        let [http, grpc] = &ports;
        let mut child = Command::new(&executable)
            .arg("start")
            .args(["--otlp-http-endpoint", &http.addr().to_string()])
            .args(["--otlp-grpc-endpoint", &grpc.addr().to_string()])
            .args(["--exporter", "otlp"])
            .args(["--otlp-exporter-protocol", "http"])
            .args(["--otlp-exporter-endpoint", forward_to])
            .args(["--otlp-exporter-retry-initial-backoff", "100ms"])
            .args(["--batch-timeout", "50ms"])
            // Neither a proxy nor a setting of the developer's may reach it.
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| Skip {
                reason: format!("{} cannot be executed: {error}", executable.display()),
            })?;
        let log = Arc::<Mutex<Vec<u8>>>::default();
        let readers = [
            child.stdout.take().map(|pipe| keep(pipe, log.clone())),
            child.stderr.take().map(|pipe| keep(pipe, log.clone())),
        ];
        let mut rotel = Self {
            child,
            addr: http.addr(),
            log,
            readers: readers.into_iter().flatten().collect(),
            _ports: ports,
        };
        rotel.wait_until_listening();
        Ok(rotel)
    }

    /// The base of the collector's URLs; traces go to `/v1/traces` below it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// What it has printed so far, for the text of a failure.
    #[must_use]
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&locked(&self.log)).into_owned()
    }

    fn wait_until_listening(&mut self) {
        let started = Instant::now();
        while TcpStream::connect_timeout(&self.addr, POLL).is_err() {
            let ended = self.child.try_wait().ok().flatten();
            assert!(
                ended.is_none() && started.elapsed() < START_LIMIT,
                "the collector does not listen on {} (ended: {ended:?}); it printed:\n{}",
                self.addr,
                self.log()
            );
            thread::sleep(POLL);
        }
    }
}

impl Drop for Rotel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
    }
}

fn executable() -> Result<PathBuf, Skip> {
    let path = match env::var_os("SPANDREL_ROTEL") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin/rotel"),
    };
    if path.is_file() {
        return Ok(path);
    }
    Err(Skip {
        reason: format!(
            "no collector at {}; tests/install-rotel.sh installs one",
            path.display()
        ),
    })
}

fn free_port() -> ReservedPort {
    ReservedPort::new().expect("a free loopback port")
}

/// Reads a pipe to its end, so that the child never blocks on it.
fn keep(mut pipe: impl Read + Send + 'static, log: Arc<Mutex<Vec<u8>>>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut piece = [0; 4096];
        while let Ok(read @ 1..) = pipe.read(&mut piece) {
            let mut log = locked(&log);
            let room = MAX_LOG.saturating_sub(log.len()).min(read);
            log.extend_from_slice(piece.get(..room).unwrap_or_default());
        }
    })
}
