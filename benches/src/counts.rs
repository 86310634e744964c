//! Instructions per operation, as callgrind counts them.
//!
//! Counts do not depend on the machine's load, so a regression of a few per cent shows in them
//! where a timing would only suggest it. They do depend on the compiler, and a little on the
//! processor, by which the C library picks its copy routine.
//!
//! The parent starts this same program under callgrind, once for each case; only what happens
//! inside [`spandrel_measured`] is counted.

mod draining;
mod sampling;

use std::hint::black_box;
use std::process::Command;
use std::sync::Arc;

use spandrel_core::attribute::KeyValue;
use spandrel_core::context::{SpanContext, TraceFlags};
use spandrel_core::env::{Propagators, Protocol};
use spandrel_core::hosted::active::active_span;
use spandrel_core::hosted::baggage::Baggage;
use spandrel_core::hosted::config::Config;
use spandrel_core::hosted::current::{self, Context};
use spandrel_core::hosted::processor::{LiveSpan, SpanFate, SpanProcessor};
use spandrel_core::hosted::propagation::Propagator;
use spandrel_core::hosted::trace::{Tracer, TracerProvider};
use spandrel_core::hosted::unversioned::encode::{Coding, RequestEncoder};
use spandrel_core::json;
use spandrel_core::propagation::{format_traceparent, parse_traceparent};
use spandrel_core::span::finished::FinishedSpan;

use crate::ours::{loaded, long_queue, pipeline};
use crate::workload::{TEN_KEYS, TEN_VALUES};

/// Operations before and inside the count.
const OPS: u32 = 2000;
/// Spans of a request.
const BATCH: u32 = 512;
const TRACEPARENT: &str = "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01";

/// A case: what it is called, and what is counted. The closure does its work `n` times or says
/// how many spans it covers instead.
pub struct Counted {
    /// In the committed file.
    pub name: &'static str,
    prepare: fn() -> Prepared,
}

/// Ready to be counted.
struct Prepared {
    run: Box<dyn FnMut()>,
    /// Operations of one run.
    ops: u32,
}

/// Everything that is counted.
pub const CASES: [Counted; 31] = [
    Counted {
        name: "disabled: start + end",
        prepare: disabled,
    },
    Counted {
        name: "unsampled: start + end",
        prepare: unsampled,
    },
    Counted {
        name: "sample rate 0.1: start + end",
        prepare: ratio,
    },
    Counted {
        name: "start + end",
        prepare: start_end,
    },
    Counted {
        name: "start + 4 attributes + end",
        prepare: four_attributes,
    },
    Counted {
        name: "start + 10 attributes + end",
        prepare: ten_attributes,
    },
    Counted {
        name: "start + event + end",
        prepare: event,
    },
    Counted {
        name: "parent + child, both current",
        prepare: nested,
    },
    Counted {
        name: "start + end, baggage current",
        prepare: under_baggage,
    },
    Counted {
        name: "parent + child, baggage current",
        prepare: nested_under_baggage,
    },
    Counted {
        name: "tracing layer: start + end",
        prepare: tracing_start_end,
    },
    Counted {
        name: "tracing layer: start + 4 attributes + end",
        prepare: tracing_four_attributes,
    },
    Counted {
        name: "one processor: start + end",
        prepare: one_processor,
    },
    Counted {
        name: "three processors: start + end",
        prepare: three_processors,
    },
    Counted {
        name: "a processor that redacts: start + attribute + end",
        prepare: redacting,
    },
    Counted {
        name: "start + attribute by a helper + end",
        prepare: helper,
    },
    Counted {
        name: "probability sampler: start + end",
        prepare: sampling::probability,
    },
    Counted {
        name: "rule-based sampler: start + end",
        prepare: sampling::rules,
    },
    Counted {
        name: "rate limiter: start + end",
        prepare: sampling::rate_limit,
    },
    Counted {
        name: "own ids: start + end",
        prepare: sampling::own_ids,
    },
    Counted {
        name: "attach + detach",
        prepare: attach,
    },
    Counted {
        name: "parse a traceparent",
        prepare: parse,
    },
    Counted {
        name: "format a traceparent",
        prepare: format,
    },
    Counted {
        name: "extract a span and 2 entries of baggage",
        prepare: extract,
    },
    Counted {
        name: "inject a span and 2 entries of baggage",
        prepare: inject,
    },
    Counted {
        name: "shard to exporter to acceptance / span",
        prepare: draining::drain,
    },
    Counted {
        name: "the same with keep / span",
        prepare: sampling::keep,
    },
    Counted {
        name: "encode protobuf / span",
        prepare: encode,
    },
    Counted {
        name: "encode JSON / span",
        prepare: encode_json,
    },
    Counted {
        name: "gzip for spans / span",
        prepare: gzip_for_spans,
    },
    Counted {
        name: "gzip level 1 / span",
        prepare: gzip_1,
    },
];

