use super::*;
use crate::attribute::Value;
use crate::buffer::{PushError, RecordSink};
use crate::context::{ParentContext, SpanContext, TraceFlags};
use crate::id::{IdGenerator, SpanId};
use crate::sampler::AlwaysOn;
use crate::span::Status;
use crate::tracer::{BareTracer, SpanBuilder};
use std::vec::Vec;

/// A span for tests; its ids are small numbers.
#[derive(Clone, Copy)]
struct Span {
    trace: u64,
    id: u64,
    /// 0 for none.
    parent: u64,
    is_remote: bool,
    is_error: bool,
    millis: u64,
}

const PLAIN: Span = Span {
    trace: 1,
    id: 1,
    parent: 0,
    is_remote: false,
    is_error: false,
    millis: 1,
};

fn trace_id(n: u64) -> TraceId {
    // Spread over all 56 bits.
    let mixed = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    TraceId::from_bytes((u128::from(n) << 64 | u128::from(mixed)).to_be_bytes())
}

struct Ids(Span);

impl IdGenerator for Ids {
    const RANDOM: bool = true;

    fn trace_id(&mut self) -> TraceId {
        trace_id(self.0.trace)
    }

    fn span_id(&mut self) -> SpanId {
        SpanId::from_bytes(self.0.id.to_be_bytes())
    }
}

struct Pushing<'a>(&'a mut Tail, Instant, bool);

impl RecordSink for Pushing<'_> {
    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        self.2 = self.0.push(record, self.1);
        Ok(())
    }
}

impl Tail {
    fn take(&mut self, span: Span, now: Instant) -> bool {
        let mut tracer = BareTracer::new(AlwaysOn, Ids(span));
        let mut builder = SpanBuilder::new("x");
        if span.parent != 0 {
            let make = if span.is_remote {
                SpanContext::remote
            } else {
                SpanContext::new
            };
            let id = SpanId::from_bytes(span.parent.to_be_bytes());
            builder = builder.parent(ParentContext {
                span_context: make(trace_id(span.trace), id, TraceFlags::SAMPLED),
                // Stands before the parent's id in nothing, but after it.
                trace_state: if span.id.is_multiple_of(2) { "a=b" } else { "" },
            });
        }
        let mut live = tracer.start::<512>(builder, Instant::ZERO);
        live.set_attribute("n", Value::I64(span.id as i64));
        if span.is_error {
            live.set_status(Status::error(""));
        }
        let mut sink = Pushing(self, now, false);
        live.end(Instant::from_millis(span.millis), &mut sink)
            .unwrap();
        sink.2
    }

    /// A whole pass in which `spans` come.
    fn pass(&mut self, spans: &[Span]) {
        self.begin_pass();
        for span in spans {
            assert!(self.take(*span, Instant::ZERO));
        }
        self.end_pass(true);
    }

    /// The ids of the spans that are kept, in order.
    fn released(&mut self) -> Vec<u64> {
        let mut ids = Vec::new();
        self.offer(&mut |record| {
            let id = StoredSpan::new(record.body).unwrap().span_id();
            ids.push(u64::from_be_bytes(id.to_bytes()));
            true
        });
        ids
    }

    fn ledger(&self) -> Ledger {
        let mut ledger = Ledger::default();
        self.add_to(&mut ledger);
        assert!(ledger.is_balanced(), "{ledger}");
        ledger
    }
}

fn tail(edit: impl FnOnce(&mut Keep)) -> Tail {
    let mut keep = Keep::default();
    edit(&mut keep);
    Tail::new(&keep)
}

fn child(id: u64, parent: u64) -> Span {
    Span {
        id,
        parent,
        ..PLAIN
    }
}

#[test]
fn a_trace_is_kept_whole_for_an_error_of_any_span() {
    for is_error in [true, false] {
        let mut tail = tail(|_| ());
        let failed = Span {
            is_error,
            ..child(3, 2)
        };
        tail.pass(&[failed, child(2, 1), PLAIN]);
        assert_eq!(
            tail.released(),
            [0_u64; 0],
            "not before a pass after the root's"
        );
        tail.pass(&[child(4, 1)]);
        let kept: &[u64] = if is_error { &[3, 2, 1, 4] } else { &[] };
        assert_eq!(tail.released(), kept);
        // Late ones follow.
        tail.pass(&[child(5, 2)]);
        assert_eq!(tail.released().len(), usize::from(is_error));
        tail.time_out(Instant::from_secs(61));
        assert!(tail.is_empty() && tail.bytes() == 0);
        let dropped = tail.ledger().dropped(DropReason::TailDropped);
        assert_eq!(dropped, if is_error { 0 } else { 5 });
        assert_eq!(tail.counts().early, 0);
    }
}

/// The child ended first, on a thread whose shard was drained before.
#[test]
fn an_error_that_comes_in_the_pass_after_the_roots_counts() {
    let mut tail = tail(|_| ());
    tail.pass(&[PLAIN]);
    assert_eq!(tail.look_at(Instant::ZERO), Instant::from_millis(100));
    tail.begin_pass();
    let failed = Span {
        is_error: true,
        ..child(2, 1)
    };
    assert!(tail.take(failed, Instant::ZERO) && tail.has_due());
    // Only a whole pass tells that nothing is missing.
    tail.end_pass(false);
    assert_eq!(tail.released(), [0_u64; 0]);
    tail.pass(&[]);
    assert!(!tail.has_due());
    assert_eq!(tail.released(), [1, 2]);
}

