//! A naive model of the decision about finished traces, and the machine beside it.
//!
//! Each trace has one local root, the span of id 1; the others are below it. Then a trace is kept
//! whole or not at all, whatever the order in which its spans come.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use spandrel_core::buffer::{PushError, Record, RecordSink};
use spandrel_core::context::{SpanContext, TraceFlags};
use spandrel_core::hosted::config::Keep;
use spandrel_core::hosted::unversioned::tail::Tail;
use spandrel_core::id::{IdGenerator, SpanId, TraceId};
use spandrel_core::sampler::{AlwaysOn, Randomness, Threshold};
use spandrel_core::span::Status;
use spandrel_core::span::stored::StoredSpan;
use spandrel_core::stats::Ledger;
use spandrel_core::time::Instant;
use spandrel_core::tracer::{BareTracer, SpanBuilder};

/// A finished span.
#[derive(Clone, Copy, Debug)]
pub struct TailSpan {
    /// The number of its trace.
    pub trace: u64,
    /// 1 for the local root.
    pub id: u64,
    /// The id of its parent; a local root has none, or one in another process.
    pub parent: u64,
    /// Its status is error.
    pub is_error: bool,
    /// How long it took.
    pub millis: u64,
}

#[derive(Default)]
struct ModelTrace {
    spans: HashSet<u64>,
    has_error: bool,
    root: Option<(u64, u64)>,
    longest: u64,
    is_kept: Option<bool>,
}

/// The machine, with a model that remembers everything.
pub struct TailRun {
    /// The machine.
    pub tail: Tail,
    keep: Keep,
    traces: HashMap<u64, ModelTrace>,
    released: HashMap<u64, HashSet<u64>>,
    pass: u64,
    pushed: u64,
    refused: u64,
    taken: u64,
}

struct Fixed(TailSpan);

fn trace_id(n: u64) -> TraceId {
    let mixed = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    TraceId::from_bytes((u128::from(n + 1) << 64 | u128::from(mixed)).to_be_bytes())
}

fn span_id(n: u64) -> SpanId {
    SpanId::from_bytes(n.to_be_bytes())
}

impl IdGenerator for Fixed {
    const RANDOM: bool = true;

    fn trace_id(&mut self) -> TraceId {
        trace_id(self.0.trace)
    }

    fn span_id(&mut self) -> SpanId {
        span_id(self.0.id)
    }
}

struct Into<'a>(&'a mut Tail, Instant, bool);

impl RecordSink for Into<'_> {
    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        self.2 = self.0.push(record, self.1);
        Ok(())
    }
}

impl TailRun {
    /// A machine that has seen nothing.
    #[must_use]
    pub fn new(keep: Keep) -> Self {
        Self {
            tail: Tail::new(&keep),
            keep,
            traces: HashMap::new(),
            released: HashMap::new(),
            pass: 0,
            pushed: 0,
            refused: 0,
            taken: 0,
        }
    }

    /// Begins a pass over the shards.
    pub fn begin_pass(&mut self) {
        self.pass += 1;
        self.tail.begin_pass();
    }

    /// Hands a span to both. Returns false if the machine has no room for it.
    pub fn push(&mut self, span: TailSpan, now: Instant) -> bool {
        let mut builder = SpanBuilder::new("x");
        if span.parent != 0 {
            let make = match span.id {
                1 => SpanContext::remote,
                _ => SpanContext::new,
            };
            let parent = make(
                trace_id(span.trace),
                span_id(span.parent),
                TraceFlags::SAMPLED,
            );
            builder = builder.parent(parent);
        }
        let mut tracer = BareTracer::new(AlwaysOn, Fixed(span));
        let mut live = tracer.start::<160>(builder, Instant::ZERO);
        if span.is_error {
            live.set_status(Status::error(""));
        }
        let mut sink = Into(&mut self.tail, now, false);
        let _ = live.end(Instant::from_millis(span.millis), &mut sink);
        if !sink.2 {
            self.refused += 1;
            return false;
        }
        self.pushed += 1;
        let trace = self.traces.entry(span.trace).or_default();
        trace.spans.insert(span.id);
        trace.has_error |= span.is_error;
        trace.longest = trace.longest.max(span.millis);
        if span.id == 1 {
            trace.root = Some((span.millis, self.pass));
        }
        true
    }

