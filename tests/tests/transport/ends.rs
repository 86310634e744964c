//! The ends of a process that its program does not choose, with real signals and panics, in both
//! transports.

use std::thread;
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::trace::v1::Span as Received;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use spandrel_core::hosted::unversioned::handle::Handle;
use spandrel_tests::fault_server::{FaultServer, Reply, Script};
use spandrel_transport_std::Config;
use tokio::runtime::{Builder, Runtime};

use crate::child::{Process, say, settings};
use crate::harness::{PATIENCE, ms, until};

const TRANSPORTS: [&str; 2] = ["blocking", "async"];

/// A handle of either transport, in the child.
enum Telemetry {
    Blocking(spandrel_transport_std::Telemetry),
    Async(Runtime, spandrel_transport_async::Telemetry),
}

impl Telemetry {
    fn start(transport: &str, config: Config) -> Self {
        if transport == "blocking" {
            return Self::Blocking(spandrel_transport_std::init(config).unwrap());
        }
        Self::start_on(Builder::new_current_thread(), config)
    }

    fn start_on(mut runtime: Builder, config: Config) -> Self {
        let runtime = runtime.enable_all().build().unwrap();
        let telemetry = runtime.block_on(async { spandrel_transport_async::init(config) });
        Self::Async(runtime, telemetry.unwrap())
    }

    fn handle(&self) -> &Handle {
        match self {
            Self::Blocking(telemetry) => telemetry,
            Self::Async(_, telemetry) => telemetry,
        }
    }

    fn record(&self, spans: usize) {
        let tracer = self.handle().tracer("ends");
        for _ in 0..spans {
            tracer.start("work").end();
        }
    }

    fn shutdown_on_signal(&self) {
        match self {
            Self::Blocking(telemetry) => telemetry.shutdown_on_signal(),
            Self::Async(_, telemetry) => telemetry.shutdown_on_signal(),
        }
        .unwrap();
    }

    fn until_signal(&self) {
        match self {
            Self::Blocking(telemetry) => telemetry.until_signal().unwrap(),
            Self::Async(runtime, telemetry) => runtime.block_on(telemetry.until_signal()),
        }
    }

    fn record_panics(&self) {
        match self {
            Self::Blocking(telemetry) => telemetry.record_panics(),
            Self::Async(_, telemetry) => telemetry.record_panics(),
        }
    }

    fn shutdown(&self) {
        let report = match self {
            Self::Blocking(telemetry) => telemetry.shutdown(PATIENCE),
            Self::Async(runtime, telemetry) => runtime.block_on(telemetry.shutdown(PATIENCE)),
        };
        say(&report.to_string());
    }

    fn exit(&self, code: i32) -> ! {
        match self {
            Self::Blocking(telemetry) => telemetry.exit(code),
            Self::Async(runtime, telemetry) => runtime.block_on(telemetry.exit(code)),
        }
    }
}

/// Says that this process is ready as soon as it handles SIGTERM.
fn ready_soon() {
    thread::spawn(|| {
        let is_handled = || {
            let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
            let set = status.lines().find_map(|it| it.strip_prefix("SigCgt:"));
            let set = set.map_or(Ok(0), |set| u64::from_str_radix(set.trim(), 16));
            // Elsewhere than on Linux it takes no longer than this.
            thread::sleep(ms(20));
            status.is_empty() || set.is_ok_and(|set| set >> 14 & 1 == 1)
        };
        until("a handler", is_handled);
        say("ready");
    });
}

/// A destructor that panics, which aborts the process if a panic runs it.
struct Bad;

impl Drop for Bad {
    fn drop(&mut self) {
        panic!("worse");
    }
}

