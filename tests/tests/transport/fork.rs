//! A process that forks while its threads record and its sender sends.
//!
//! A fork copies what other threads were doing in that moment, also the locks that they held. So
//! each child does everything that a program may do with what it inherits, and must end in time.
#![allow(
    unsafe_code,
    reason = "fork, alarm, waitpid and _exit have no safe form, and this module is nothing else"
)]

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use spandrel_core::hosted::diagnostics::{clear_handler, set_handler};
use spandrel_core::hosted::layer::{SpanExt, layer};
use spandrel_core::hosted::rng::after_fork_child;
use spandrel_core::hosted::trace::{self, set_global};
use spandrel_transport_std::{Config, FlushReport, Telemetry, Tracer, WhenFull, init};
use tracing::{Dispatch, dispatcher};
use tracing_subscriber::layer::SubscriberExt;

use crate::child::{record, say, settings};
use crate::harness::{PATIENCE, ms};

const FORKS: usize = 120;
const RECORDING: usize = 3;
/// Threads with a shard each, so that all others share the last one.
const IDLE: usize = 64;
/// Seconds after which a child hangs.
const LIMIT: libc::c_uint = 10;

/// Counts the children that hung and those that did wrong.
pub(crate) fn forks(shares_a_shard: bool) {
    let telemetry = init(Config {
        scheduled_delay: Some(ms(1)),
        max_export_batch_size: Some(32),
        set_global: true,
        shard_bytes: Some(32 * 1024),
        when_full: WhenFull::Wait(PATIENCE),
        ..settings()
    });
    let telemetry = telemetry.unwrap();
    let tracer = telemetry.tracer("parent");
    let dispatch = Dispatch::new(tracing_subscriber::registry().with(layer(&tracer)));
    let stop = AtomicBool::new(false);
    let idle = if shares_a_shard { IDLE } else { 0 };
    let barrier = Barrier::new(idle + 1);
    let (mut hung, mut failed) = (0, 0);
    thread::scope(|scope| {
        for _ in 0..idle {
            scope.spawn(|| {
                tracer.start("idle").end();
                barrier.wait();
                barrier.wait();
            });
        }
        barrier.wait();
        for _ in 0..RECORDING {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    telemetry.tracer("worker").start("work").end();
                    trace::tracer("global").start("work").end();
                    set_global(telemetry.provider());
                    set_handler(Box::new(|_| {}));
                    let _ = telemetry.ledger();
                    dispatcher::with_default(&dispatch, || drop(tracing::info_span!("layer")));
                }
            });
        }
        for number in 0..FORKS {
            tracer.start("parent").end();
            match fork_and_wait(|| child(number, &telemetry, &tracer, &dispatch)) {
                status if libc::WIFSIGNALED(status) => hung += 1,
                status => failed += usize::from(libc::WEXITSTATUS(status) != 0),
            }
            if hung + failed > 2 {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        barrier.wait();
    });
    clear_handler();
    say(&format!("hung {hung}"));
    say(&format!("failed {failed}"));
    let _ = telemetry.shutdown(PATIENCE);
    say(&format!("balanced {}", telemetry.ledger().is_balanced()));
}

/// Signals in forked children: one that says that it was forked, and one with a pipeline of its own.
pub(crate) fn signals() {
    let telemetry = init(settings()).unwrap();
    telemetry.shutdown_on_signal().unwrap();
    record(&telemetry, 3);
    let terminate = || {
        // SAFETY: it takes no pointer, and the handlers are signal-hook's.
        unsafe { libc::raise(libc::SIGTERM) };
        thread::sleep(PATIENCE);
        false
    };
    let noted = fork_and_wait(|| {
        after_fork_child();
        terminate()
    });
    let own = fork_and_wait(|| {
        let own = init(settings()).unwrap();
        own.shutdown_on_signal().unwrap();
        record(&own, 2);
        terminate()
    });
    for status in [noted, own] {
        say(&format!("ended by {}", libc::WTERMSIG(status)));
    }
    say(&telemetry.shutdown(PATIENCE).to_string());
}

/// Runs `work` in a forked child, and returns its wait status.
fn fork_and_wait(work: impl FnOnce() -> bool) -> libc::c_int {
    // SAFETY: the child runs on this thread only, with the copied stack, and ends by `_exit`.
    match unsafe { libc::fork() } {
        0 => {
            // SAFETY: it takes no pointer; its signal ends a child that hangs.
            unsafe { libc::alarm(LIMIT) };
            let done = work();
            // SAFETY: it ends the process, without the parent's exit handlers.
            unsafe { libc::_exit(i32::from(!done)) }
        }
        child => {
            let mut status = 0;
            // SAFETY: `status` is a place to write to, and `child` is our child.
            let waited = unsafe { libc::waitpid(child, &raw mut status, 0) };
            assert_eq!(waited, child);
            status
        }
    }
}

/// Returns true if all that is inherited does nothing.
fn child(number: usize, telemetry: &Telemetry, tracer: &Tracer, dispatch: &Dispatch) -> bool {
    // Most do not say that they were forked.
    if number.is_multiple_of(4) {
        after_fork_child();
    }
    let mut right = telemetry.ledger().ended == 0 && telemetry.counts().ended == 0;
    for _ in 0..100 {
        let mut span = tracer.start("inherited");
        span.set_attribute("number", number);
        span.end();
    }
    let live: Vec<_> = (0..100).map(|_| tracer.start("inherited")).collect();
    drop(live);
    dispatcher::with_default(dispatch, || {
        let span = tracing::info_span!("inherited");
        span.in_scope(|| tracing::info!("inherited"));
        let _ = span.set_parent(*tracer.start("parent").context());
    });
    telemetry.tracer("another").start("inherited").end();
    trace::tracer("global").start("inherited").end();
    thread::spawn({
        let tracer = tracer.clone();
        move || tracer.start("inherited").end()
    })
    .join()
    .unwrap();
    set_handler(Box::new(|_| {}));
    right &= telemetry.force_flush(PATIENCE) == FlushReport::NOTHING;
    if number % 8 < 4 {
        right &= telemetry.shutdown(PATIENCE) == FlushReport::NOTHING;
    }
    telemetry.cancel_token().cancel();
    if number % 10 < 4 {
        right &= is_its_own();
    }
    right
}

/// A pipeline of the child works.
fn is_its_own() -> bool {
    let own = init(Config {
        set_global: true,
        ..settings()
    });
    let own = own.unwrap();
    trace::tracer("child").start("own").end();
    let report = own.shutdown(PATIENCE);
    report.is_success() && own.ledger().exported == 1
}
