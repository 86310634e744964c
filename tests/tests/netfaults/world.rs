//! A network of two hosts: a service in one namespace, a collector in the other.
//!
//! ```text
//!  namespace of the service              namespace of the collector
//!  192.0.2.1, 2001:db8::1  ◀── veth ──▶  192.0.2.2, 192.0.2.3, 2001:db8::2
//!  resolv.conf of its own                OTLP at port 4318, names at port 53
//! ```
//!
//! The addresses are those for documentation; neither namespace has a way out.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::remote::{Books, PATIENCE, Remote};
use crate::sender::SENDERS;

/// The collector, and the first of its two addresses.
pub(crate) const COLLECTOR: &str = "http://192.0.2.2:4318";
/// The collector by a name that only its own name server knows.
pub(crate) const NAMED: &str = "http://collector.test:4318";

/// The network; its processes and with them its namespaces end when it is dropped.
pub(crate) struct World {
    pub(crate) service: Remote,
    pub(crate) collector: Remote,
    sender: String,
    files: Vec<PathBuf>,
}

/// Runs `test` in a network for each transport, both at once, or says why that cannot be done.
#[track_caller]
pub(crate) fn in_each(name: &str, test: impl Fn(World) + Sync) {
    std::thread::scope(|scope| {
        for sender in SENDERS {
            let test = &test;
            let started = std::thread::Builder::new().name(format!("{name}, {sender}"));
            let run = move || match World::new(name, sender) {
                Ok(world) => test(world),
                Err(reason) => skipped(&format!("{name}, {sender}"), &reason),
            };
            started.spawn_scoped(scope, run).expect("a thread");
        }
    });
}

/// Says so past the harness, which keeps what a test prints that passes.
pub(crate) fn skipped(name: &str, reason: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{name}: skipped: {reason}");
}

impl World {
    fn new(name: &str, sender: &str) -> Result<Self, String> {
        run(&["unshare", "--net", "--mount", "true"])?;
        let alone = ["unshare", "--net", "--mount", "--"];
        let start = |role| Remote::start(role, &alone).map_err(|error| error.to_string());
        let mut world = Self {
            service: start(sender)?,
            collector: start("collector")?,
            sender: sender.to_owned(),
            files: Vec::new(),
        };
        world.connect()?;
        world.name_server(&format!("{name}-{sender}"))?;
        let listening = world.collector.ask("listen 192.0.2.2 192.0.2.3");
        assert_eq!(listening, "listening");
        // Rules must be possible before a test relies on one.
        world.rule(Side::Collector, "tcp dport 1 drop")?;
        world.heal();
        Ok(world)
    }

    fn connect(&self) -> Result<(), String> {
        let peer = self.collector.id();
        let pair = "link add host type veth peer name host netns";
        self.inside(Side::Service, "ip", &format!("{pair} {peer}"))?;
        let addresses = [
            (Side::Service, ["192.0.2.1/24", "2001:db8::1/64"].as_slice()),
            (
                Side::Collector,
                &["192.0.2.2/24", "192.0.2.3/24", "2001:db8::2/64"],
            ),
        ];
        for (side, addresses) in addresses {
            for address in addresses {
                let nodad = if address.contains(':') { " nodad" } else { "" };
                self.inside(side, "ip", &format!("addr add {address} dev host{nodad}"))?;
            }
            self.inside(side, "ip", "link set lo up")?;
            self.inside(side, "ip", "link set host up")?;
        }
        Ok(())
    }

    /// Puts files of our own over the ones that say how the service resolves names.
    fn name_server(&mut self, name: &str) -> Result<(), String> {
        let files = [
            (
                "resolv.conf",
                "nameserver 192.0.2.2\noptions timeout:5 attempts:1\n",
            ),
            ("nsswitch.conf", "hosts: files dns\n"),
        ];
        for (file, text) in files {
            let target = format!("/etc/{file}");
            if !std::path::Path::new(&target).exists() && file != "resolv.conf" {
                continue;
            }
            let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{file}"));
            std::fs::write(&path, text).map_err(|error| error.to_string())?;
            let source = path.display().to_string();
            self.files.push(path);
            let id = self.service.id();
            run(&[
                "nsenter", "-t", &id, "-m", "mount", "--bind", &source, &target,
            ])?;
        }
        Ok(())
    }