    /// Ends a pass.
    pub fn end_pass(&mut self, was_whole: bool) {
        self.tail.end_pass(was_whole);
        let pass = self.pass;
        self.decide(|trace| trace.root.is_some_and(|(_, came)| was_whole && came < pass));
    }

    /// No more spans come.
    pub fn finish(&mut self) {
        self.tail.finish();
        self.decide(|_| true);
    }

    fn decide(&mut self, is_due: impl Fn(&ModelTrace) -> bool) {
        let share = Threshold::from_ratio_with_precision(self.keep.share, 14);
        let slower_than = self.keep.slower_than;
        for (&number, trace) in &mut self.traces {
            if trace.is_kept.is_some() || !is_due(trace) {
                continue;
            }
            let took = trace.root.map_or(trace.longest, |(millis, _)| millis);
            let is_slow = slower_than.is_some_and(|limit| Duration::from_millis(took) > limit);
            let id = Randomness::of_trace_id(trace_id(number));
            let in_share = share.is_some_and(|share| share.keeps(id));
            let failed = self.keep.errors && trace.has_error;
            trace.is_kept = Some(failed || is_slow || in_share);
        }
    }

    /// Takes up to `most` kept spans.
    ///
    /// # Panics
    ///
    /// If one comes twice, or never came.
    pub fn take(&mut self, most: usize) {
        let mut left = most;
        let (released, traces, taken) = (&mut self.released, &self.traces, &mut self.taken);
        self.tail.offer(&mut |record| {
            if left == 0 {
                return false;
            }
            left -= 1;
            *taken += 1;
            let Some(span) = StoredSpan::new(record.body) else {
                panic!("not a span");
            };
            let number = u128::from_be_bytes(span.trace_id().to_bytes()) >> 64;
            let number = number as u64 - 1;
            let id = u64::from_be_bytes(span.span_id().to_bytes());
            let trace = traces.get(&number);
            assert!(
                trace.is_some_and(|trace| trace.spans.contains(&id)),
                "{number} {id} never came"
            );
            assert!(
                released.entry(number).or_default().insert(id),
                "{number} {id} came twice"
            );
            true
        });
    }

    /// Checks what holds at every moment: the ledger is closed and the memory bounded.
    ///
    /// # Panics
    ///
    /// If it does not hold.
    pub fn check(&self) {
        let mut ledger = Ledger::default();
        self.tail.add_to(&mut ledger);
        assert!(ledger.is_balanced(), "{ledger}");
        assert_eq!(ledger.ended + self.taken, self.pushed, "{ledger}");
        assert!(
            self.tail.bytes() <= self.keep.max_bytes,
            "{} bytes are held",
            self.tail.bytes()
        );
    }

    /// Checks what holds when everything was decided and taken: each trace was kept whole or not at
    /// all; and with `exactly`, those that the model keeps.
    ///
    /// # Panics
    ///
    /// If it does not hold.
    pub fn check_end(&self, exactly: bool) {
        self.check();
        assert!(self.tail.is_empty());
        for (number, trace) in &self.traces {
            let released = self.released.get(number);
            let is_kept = released.is_some();
            if let Some(released) = released {
                assert_eq!(*released, trace.spans, "trace {number} is not whole");
            }
            if exactly {
                assert_eq!(Some(is_kept), trace.is_kept, "trace {number}");
            }
        }
    }

    /// Forgets the traces that are decided and of which no more will come, so that the model may run
    /// for long. Returns how many were kept.
    ///
    /// # Panics
    ///
    /// As [`Self::check_end`].
    pub fn retire(&mut self, numbers: std::ops::Range<u64>, exactly: bool) -> u64 {
        let mut kept = 0;
        for number in numbers {
            let Some(trace) = self.traces.remove(&number) else {
                continue;
            };
            let released = self.released.remove(&number);
            kept += u64::from(released.is_some());
            if exactly {
                assert_eq!(Some(released.is_some()), trace.is_kept, "trace {number}");
            }
            if let Some(released) = released {
                assert_eq!(released, trace.spans, "trace {number} is not whole");
            }
        }
        kept
    }
}
