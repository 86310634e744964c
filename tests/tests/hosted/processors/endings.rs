//! Flush and shutdown.

use std::sync::Arc;
use std::time::Instant;

use spandrel_core::hosted::processor::SpanProcessor;
use spandrel_core::response::DropReason;
use spandrel_transport_std::FlushOutcome;

use super::rig::{Notes, Noting, PATIENCE, Rig};

// spec D-115, D-120
#[test]
fn a_shutdown_ends_the_processors_once_and_nothing_is_called_afterwards() {
    let notes = Notes::default();
    let rigs = Rig::of_both(|config| {
        config.processors = vec![Noting::arc("a", &notes), Noting::arc("b", &notes)];
    });
    for rig in rigs {
        notes.take();
        let tracer = rig.tracer();
        let open = tracer.start("open");
        tracer.start("work").end();
        notes.take();
        let report = rig.shutdown();
        assert!(report.is_success(), "{report:?}");
        assert_eq!((report.exported, report.lost), (1, 0));
        assert_eq!(notes.take(), ["a shutdown ", "b shutdown "]);

        open.end();
        tracer.start("late").end();
        assert_eq!(rig.shutdown(), report);
        let _ = rig.flush();
        assert_eq!(notes.take(), [""; 0]);
        assert_eq!(rig.ledger().dropped(DropReason::Shutdown), 1);
    }
}

#[test]
fn a_handle_that_is_dropped_ends_the_processors() {
    let notes = Notes::default();
    let rigs = Rig::of_both(|config| config.processors = vec![Noting::arc("a", &notes)]);
    for rig in rigs {
        notes.take();
        rig.tracer().start("work").end();
        notes.take();
        drop(rig);
        assert_eq!(notes.take(), ["a shutdown "]);
    }
}

/// Does what it has put off too late, or panics.
struct Slow(bool);

impl SpanProcessor for Slow {
    fn force_flush(&self, deadline: Instant) -> bool {
        let left = deadline.saturating_duration_since(Instant::now());
        assert!(left <= PATIENCE && left > PATIENCE / 2, "{left:?}");
        assert!(self.0, "a panic of its own");
        false
    }
}

#[test]
fn a_flush_that_a_processor_does_not_complete_says_so() {
    for panics in [false, true] {
        let rigs = Rig::of_both(|config| config.processors = vec![Arc::new(Slow(!panics))]);
        for rig in rigs {
            rig.tracer().start("work").end();
            for report in [rig.flush(), rig.shutdown()] {
                assert_eq!(report.outcome, FlushOutcome::TimedOut);
                assert_eq!((report.left, report.dropped), (0, 0));
            }
            assert_eq!(rig.ledger().exported, 1);
            assert_eq!(rig.counts().processor_panics, if panics { 2 } else { 0 });
        }
    }
}