    /// Runs `program` with `words` in the namespace of `side`.
    fn inside(&self, side: Side, program: &str, words: &str) -> Result<(), String> {
        let id = match side {
            Side::Service => self.service.id(),
            Side::Collector => self.collector.id(),
        };
        let mut command = vec!["nsenter", "-t", &id, "-n", program];
        command.extend(words.split(' '));
        run(&command)
    }

    /// Has the kernel of `side` treat what comes in by `rule`, as nft writes it.
    pub(crate) fn rule(&self, side: Side, rule: &str) -> Result<(), String> {
        let chain = "{ type filter hook input priority 0 ; }";
        self.inside(side, "nft", "add table inet faults")?;
        self.inside(side, "nft", &format!("add chain inet faults input {chain}"))?;
        self.inside(side, "nft", &format!("add rule inet faults input {rule}"))
    }

    /// As [`World::rule`], for a test that has begun.
    #[track_caller]
    pub(crate) fn break_by(&self, side: Side, rule: &str) {
        self.rule(side, rule).unwrap();
    }

    /// Removes all rules.
    pub(crate) fn heal(&self) {
        for side in [Side::Service, Side::Collector] {
            self.inside(side, "nft", "flush ruleset").unwrap();
        }
    }

    /// Starts the service against `url`, with `timeout` for each request.
    #[track_caller]
    pub(crate) fn start(&mut self, url: &str, timeout: Duration) {
        let millis = timeout.as_millis();
        assert_eq!(
            self.service.ask(&format!("start {url} {millis}")),
            "started"
        );
    }

    /// Ends `spans` spans and flushes for `millis` at most.
    #[track_caller]
    pub(crate) fn batch(&mut self, spans: u64, millis: u64) -> Books {
        self.service.ask(&format!("record {spans}"));
        self.service.books(&format!("flush {millis}"))
    }

    /// Ends `spans` spans, which must arrive within `millis`.
    #[track_caller]
    pub(crate) fn deliver(&mut self, spans: u64, millis: u64) -> Books {
        let flush = self.batch(spans, millis);
        assert_eq!(flush["success"], 1, "{flush:?} {}", self.told());
        flush
    }

    /// What both sides have counted and reported, for the message of a failed test.
    pub(crate) fn told(&mut self) -> String {
        let mut told = String::new();
        let _ = write!(told, "{:?} ", self.service.books("books"));
        let _ = write!(told, "{:?} ", self.collector.books("books"));
        told + &self.service.ask("reports")
    }

    /// Waits until a figure of the service is at least `least`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, figure: &str, least: u64) -> Books {
        let until = Instant::now() + PATIENCE;
        loop {
            let books = self.service.books("books");
            if books[figure] >= least {
                return books;
            }
            assert!(
                Instant::now() < until,
                "{figure} < {least}: {}",
                self.told()
            );
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Shuts down: all `spans` were delivered, and no more copies than announced.
    ///
    /// The copies of the tokio transport are not compared: a flush that finds its task not polled
    /// for 100 ms sends the request again, and does not announce that.
    #[track_caller]
    pub(crate) fn close(&mut self, spans: u64) -> Books {
        let shutdown = self.service.books("shutdown 10000");
        assert_eq!(shutdown["left"], 0, "{shutdown:?}");
        let books = self.service.books("books");
        assert_eq!(
            (
                books["closed"],
                books["ended"],
                books["exported"],
                books["dropped"]
            ),
            (1, spans, spans, 0),
            "{}",
            self.told()
        );
        let theirs = self.collector.books("books");
        let stored = theirs["stored0"] + theirs["stored1"];
        let copies = theirs["copies0"] + theirs["copies1"];
        assert_eq!(stored, spans, "{}", self.told());
        let announced = copies - stored <= books["duplicates"];
        assert!(announced || self.sender == "tokio", "{}", self.told());
        books
    }
}

impl Drop for World {
    fn drop(&mut self) {
        for file in &self.files {
            let _ = std::fs::remove_file(file);
        }
    }
}

/// One of the two hosts.
#[derive(Clone, Copy)]
pub(crate) enum Side {
    Service,
    Collector,
}

/// Runs a command; the error says which one failed and how.
fn run(words: &[&str]) -> Result<(), String> {
    let [program, rest @ ..] = words else {
        return Err("no command".to_owned());
    };
    let line = words.join(" ");
    match Command::new(program).args(rest).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => {
            let error = String::from_utf8_lossy(&output.stderr);
            Err(format!("`{line}` failed: {}", error.trim()))
        }
        Err(error) => Err(format!("`{line}` failed: {error}")),
    }
}