#[test]
fn a_slow_local_root_keeps_its_trace_and_a_slow_child_does_not() {
    let slow = |span: Span, millis| Span { millis, ..span };
    for (root, child_millis, kept) in [(101, 1, 2), (100, 1, 0), (50, 500, 0)] {
        let mut tail = tail(|keep| keep.slower_than = Some(Duration::from_millis(100)));
        tail.pass(&[slow(child(2, 1), child_millis), slow(PLAIN, root)]);
        tail.pass(&[]);
        assert_eq!(tail.released().len(), kept, "{root}");
    }
}

#[test]
fn the_share_is_chosen_by_the_trace_id() {
    let mut both = [0.25, 0.5].map(|share| tail(|keep| keep.share = share));
    let kept = both.each_mut().map(|tail| {
        for trace in 0..2000 {
            tail.pass(&[Span {
                trace: trace + 1,
                id: trace + 1,
                ..PLAIN
            }]);
        }
        tail.pass(&[]);
        tail.released()
    });
    assert!((400..600).contains(&kept[0].len()), "{}", kept[0].len());
    assert!((900..1100).contains(&kept[1].len()), "{}", kept[1].len());
    assert!(kept[0].iter().all(|id| kept[1].contains(id)));
    let mut all = tail(|keep| keep.share = 1.0);
    all.pass(&[PLAIN]);
    all.pass(&[]);
    assert_eq!(all.released(), [1]);
}

#[test]
fn a_remote_parent_makes_a_local_root_and_several_of_a_trace_are_decided_each() {
    let root = |id| Span {
        parent: 99,
        is_remote: true,
        ..child(id, 0)
    };
    let mut tail = tail(|_| ());
    // The second call's child ends before the first call does.
    tail.pass(&[child(2, 1), child(12, 11), root(1)]);
    tail.pass(&[]);
    assert_eq!(tail.ledger().dropped(DropReason::TailDropped), 2);
    assert_eq!(tail.ledger().buffered, 1, "12 waits for 11");
    let failed = Span {
        is_error: true,
        ..root(11)
    };
    tail.pass(&[child(13, 11), failed]);
    tail.pass(&[]);
    assert_eq!(tail.released(), [12, 13, 11]);
    tail.pass(&[root(21), child(22, 21)]);
    assert_eq!(tail.released(), [21, 22], "from now on all are kept");
}

#[test]
fn a_trace_with_too_many_spans_is_decided_early_and_whole() {
    for is_error in [true, false] {
        let mut tail = tail(|keep| keep.max_trace_spans = 3);
        let spans = [2, 3, 4, 5].map(|id| Span {
            is_error: is_error && id == 2,
            ..child(id, 1)
        });
        tail.pass(&spans);
        assert_eq!(tail.counts().early, 1);
        assert_eq!(tail.released().len(), if is_error { 4 } else { 0 });
        tail.pass(&[child(6, 1)]);
        tail.pass(&[]);
        tail.finish();
        assert_eq!(tail.released().len(), usize::from(is_error));
        assert_eq!(tail.counts().early, 1);
    }
}

#[test]
fn bytes_are_bounded_whatever_comes_and_what_is_kept_must_be_taken() {
    let mut tail = tail(|keep| {
        keep.share = 1.0;
        keep.max_bytes = 4096;
    });
    let mut refused = 0;
    tail.begin_pass();
    for id in 1..=100 {
        let span = Span {
            trace: id,
            ..child(id, 500)
        };
        refused += u64::from(!tail.take(span, Instant::ZERO));
        assert!(tail.bytes() <= 4096);
    }
    assert!(refused > 50, "{refused}");
    assert_eq!(tail.ledger().ended, 100 - refused);
    let kept = tail.released().len() as u64;
    assert!(kept > 3 && tail.counts().early == kept, "{kept}");
    assert!(tail.take(PLAIN, Instant::ZERO));
    tail.finish();
    assert_eq!(tail.kept() as u64 + kept, 101 - refused);
}

#[test]
fn a_trace_without_its_root_is_decided_in_time() {
    let mut tail = tail(|_| ());
    assert_eq!(tail.look_at(Instant::ZERO), Instant::MAX);
    assert!(tail.take(child(2, 1), Instant::from_secs(10)));
    assert_eq!(tail.look_at(Instant::ZERO), Instant::from_secs(70));
    tail.time_out(Instant::from_secs(69));
    assert_eq!(tail.ledger().buffered, 1);
    tail.time_out(Instant::from_secs(70));
    assert_eq!((tail.ledger().buffered, tail.counts().early), (0, 1));
}

#[test]
fn what_is_given_up_is_counted() {
    let mut tail = tail(|keep| keep.share = 1.0);
    tail.pass(&[PLAIN]);
    tail.pass(&[Span {
        trace: 2,
        ..child(2, 1)
    }]);
    tail.abandon();
    assert!(tail.is_empty());
    assert_eq!(tail.ledger().dropped(DropReason::Shutdown), 2);
    assert!(tail.ledger().is_closed());
}

#[test]
fn decisions_are_forgotten_oldest_first() {
    let mut tail = tail(|_| ());
    let count = MAX_DECISIONS as u64 + 10;
    for trace in 1..=count {
        tail.pass(&[Span {
            trace,
            is_error: true,
            ..PLAIN
        }]);
    }
    tail.pass(&[]);
    assert_eq!(tail.decisions.len(), MAX_DECISIONS);
    assert_eq!(tail.decisions_by_age.len(), MAX_DECISIONS);
    assert!(tail.due.len() < 100 && tail.by_age.len() < 100);
    assert_eq!(tail.released().len() as u64, count);
    // Known and unknown.
    tail.pass(&[
        Span {
            trace: count,
            ..child(2, 1)
        },
        Span {
            trace: 1,
            ..child(2, 1)
        },
    ]);
    assert_eq!(tail.released().len(), 1);
}
