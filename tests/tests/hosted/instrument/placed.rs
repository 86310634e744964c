//! Places, as devices have them.

use std::cell::Cell;
use std::pin::pin;

use spandrel_core::buffer::Buffer;
use spandrel_core::context::SpanContext;
use spandrel_core::id::{IdGenerator, SpanId, TraceId};
use spandrel_core::instrument;
use spandrel_core::instrument::{LocalPlace, SpanPlace as _};
use spandrel_core::sampler::AlwaysOn;
use spandrel_core::span::finished::FinishedSpan;
use spandrel_core::span::{SpanKind, Status};
use spandrel_core::time::Instant;
use spandrel_core::tracer::BareTracer;

use super::futures::{now, poll};

/// Ids that count.
struct Counter(u8);

impl IdGenerator for Counter {
    const RANDOM: bool = false;

    fn trace_id(&mut self) -> TraceId {
        self.0 += 1;
        TraceId::from_bytes([self.0; 16])
    }

    fn span_id(&mut self) -> SpanId {
        self.0 += 1;
        SpanId::from_bytes([self.0; 8])
    }
}

type Place = LocalPlace<AlwaysOn, Counter, Buffer<[u8; 2048]>, 192>;

fn place() -> Place {
    std::thread_local! {
        static NOW: Cell<u64> = const { Cell::new(0) };
    }
    let clock = || Instant::from_millis(NOW.replace(NOW.get() + 1));
    Place::new(
        BareTracer::new(AlwaysOn, Counter(0)),
        Buffer::new([0; 2048]),
        clock,
    )
}

#[derive(Debug, PartialEq)]
struct Seen {
    name: String,
    kind: SpanKind,
    parent: Option<String>,
    attributes: Vec<String>,
    is_error: bool,
}

/// What has ended, with the names of the parents.
fn seen(place: &Place) -> Vec<Seen> {
    assert_eq!(place.current(), SpanContext::INVALID);
    let read = |buffer: &mut Buffer<[u8; 2048]>| {
        let Some(lease) = buffer.lease(&mut |_| true) else {
            return Vec::new();
        };
        let records: Vec<_> = buffer.records(&lease).collect();
        let spans: Vec<_> = records.iter().filter_map(FinishedSpan::new).collect();
        let name_of = |id: SpanId| {
            let parent = spans.iter().find(|span| span.span_id() == id);
            parent.map_or("another", FinishedSpan::name).to_owned()
        };
        let seen = |span: &FinishedSpan<'_>| Seen {
            name: span.name().to_owned(),
            kind: span.kind(),
            parent: span.parent_span_id().map(name_of),
            attributes: span.attributes().map(|it| it.key.to_owned()).collect(),
            is_error: matches!(span.status(), Status::Error { description: "" }),
        };
        spans.iter().map(seen).collect()
    };
    place.with(|_, buffer| read(buffer)).unwrap()
}

fn is(name: &str, parent: Option<&str>) -> Seen {
    Seen {
        name: name.to_owned(),
        kind: SpanKind::Internal,
        parent: parent.map(str::to_owned),
        attributes: Vec::new(),
        is_error: false,
    }
}

#[instrument(place = trace, name = "read", kind = Client, err, fields(pin, raw.max = 7_u32))]
fn read<'a>(trace: &Place, pin: u32, buffer: &'a mut [u8]) -> Result<&'a mut u8, ()> {
    convert(trace);
    let first = buffer.first_mut().ok_or(())?;
    *first += 1;
    Ok(first)
}

#[instrument(place = trace)]
fn convert(trace: &Place) -> u8 {
    if trace.current().is_valid() {
        return 1;
    }
    2
}

#[test]
fn spans_of_functions_go_to_the_place_under_the_one_that_is_current() {
    let place = place();
    assert_eq!(read(&place, 4, &mut [1]), Ok(&mut 2));
    assert_eq!(read(&place, 4, &mut []), Err(()));
    assert_eq!(convert(&place), 1);
    let reading = |is_error| Seen {
        kind: SpanKind::Client,
        attributes: vec!["pin".into(), "raw.max".into()],
        is_error,
        ..is("read", None)
    };
    let mut all = seen(&place);
    // A parent ends after its child; both children are of another span of the same name.
    assert_eq!(all.pop(), Some(is("convert", None)));
    assert_eq!(all.pop(), Some(reading(true)));
    assert_eq!(all.pop(), Some(is("convert", Some("read"))));
    assert_eq!(all.pop(), Some(reading(false)));
    assert_eq!(all.pop(), Some(is("convert", Some("read"))));
    assert_eq!(all.pop(), None);
}

#[instrument(place = trace, parent = parent)]
fn under(trace: &Place, parent: SpanContext) {
    let _ = trace;
}

#[instrument(place = trace, root)]
fn alone(trace: &Place) {
    under(trace, trace.current());
}

#[instrument(place = trace)]
fn outer(trace: &Place) {
    under(trace, SpanContext::INVALID);
    alone(trace);
}

#[test]
fn a_parent_or_none_is_given_to_a_placed_span() {
    let place = place();
    outer(&place);
    let expected = [
        is("under", None),
        is("under", Some("alone")),
        is("alone", None),
        is("outer", None),
    ];
    assert_eq!(seen(&place), expected);
}

#[instrument(place = trace)]
async fn task(trace: &Place, name: &'static str) -> &'static str {
    std::future::poll_fn({
        let mut polls = 0;
        move |_| {
            polls += 1;
            convert(trace);
            match polls {
                2 => std::task::Poll::Ready(()),
                _ => std::task::Poll::Pending,
            }
        }
    })
    .await;
    name
}

#[test]
fn tasks_of_one_executor_do_not_see_each_other() {
    let place = place();
    {
        let (mut a, mut b) = (pin!(task(&place, "a")), pin!(task(&place, "b")));
        assert!(poll(a.as_mut()).is_pending() && poll(b.as_mut()).is_pending());
        assert_eq!(place.current(), SpanContext::INVALID);
        assert_eq!((now(a), now(b)), ("a", "b"));
    }
    let all = seen(&place);
    let names: Vec<_> = all.iter().map(|span| span.name.as_str()).collect();
    assert_eq!(
        names,
        ["convert", "convert", "convert", "task", "convert", "task"]
    );
    for span in all {
        let parent = (span.name == "convert").then(|| "task".to_owned());
        assert_eq!(span.parent, parent, "{}", span.name);
    }
}

/// A span within the work on the place itself is refused, and not a panic.
#[test]
fn the_place_may_be_in_use() {
    let place = place();
    place.with(|_, _| assert_eq!(convert(&place), 2)).unwrap();
    assert_eq!(seen(&place), []);
}