/// Does in the child what `case` says: `ends`, the transport, and what happens.
pub(crate) fn case(case: &str) {
    let words: Vec<_> = case.splitn(3, ' ').collect();
    let ["ends", transport, what] = words[..] else {
        unreachable!("no such case: {case}");
    };
    let config = Config {
        shutdown_timeout: PATIENCE,
        ..settings()
    };
    match what {
        "a signal within half a second" => {
            let telemetry = Telemetry::start(
                transport,
                Config {
                    shutdown_timeout: ms(500),
                    ..config
                },
            );
            telemetry.shutdown_on_signal();
            telemetry.record(3);
            say("ready");
            thread::sleep(PATIENCE);
        }
        // The runtime, if there is one, is not polled meanwhile.
        "a signal" => {
            let telemetry = Telemetry::start(transport, config);
            telemetry.shutdown_on_signal();
            telemetry.shutdown_on_signal();
            telemetry.record(3);
            say("ready");
            thread::sleep(PATIENCE);
        }
        "two pipelines" => {
            let both = [config.clone(), config].map(|it| Telemetry::start(transport, it));
            both.iter().for_each(Telemetry::shutdown_on_signal);
            both.iter().for_each(|it| it.record(3));
            say("ready");
            thread::sleep(PATIENCE);
        }
        "another handler" => {
            ctrlc::set_handler(|| say("the other one")).unwrap();
            let telemetry = Telemetry::start(transport, config);
            telemetry.shutdown_on_signal();
            telemetry.record(3);
            say("ready");
            thread::sleep(PATIENCE);
        }
        "a handle that is gone" => {
            let telemetry = Telemetry::start(transport, config);
            telemetry.shutdown_on_signal();
            telemetry.record(3);
            telemetry.shutdown();
            drop(telemetry);
            say("ready");
            thread::sleep(PATIENCE);
        }
        "a program that ends by itself" => {
            let telemetry = match transport {
                "blocking" => Telemetry::start(transport, config),
                // Somebody polls it while this thread looks at the ledger.
                _ => Telemetry::start_on(Builder::new_multi_thread(), config),
            };
            telemetry.record(3);
            ready_soon();
            telemetry.until_signal();
            telemetry.until_signal();
            say("told");
            until("all is sent", || telemetry.handle().ledger().exported == 3);
            telemetry.record(1);
            telemetry.exit(7);
        }
        "a program that ends too slowly" => {
            let telemetry = Telemetry::start(transport, config);
            ready_soon();
            telemetry.until_signal();
            say("told");
            thread::sleep(PATIENCE);
        }
        "disabled" => {
            let telemetry = Telemetry::start(
                transport,
                Config {
                    enabled: false,
                    ..config
                },
            );
            telemetry.shutdown_on_signal();
            telemetry.record_panics();
            ready_soon();
            telemetry.until_signal();
            telemetry.exit(7);
        }
        "a panic of a thread" => {
            let telemetry = Telemetry::start(transport, config);
            telemetry.record_panics();
            let tracer = telemetry.handle().tracer("ends");
            let panicked = thread::spawn(move || {
                let mut outer = tracer.start("outer");
                outer.in_scope(|_| tracer.span("inner").in_scope(|_| panic!("no {}", "stock")));
            });
            assert!(panicked.join().is_err());
            telemetry.shutdown();
        }
        "a panic of the program" => {
            let telemetry = Telemetry::start(transport, config);
            telemetry.record_panics();
            let program = |telemetry: &dyn std::ops::Deref<Target = Handle>| {
                let tracer = telemetry.tracer("ends");
                tracer.span("main").in_scope(|_| panic!("no stock"));
            };
            match telemetry {
                Telemetry::Blocking(telemetry) => program(&telemetry),
                Telemetry::Async(runtime, telemetry) => {
                    runtime.block_on(async move { program(&telemetry) });
                }
            }
        }
        "a panic that aborts" => {
            let telemetry = Telemetry::start(transport, config);
            telemetry.record_panics();
            telemetry.record(3);
            let tracer = telemetry.handle().tracer("ends");
            tracer.span("open").in_scope(|_| {
                let _bad = Bad;
                panic!("bad");
            });
        }
        other => unreachable!("no such case: {other}"),
    }
}

#[cfg(unix)]
fn signal_of(status: std::process::ExitStatus) -> Option<i32> {
    std::os::unix::process::ExitStatusExt::signal(&status)
}

fn start(transport: &str, what: &str, server: &FaultServer) -> Process {
    let case = format!("ends {transport} {what}");
    let mut child = Process::start(&case, &server.url(), 0, None);
    if !what.starts_with("a panic") {
        assert_eq!(child.line().as_deref(), Some("ready"), "{case}");
    }
    child
}

fn spans(server: &FaultServer) -> Vec<Received> {
    let requests = server.requests();
    let spans = requests.iter().flat_map(|it| it.spans());
    spans.cloned().collect()
}

#[cfg(unix)]
#[test]
fn x270_every_signal_that_ends_a_program_has_its_spans_sent_first() {
    for (name, number) in [("TERM", 15), ("INT", 2), ("HUP", 1)] {
        for transport in TRANSPORTS {
            let server = FaultServer::start(Script::new());
            let child = start(transport, "a signal", &server);
            child.signal(name);
            let (_, status) = child.outcome();
            assert_eq!(signal_of(status), Some(number), "{transport}, {name}");
            assert_eq!(server.oracle().stored().len(), 3, "{transport}, {name}");
            assert!(server.oracle().duplicated().is_empty());
        }
    }
}