fn repeat(mut op: impl FnMut() + 'static) -> Prepared {
    Prepared {
        run: Box::new(move || {
            for _ in 0..OPS {
                op();
            }
        }),
        ops: OPS,
    }
}

/// Spans of a pipeline that nobody drains meanwhile; it holds the warm-up and the count.
fn spans(sample_rate: f64, op: impl FnMut(&Tracer) + 'static) -> Prepared {
    let sampling = Config {
        sample_rate: Some(sample_rate),
        ..long_queue(8 * OPS)
    };
    spans_with(sampling, op)
}

fn spans_with(config: Config, mut op: impl FnMut(&Tracer) + 'static) -> Prepared {
    let (held, provider) = pipeline(config);
    let tracer = provider.tracer("bench");
    repeat(move || {
        let _ = &held;
        op(&tracer);
    })
}

fn disabled() -> Prepared {
    let tracer = TracerProvider::disabled().tracer("bench");
    repeat(move || plain(&tracer))
}

fn plain(tracer: &Tracer) {
    let span = tracer.start("operation");
    black_box(&span);
    span.end();
}

fn unsampled() -> Prepared {
    spans(0.0, plain)
}

/// So many that the share of sampled ones, which is drawn, is the same in each run.
fn ratio() -> Prepared {
    const TIMES: u32 = 20;
    let mut prepared = spans(0.1, |tracer| {
        for _ in 0..TIMES {
            plain(tracer);
        }
    });
    prepared.ops *= TIMES;
    prepared
}

fn start_end() -> Prepared {
    spans(1.0, plain)
}

fn four_attributes() -> Prepared {
    spans(1.0, |tracer| {
        let mut span = tracer.start("operation");
        span.set_attribute("http.request.method", black_box("GET"));
        span.set_attribute("http.response.status_code", black_box(200_i64));
        span.set_attribute("server.load", black_box(0.75_f64));
        span.set_attribute("cache.hit", black_box(true));
        span.end();
    })
}

fn ten_attributes() -> Prepared {
    spans(1.0, |tracer| {
        let mut span = tracer.start("operation");
        for (key, value) in TEN_KEYS.iter().zip(TEN_VALUES) {
            span.set_attribute(key, black_box(value));
        }
        span.end();
    })
}

fn event() -> Prepared {
    spans(1.0, |tracer| {
        let mut span = tracer.start("operation");
        span.add_event(
            "cache.miss",
            &[KeyValue::new("cache.key", black_box(17_i64))],
        );
        span.end();
    })
}

fn nested() -> Prepared {
    spans(1.0, parent_and_child)
}

fn parent_and_child(tracer: &Tracer) {
    tracer.span("parent").in_scope(|_| {
        tracer.span("child").in_scope(|span| {
            black_box(span);
        });
    });
}