#[cfg(unix)]
#[test]
fn x270_two_pipelines_are_both_sent() {
    for transport in TRANSPORTS {
        let server = FaultServer::start(Script::new());
        let child = start(transport, "two pipelines", &server);
        child.signal("TERM");
        let (_, status) = child.outcome();
        assert_eq!(signal_of(status), Some(15));
        assert_eq!(server.oracle().stored().len(), 6, "{transport}");
    }
}

#[cfg(unix)]
#[test]
fn x271_a_collector_that_hangs_delays_the_end_by_the_shutdown_timeout_only() {
    for transport in TRANSPORTS {
        let server = FaultServer::start(Reply::Hang);
        let child = start(transport, "a signal within half a second", &server);
        let sent = Instant::now();
        child.signal("TERM");
        let (_, status) = child.outcome();
        assert_eq!(signal_of(status), Some(15), "{transport}");
        assert!(sent.elapsed() < Duration::from_secs(3), "{transport}");
    }
}

#[cfg(unix)]
#[test]
fn x271_a_second_signal_ends_the_program_at_once() {
    for transport in TRANSPORTS {
        for second in ["TERM", "INT"] {
            let server = FaultServer::start(Reply::Hang);
            let child = start(transport, "a signal", &server);
            child.signal("TERM");
            assert!(server.wait_for_requests(1, PATIENCE), "the end has begun");
            let sent = Instant::now();
            child.signal(second);
            let (_, status) = child.outcome();
            let number = if second == "TERM" { 15 } else { 2 };
            assert_eq!(signal_of(status), Some(number), "{transport}");
            assert!(sent.elapsed() < Duration::from_secs(3), "{transport}");
        }
    }
}

#[cfg(unix)]
#[test]
fn x272_a_handler_that_was_there_before_is_called_too() {
    for transport in TRANSPORTS {
        let server = FaultServer::start(Script::new());
        let child = start(transport, "another handler", &server);
        child.signal("TERM");
        let (lines, status) = child.outcome();
        assert_eq!(lines, ["the other one"], "{transport}");
        assert_eq!(signal_of(status), Some(15));
        assert_eq!(server.oracle().stored().len(), 3);
    }
}

#[cfg(unix)]
#[test]
fn x272_a_signal_that_the_process_ignores_stays_ignored() {
    for transport in TRANSPORTS {
        let server = FaultServer::start(Script::new());
        let case = format!("ends {transport} a signal");
        let mut child = Process::start_ignoring("HUP", &case, &server.url());
        assert_eq!(child.line().as_deref(), Some("ready"));
        child.signal("HUP");
        // Had it been heard, it would be the one that ends the process.
        child.signal("TERM");
        let (_, status) = child.outcome();
        assert_eq!(signal_of(status), Some(15), "{transport}");
        assert_eq!(server.oracle().stored().len(), 3);
    }
}

#[cfg(unix)]
#[test]
fn x273_a_forked_child_ends_by_the_signal_after_its_own_spans_are_sent() {
    let server = FaultServer::start(Script::new());
    let lines = Process::start("signals in children", &server.url(), 0, None).lines();
    let report = "3 exported, 0 dropped, 0 left";
    assert_eq!(lines, ["ended by 15", "ended by 15", report]);
    assert_eq!(server.oracle().stored().len(), 5);
    assert!(server.oracle().duplicated().is_empty());
}

#[cfg(unix)]
#[test]
fn x273_without_its_handle_a_program_ends_by_the_first_signal() {
    for transport in TRANSPORTS {
        let server = FaultServer::start(Script::new());
        let case = format!("ends {transport} a handle that is gone");
        let mut child = Process::start(&case, &server.url(), 0, None);
        let report = child.line();
        assert_eq!(report.as_deref(), Some("3 exported, 0 dropped, 0 left"));
        assert_eq!(child.line().as_deref(), Some("ready"));
        child.signal("TERM");
        assert_eq!(signal_of(child.outcome().1), Some(15), "{transport}");
    }
}