/// The process's only case, so that what is current stays so.
fn baggage() -> Baggage {
    let baggage = Baggage::new().with("tenant", "acme").with("user", "Amélie");
    std::mem::forget(baggage.clone().attach());
    baggage
}

fn under_baggage() -> Prepared {
    baggage();
    spans(1.0, plain)
}

fn nested_under_baggage() -> Prepared {
    baggage();
    spans(1.0, parent_and_child)
}

/// `tracecontext,baggage`, the default.
fn propagator() -> Propagator {
    Propagator::of(Propagators::default())
}

fn extract() -> Prepared {
    let headers = [
        ("traceparent", TRACEPARENT),
        ("baggage", "tenant=acme,user=Am%C3%A9lie"),
    ];
    repeat(move || {
        black_box(propagator().extract(black_box(&headers)));
    })
}

fn inject() -> Prepared {
    let context = Context::from(context()).with_baggage(baggage());
    let mut carrier = |name: &str, value: &str| {
        black_box((name, value));
    };
    repeat(move || propagator().inject_from(black_box(&context), &mut carrier))
}

/// With `count` processors that look at the name of each span, and change nothing.
fn processors(count: usize) -> Prepared {
    struct Looking;
    impl SpanProcessor for Looking {
        fn on_end(&self, span: &FinishedSpan<'_>) -> SpanFate {
            match span.name() {
                "GET /health" => SpanFate::Drop,
                _ => SpanFate::Keep,
            }
        }
    }
    let processors = (0..count).map(|_| Arc::new(Looking) as _);
    let config = Config {
        processors: processors.collect(),
        ..long_queue(8 * OPS)
    };
    spans_with(config, plain)
}

fn one_processor() -> Prepared {
    processors(1)
}

fn three_processors() -> Prepared {
    processors(3)
}

fn redacting() -> Prepared {
    struct Redacting;
    impl SpanProcessor for Redacting {
        fn on_ending(&self, span: &mut LiveSpan<'_>) {
            if span
                .view()
                .is_some_and(|span| span.attribute("password").is_some())
            {
                span.set_attribute("password", "(removed)");
            }
        }
    }
    let config = Config {
        processors: vec![Arc::new(Redacting)],
        ..long_queue(8 * OPS)
    };
    spans_with(config, |tracer| {
        let mut span = tracer.start("operation");
        span.set_attribute("password", black_box("hunter2"));
        span.end();
    })
}

/// The span is made current, too: a helper finds it there.
fn helper() -> Prepared {
    spans(1.0, |tracer| {
        let mut span = tracer.start("operation");
        span.in_scope(|_| active_span().set_attribute("cache.hit", black_box(true)));
        span.end();
    })
}

/// Under the subscriber of this process, which has one case.
fn tracing_spans(mut op: impl FnMut() + 'static) -> Prepared {
    let mut installed = false;
    spans(1.0, move |tracer| {
        if !std::mem::replace(&mut installed, true) {
            let subscriber = crate::ours::dispatch(tracer);
            tracing::dispatcher::set_global_default(subscriber).expect("the only subscriber");
        }
        op();
    })
}

fn tracing_start_end() -> Prepared {
    tracing_spans(|| drop(black_box(tracing::info_span!("operation"))))
}

fn tracing_four_attributes() -> Prepared {
    tracing_spans(|| {
        drop(tracing::info_span!(
            "operation",
            http.request.method = black_box("GET"),
            http.response.status_code = black_box(200_i64),
            server.load = black_box(0.75_f64),
            cache.hit = black_box(true),
        ));
    })
}

fn context() -> SpanContext {
    SpanContext::new(
        "5b8efff798038103d269b633813fc60c".parse().expect("an id"),
        "eee19b7ec3c1b174".parse().expect("an id"),
        TraceFlags::SAMPLED,
    )
}

fn attach() -> Prepared {
    let context = Context::from(context());
    repeat(move || {
        let guard = current::attach(black_box(&context).clone());
        black_box(&guard);
    })
}