#[cfg(unix)]
#[test]
fn x273_a_program_that_ends_by_itself_hears_of_the_signal() {
    for transport in TRANSPORTS {
        let server = FaultServer::start(Script::new());
        let child = start(transport, "a program that ends by itself", &server);
        child.signal("TERM");
        let (lines, status) = child.outcome();
        assert_eq!(lines, ["told"], "{transport}");
        assert_eq!(status.code(), Some(7), "{transport}");
        assert_eq!(server.oracle().stored().len(), 4, "{transport}");

        let mut child = start(transport, "a program that ends too slowly", &server);
        child.signal("TERM");
        assert_eq!(child.line().as_deref(), Some("told"));
        child.signal("TERM");
        assert_eq!(signal_of(child.outcome().1), Some(15), "{transport}");

        let child = start(transport, "disabled", &server);
        child.signal("INT");
        assert_eq!(child.outcome().1.code(), Some(7), "{transport}");
    }
}

/// The one event of a span, as text.
fn exception(span: &Received) -> Vec<String> {
    assert_eq!(span.events.len(), 1, "{span:?}");
    assert_eq!(span.events[0].name, "exception");
    let attributes = span.events[0].attributes.iter();
    let text = attributes.map(|it| format!("{}={:?}", it.key, it.value));
    text.collect()
}

#[test]
fn x274_a_panic_is_an_exception_on_its_span() {
    for transport in TRANSPORTS {
        let server = FaultServer::start(Script::new());
        let lines = start(transport, "a panic of a thread", &server).lines();
        assert_eq!(lines, ["2 exported, 0 dropped, 0 left"], "{transport}");
        let spans = spans(&server);
        let inner = spans.iter().find(|it| it.name == "inner").unwrap();
        let text = exception(inner).concat();
        for part in ["exception.type=", "\"panic\"", "\"no stock\"", "ends.rs"] {
            assert!(text.contains(part), "{text}");
        }
        let status = inner.status.as_ref().unwrap();
        assert_eq!(status.code(), StatusCode::Error);
        assert_eq!(status.message, "panicked: no stock");
        let outer = spans.iter().find(|it| it.name == "outer").unwrap();
        assert!(outer.events.is_empty());
        assert_eq!(outer.status.as_ref().unwrap().message, "panicked");
    }
}

#[test]
fn x274_a_panic_of_the_program_is_sent_before_it_ends() {
    for transport in TRANSPORTS {
        let server = FaultServer::start(Script::new());
        let (_, status) = start(transport, "a panic of the program", &server).outcome();
        assert!(!status.success());
        let spans = spans(&server);
        assert_eq!(spans.len(), 1, "{transport}");
        assert!(exception(&spans[0]).concat().contains("no stock"));
    }
}

#[test]
fn x275_a_panic_that_aborts_is_sent_with_all_that_had_ended() {
    for transport in TRANSPORTS {
        let server = FaultServer::start(Script::new());
        let (_, status) = start(transport, "a panic that aborts", &server).outcome();
        #[cfg(unix)]
        assert_eq!(signal_of(status), Some(6), "{transport}: {status}");
        assert!(!status.success());
        let spans = spans(&server);
        assert_eq!(spans.len(), 4, "{transport}");
        let panic = spans.iter().find(|it| it.name == "panic").unwrap();
        assert!(!panic.parent_span_id.is_empty(), "it is below the open one");
        assert!(exception(panic).concat().contains("cleanup"));
    }
}

/// Whatever a thread has recorded by its end, in destructors of its locals too.
#[test]
fn x276_threads_that_end_leave_their_spans() {
    use std::cell::RefCell;
    thread_local! {
        static LAST: RefCell<Vec<spandrel_transport_std::Span>> = const { RefCell::new(Vec::new()) };
    }
    for transport in TRANSPORTS {
        let server = FaultServer::start(Script::new());
        let telemetry = Telemetry::start(transport, crate::harness::config(&server.url()));
        for _ in 0..70 {
            let tracer = telemetry.handle().tracer("ends");
            let thread = thread::spawn(move || {
                tracer.start("first").end();
                LAST.with_borrow_mut(|last| last.push(tracer.start("last")));
            });
            thread.join().unwrap();
        }
        match &telemetry {
            Telemetry::Blocking(telemetry) => {
                assert!(telemetry.shutdown(PATIENCE).is_success());
            }
            Telemetry::Async(runtime, telemetry) => {
                let report = runtime.block_on(telemetry.shutdown(PATIENCE));
                assert!(report.is_success());
            }
        }
        assert_eq!(server.oracle().stored().len(), 140, "{transport}");
    }
}