fn parse() -> Prepared {
    repeat(|| {
        let _ = black_box(parse_traceparent(black_box(TRACEPARENT)));
    })
}

fn format() -> Prepared {
    let context = context();
    repeat(move || {
        black_box(format_traceparent(black_box(&context)));
    })
}

/// What moves spans on, without reading bodies.
fn encode() -> Prepared {
    let (pipeline, mut transmit) = loaded(BATCH);
    let ops = transmit.spans() as u32;
    // The size in which the gzip encoder pulls.
    let mut chunk = vec![0; 16 * 1024];
    Prepared {
        run: Box::new(move || {
            transmit.rewind();
            while pipeline.read_body(&mut transmit, &mut chunk) > 0 {
                black_box(&chunk);
            }
        }),
        ops,
    }
}

/// The body of a request, and how many spans it has.
fn body() -> (Vec<u8>, u32) {
    let (pipeline, mut transmit) = loaded(BATCH);
    let mut body = vec![0; transmit.content_length()];
    let read = pipeline.read_body(&mut transmit, &mut body);
    assert_eq!(read, body.len());
    (body, transmit.spans() as u32)
}

fn encode_json() -> Prepared {
    let (body, ops) = body();
    let mut text = String::new();
    Prepared {
        run: Box::new(move || {
            text.clear();
            json::export_request(&body, &mut text).expect("a request of ours");
        }),
        ops,
    }
}

fn gzip(coding: Coding) -> Prepared {
    let (body, ops) = body();
    let mut encoder = RequestEncoder::new(Protocol::HttpProtobuf, coding);
    let mut compressed = Vec::new();
    Prepared {
        run: Box::new(move || {
            let mut left = body.as_slice();
            let encoded = encoder.encode(
                |chunk| {
                    let len = left.len().min(chunk.len());
                    let (now, later) = left.split_at(len);
                    chunk[..len].copy_from_slice(now);
                    left = later;
                    len
                },
                &mut compressed,
            );
            encoded.expect("it compresses");
            black_box(&compressed);
        }),
        ops,
    }
}

fn gzip_for_spans() -> Prepared {
    gzip(Coding::Gzip)
}

fn gzip_1() -> Prepared {
    gzip(Coding::GzipLevel(1))
}

/// The function whose inside is counted.
#[unsafe(no_mangle)]
#[inline(never)]
pub extern "C" fn spandrel_measured(run: &mut Box<dyn FnMut()>) {
    run();
    // So that the call above is not the last one, and this frame stays.
    black_box(run);
}

/// Runs one case, under callgrind; prints how many operations were counted.
///
/// # Panics
///
/// When there is no case of that number.
pub fn run_case(index: usize) {
    let Prepared { mut run, ops } = (CASES[index].prepare)();
    run();
    spandrel_measured(&mut run);
    println!("{ops}");
}

/// Whether callgrind can be run.
#[must_use]
pub fn is_available() -> bool {
    let version = Command::new("valgrind").arg("--version").output();
    version.is_ok_and(|output| output.status.success())
}

/// Instructions per operation of one case.
///
/// # Errors
///
/// What callgrind or the case said.
pub fn count(index: usize) -> Result<f64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args([
            "--tool=callgrind",
            "--callgrind-out-file=/dev/null",
            "--collect-atstart=no",
            "--toggle-collect=spandrel_measured",
        ])
        .arg(program)
        .args(["run", &index.to_string()])
        .output()
        .map_err(|error| error.to_string())?;
    let said = String::from_utf8_lossy(&output.stderr);
    let collected = said
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, number)| number.trim().parse::<f64>().ok());
    let ops = String::from_utf8_lossy(&output.stdout)
        .trim()
        .parse::<f64>();
    match (collected, ops) {
        (Some(collected), Ok(ops)) if output.status.success() => Ok(collected / ops),
        _ => Err(said.into_owned()),
    }
}
