//! Contexts in and out of requests: carriers, rules for strangers, baggage on spans.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail at once, with the reason"
)]

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use opentelemetry_proto::tonic::trace::v1::Span as Exported;
use spandrel_core::context::{ParentContext, SpanKind};
use spandrel_core::env::{PropagatorName, Propagators};
use spandrel_core::hosted::baggage::{Baggage, BaggagePropagator};
use spandrel_core::hosted::current::{self, Context, ContextFutureExt as _};
use spandrel_core::hosted::processor::{LiveSpan, SpanFate, SpanProcessor};
use spandrel_core::hosted::propagation::environment::{
    EnvironmentGetter, EnvironmentSetter, variable_name,
};
use spandrel_core::hosted::propagation::{
    B3Propagator, ContextPropagator, Getter, Incoming, Propagator, Setter, SpanOnly,
    TraceContextPropagator,
};
use spandrel_core::span::finished::FinishedSpan;
use spandrel_transport_std::layer::SpanExt as _;
use spandrel_transport_std::{Config, Span, Tracer};
use tracing::info_span;

use crate::tracing_layer::rig::{Rig, attributes, text};

const PARENT: &str = "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01";
const TRACE_ID: &str = "5b8efff798038103d269b633813fc60c";

pub(crate) type Headers = Vec<(String, String)>;

fn w3c() -> Propagator {
    Propagator::of(Propagators::default())
}

pub(crate) fn received(pairs: &[(&str, &str)]) -> Headers {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| (name.to_string(), value.to_string()))
        .collect()
}

fn request() -> Headers {
    received(&[
        ("traceparent", PARENT),
        ("tracestate", "vendor=1"),
        ("baggage", "tenant=acme,user=Am%C3%A9lie;source=login"),
    ])
}

pub(crate) fn value<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers
        .iter()
        .find(|it| it.0 == name)
        .map(|it| it.1.as_str())
}

/// What a request takes along that is sent now.
fn sent() -> Headers {
    let mut headers = Headers::new();
    w3c().inject(&mut headers);
    headers
}

/// Spec E-033, E-034, E-037, H-080, H-087.
#[test]
fn a_context_goes_out_and_comes_back_whole() {
    let base = Context::new();
    let context = w3c().extract_into(&base, &request());
    assert_eq!(context.span_context().trace_id().to_string(), TRACE_ID);
    assert!(context.span_context().is_remote());
    assert_eq!(context.trace_state(), "vendor=1");
    let entries: Vec<_> = context.baggage().iter().collect();
    assert_eq!(
        entries,
        [("tenant", "acme", ""), ("user", "Amélie", "source=login")]
    );
    let mut again = Headers::new();
    w3c().inject_from(&context, &mut again);
    assert_eq!(again, request());
    let mut fields = Vec::new();
    w3c().fields(&mut |name| fields.push(name));
    assert_eq!(fields, ["traceparent", "tracestate", "baggage"]);
}

/// Spec E-033, E-034.
#[test]
fn what_is_not_found_leaves_the_context_as_it_is() {
    let base = w3c().extract_into(&Context::new(), &request());
    for headers in [
        received(&[]),
        received(&[
            ("traceparent", "nonsense"),
            ("baggage", "no member"),
            ("b3", "x"),
        ]),
        received(&[
            ("tracestate", "b=2"),
            ("baggage", ",,"),
            ("X-B3-Sampled", "0"),
            ("b3", "0"),
        ]),
    ] {
        let all = [PropagatorName::B3, PropagatorName::B3Multi];
        let names = all
            .iter()
            .fold(Propagators::default(), |set, name| set.with(*name));
        assert_eq!(Propagator::of(names).extract_into(&base, &headers), base);
        let parts: [&dyn ContextPropagator; 4] = [
            &TraceContextPropagator,
            &BaggagePropagator,
            &B3Propagator::SINGLE,
            &SpanOnly(B3Propagator::MULTI),
        ];
        for part in parts {
            assert_eq!(part.extract_into(&base, &headers), base);
        }
    }
    // Each part stays for itself.
    let only_ids = w3c().extract_into(&base, &received(&[("traceparent", PARENT)]));
    assert_eq!((only_ids.trace_state(), only_ids.baggage().len()), ("", 2));
    let only_baggage = w3c().extract_into(&base, &received(&[("baggage", "a=1")]));
    assert_eq!(only_baggage.span_context(), base.span_context());
    assert_eq!(
        only_baggage.baggage().iter().collect::<Vec<_>>(),
        [("a", "1", "")]
    );
}

/// Spec E-037.
#[test]
fn a_composite_runs_its_parts_in_order() {
    let single = format!("{TRACE_ID}-eee19b7ec3c1b174-0");
    let other = "00-11111111111111111111111111111111-2222222222222222-01";
    let headers = received(&[("traceparent", other), ("b3", &single), ("baggage", "a=1")]);
    let [trace_context, b3] = [PropagatorName::TraceContext, PropagatorName::B3]
        .map(|name| Propagator::of(Propagators::NONE.with(name)));
    let own = Propagator::new(BaggagePropagator);
    for (parts, is_b3) in [
        ([&trace_context, &own, &b3], true),
        ([&b3, &own, &trace_context], false),
    ] {
        let composite = Propagator::composite(parts.map(Clone::clone));
        let found = composite.extract_into(&Context::new(), &headers);
        assert_eq!(
            found.span_context().is_sampled(),
            !is_b3,
            "the last one counts"
        );
        assert_eq!(found.baggage().get("a"), Some("1"));
        let mut out = Headers::new();
        composite.inject_from(&found, &mut out);
        let names: Vec<&str> = out.iter().map(|it| it.0.as_str()).collect();
        match is_b3 {
            true => assert_eq!(names, ["traceparent", "baggage", "b3"]),
            false => assert_eq!(names, ["b3", "baggage", "traceparent"]),
        }
    }
    let mut nothing = Headers::new();
    Propagator::NONE.inject_from(Context::new(), &mut nothing);
    assert!(nothing.is_empty());
}

/// Spec E-053.
#[test]
fn the_debug_flag_of_b3_goes_on_with_every_request() {
    let headers = received(&[("b3", &format!("{TRACE_ID}-eee19b7ec3c1b174-d"))]);
    for (name, key, expected) in [
        (PropagatorName::B3, "b3", "-d"),
        (PropagatorName::B3Multi, "X-B3-Flags", "1"),
    ] {
        let b3 = Propagator::of(Propagators::NONE.with(name));
        let caller = b3.extract_into(&Context::new(), &headers);
        assert!(caller.span_context().is_sampled());
        let rig = Rig::new();
        let mut span = rig.tracer.span("request").parent(&caller).start();
        let inner = span.in_scope(|_| rig.tracer.start("inner"));
        let mut out = Headers::new();
        // Beside the span, because the value is inherited.
        let _inside = span.enter();
        b3.inject_from(&inner, &mut out);
        assert!(value(&out, key).unwrap().ends_with(expected), "{out:?}");
        assert_eq!(value(&out, "X-B3-Sampled"), None);
        let plain = received(&[("b3", &format!("{TRACE_ID}-eee19b7ec3c1b174-1"))]);
        let later = b3.extract_into(&caller, &plain);
        let mut out = Headers::new();
        b3.inject_from(&later, &mut out);
        assert_eq!(value(&out, "X-B3-Flags"), None);
        assert!(!out[0].1.ends_with('d'), "another caller asked for nothing");
    }
}

/// What a server does with `caller`; returns what a request in its span takes along.
fn serve(tracer: &Tracer, caller: &Context) -> (Headers, Span) {
    let span = tracer
        .span("request")
        .kind(SpanKind::Server)
        .parent(caller)
        .start();
    let _inside = span.enter();
    let mut child = tracer.start("child");
    let headers = child.in_scope(|_| sent());
    drop(_inside);
    (headers, span)
}

#[test]
fn a_context_as_a_parent_brings_its_values_along() {
    let rig = Rig::new();
    let caller = w3c().extract_into(&Context::new(), &request());
    for tracer in [&rig.tracer, &Tracer::disabled()] {
        let _elsewhere = Baggage::new().with("worker", 7).attach();
        let (headers, span) = serve(tracer, &caller);
        assert_eq!(value(&headers, "baggage"), value(&request(), "baggage"));
        assert!(value(&headers, "traceparent").unwrap().contains(TRACE_ID));
        assert_eq!(value(&headers, "tracestate"), Some("vendor=1"));
        assert_eq!(span.to_context().baggage(), caller.baggage());
        // To other threads and tasks, too.
        let context = span.to_context();
        let there = thread::spawn(move || {
            let _attached = current::attach(context);
            Baggage::current()
        });
        assert_eq!(there.join().unwrap(), *caller.baggage());
        assert_eq!(Baggage::current().get("worker"), Some("7"));
    }
    assert_eq!(current::current(), None);
    // Without values of its own, the parent leaves what is current.
    let plain = Context::from(caller.span_context());
    let _current = Baggage::new().with("worker", 7).attach();
    let (headers, _span) = serve(&rig.tracer, &plain);
    assert_eq!(value(&headers, "baggage"), Some("worker=7"));
}

/// A span that carries values is counted and exported like any other, and whole.
#[test]
fn spans_that_carry_values_are_all_accounted_for() {
    let rig = Rig::new();
    let caller = w3c().extract_into(&Context::new(), &request());
    let spans = rig.trace(|| {
        for n in 0..40 {
            let mut span = rig.tracer.span("request").parent(&caller).start();
            if n % 2 == 0 {
                span.set_attribute("long", "x".repeat(100_000).as_str());
            }
            let moved = thread::spawn(move || span.end());
            moved.join().unwrap();
        }
    });
    assert_eq!(spans.names(), ["request"; 40]);
}

/// Counts the starts that see the caller's baggage, and the ends.
#[derive(Default)]
struct Counting {
    starts: AtomicUsize,
    ends: AtomicUsize,
}

impl SpanProcessor for Counting {
    fn on_start(&self, _: &mut LiveSpan<'_>, parent: &Context) {
        let sees = parent.baggage().get("tenant") == Some("acme");
        self.starts.fetch_add(usize::from(sees), Ordering::Relaxed);
    }

    fn on_end(&self, _: &FinishedSpan<'_>) -> SpanFate {
        self.ends.fetch_add(1, Ordering::Relaxed);
        SpanFate::Keep
    }
}

#[test]
fn processors_see_the_baggage_and_the_ends_of_spans_that_carry_it() {
    let counting = Arc::new(Counting::default());
    let hooked = |config: &mut Config| config.processors = vec![counting.clone()];
    let rig = Rig::with(hooked, |layer| layer);
    let caller = w3c().extract_into(&Context::new(), &request());
    let spans = rig.trace(|| {
        let mut request = rig.tracer.span("request").parent(&caller).start();
        request.in_scope(|_| {
            rig.tracer.start("child").end();
            drop(info_span!("layer"));
        });
    });
    assert_eq!(spans.names().len(), 3);
    assert_eq!(counting.starts.load(Ordering::Relaxed), 3);
    assert_eq!(counting.ends.load(Ordering::Relaxed), 3);
}

#[test]
fn incoming_traces_are_continued_linked_to_or_ignored() {
    let rig = Rig::new();
    let rules = [Incoming::Continue, Incoming::Link, Incoming::Ignore];
    let contexts = rules.map(|rule| {
        let route = w3c().with_incoming(rule);
        route.extract_into(&Context::new(), &request())
    });
    let [continued, linked, ignored] = &contexts;
    assert!(continued.span_context().is_valid());
    assert!(!linked.span_context().is_valid() && linked.baggage().len() == 2);
    assert_eq!(*ignored, Context::new());

    let spans = rig.trace(|| {
        for (context, name) in contexts.iter().zip(["continue", "link", "ignore"]) {
            let mut explicit = rig.tracer.span(name).parent(context).start();
            explicit.in_scope(|_| rig.tracer.start(&format!("{name} child")).end());
            explicit.end();
            let _attached = current::attach(context.clone());
            let mut current = rig.tracer.start(&format!("{name} current"));
            current.in_scope(|_| {
                rig.tracer.start(&format!("{name} current child")).end();
                let baggage = if name == "ignore" { 0 } else { 2 };
                assert_eq!(Baggage::current().len(), baggage);
            });
            current.end();
            info_span!("layer", otel.name = format!("{name} layer")).in_scope(|| {
                info_span!("layer", otel.name = format!("{name} layer child"));
            });
            drop(_attached);
            let late = info_span!("layer", otel.name = format!("{name} late"));
            late.set_parent(context).unwrap();
            late.in_scope(|| assert_eq!(Baggage::current().is_empty(), name == "ignore"));
        }
    });
    let remote: Vec<u8> = (0..16)
        .map(|n| u8::from_str_radix(&TRACE_ID[2 * n..2 * n + 2], 16).unwrap())
        .collect();
    for name in ["continue", "link", "ignore"] {
        for kind in ["", " current", " layer", " late"] {
            let span: &Exported = spans.named(&format!("{name}{kind}"));
            assert_eq!(span.trace_id == remote, name == "continue", "{name}{kind}");
            assert_eq!(
                span.parent_span_id.is_empty(),
                name != "continue",
                "{name}{kind}"
            );
            let links = usize::from(name == "link");
            assert_eq!(span.links.len(), links, "{name}{kind}");
            for link in &span.links {
                assert_eq!(
                    (&link.trace_id, link.trace_state.as_str()),
                    (&remote, "vendor=1")
                );
            }
        }
        for child in [" child", " current child", " layer child"] {
            assert!(
                spans.named(&format!("{name}{child}")).links.is_empty(),
                "{name}{child}"
            );
        }
    }
}

#[test]
fn named_entries_of_baggage_become_attributes() {
    let copying = |config: &mut Config| {
        config.baggage_attributes = vec!["tenant".into(), "user".into(), "absent".into()];
    };
    let rig = Rig::with(copying, |layer| layer);
    let caller = w3c().extract_into(&Context::new(), &request());
    let spans = rig.trace(|| {
        drop(rig.tracer.start("outside"));
        let mut request = rig.tracer.span("explicit").parent(&caller).start();
        request.in_scope(|_| {
            drop(rig.tracer.start("child"));
            drop(rig.tracer.span("built").start());
            drop(info_span!("layer"));
            let _more = Baggage::current()
                .with("tenant", "globex")
                .with("secret", 1)
                .attach();
            drop(rig.tracer.start("changed"));
        });
        let late = info_span!("late");
        late.set_parent(&caller).unwrap();
    });
    for name in ["explicit", "child", "built", "layer", "late", "changed"] {
        let found = attributes(&spans.named(name).attributes);
        let tenant = if name == "changed" { "globex" } else { "acme" };
        assert_eq!(found.get("tenant"), Some(&text(tenant)), "{name}");
        assert_eq!(found.get("user"), Some(&text("Amélie")), "{name}");
        assert!(
            !found.contains_key("secret") && !found.contains_key("absent"),
            "{name}"
        );
    }
    assert!(!attributes(&spans.named("outside").attributes).contains_key("tenant"));
    let off = Rig::new();
    let spans = off.trace(|| drop(off.tracer.span("x").parent(&caller).start()));
    assert!(!attributes(&spans.named("x").attributes).contains_key("tenant"));
}

/// Spec E-035.
#[test]
fn collections_and_header_maps_are_carriers() {
    fn all(carrier: &dyn Getter, key: &str) -> Vec<String> {
        let mut found = Vec::new();
        carrier.get_all(key, &mut |value| {
            found.push(value.to_owned());
            ControlFlow::Continue(())
        });
        assert_eq!(carrier.get(key), found.first().map(String::as_str));
        found
    }
    let mut map = HashMap::<String, String>::from([("TraceParent".into(), "old".into())]);
    let mut tree = BTreeMap::<String, String>::from([("TraceParent".into(), "old".into())]);
    let mut pairs = received(&[("TraceParent", "old"), ("traceparent", "older")]);
    let mut http = http::HeaderMap::new();
    http.append("TraceParent", "old".parse().unwrap());
    http.append("traceparent", "older".parse().unwrap());
    let context = w3c().extract_into(&Context::new(), &request());
    let carriers: [&mut dyn Setter; 4] = [&mut map, &mut tree, &mut pairs, &mut http];
    for carrier in carriers {
        w3c().inject_from(&context, carrier);
    }
    let carriers: [&dyn Getter; 4] = [&map, &tree, &pairs, &http];
    for carrier in carriers {
        assert_eq!(
            all(carrier, "traceparent"),
            [PARENT],
            "what was there is replaced"
        );
        assert_eq!(all(carrier, "absent"), [""; 0]);
        let back = w3c().extract_into(&Context::new(), carrier);
        assert_eq!(back.as_parent(), context.as_parent());
        assert_eq!(back.baggage(), context.baggage());
        let mut keys = 0;
        carrier.keys(&mut |_| keys += 1);
        assert_eq!(keys, 3);
    }
    http.append("baggage", "more=1".parse().unwrap());
    assert_eq!(all(&http, "Baggage").len(), 2);
    http.append(
        "traceparent",
        http::HeaderValue::from_bytes(b"\xff").unwrap(),
    );
    let broken = w3c().extract_into(&Context::new(), &http);
    assert!(
        !broken.span_context().is_valid(),
        "a value that is no text is there, too"
    );
    Setter::set(&mut http, "no name", "x");
    Setter::set(&mut http, "x", "a\r\nb");
    assert!(http.get("x").is_none());
}

/// Spec E-057, E-058, H-092.
#[test]
fn a_child_process_gets_its_context_in_variables() {
    for (key, name) in [
        ("traceparent", "TRACEPARENT"),
        ("tracestate", "TRACESTATE"),
        ("baggage", "BAGGAGE"),
        ("x-b3-traceid", "X_B3_TRACEID"),
        ("a.b c", "A_B_C"),
        ("1a", "_1A"),
        ("é", "_"),
        ("", "_"),
    ] {
        assert_eq!(variable_name(key), name);
        assert_eq!(variable_name(name), name);
    }
    let context = w3c().extract_into(&Context::new(), &request());
    let mut command = Command::new("true");
    w3c().inject_from(&context, &mut EnvironmentSetter(&mut command));
    let variables: Vec<(String, String)> = command
        .get_envs()
        .map(|(name, value)| {
            (
                name.to_str().unwrap().into(),
                value.unwrap().to_str().unwrap().into(),
            )
        })
        .collect();
    let names: Vec<&str> = variables.iter().map(|it| it.0.as_str()).collect();
    assert_eq!(names, ["BAGGAGE", "TRACEPARENT", "TRACESTATE"]);
    let child = EnvironmentGetter::from_iter(variables);
    let back = w3c().extract_into(&Context::new(), &child);
    assert_eq!(back.as_parent(), context.as_parent());
    assert_eq!(back.baggage(), context.baggage());

    let odd = EnvironmentGetter::from_iter([
        ("traceparent", PARENT),
        ("a.b", "1"),
        ("1A", "2"),
        ("_1A", "3"),
    ]);
    assert_eq!(
        odd.get("traceparent"),
        None,
        "small letters are another variable"
    );
    assert_eq!(odd.get("1a"), Some("3"));
    let mut keys = Vec::new();
    odd.keys(&mut |key| keys.push(key.to_owned()));
    assert_eq!(keys, ["_1A"]);
    let own = EnvironmentGetter::of_process();
    let path = std::env::var("PATH").ok();
    assert_eq!(own.get("path"), path.as_deref());
}

#[test]
fn the_current_context_is_what_is_extracted_into_and_injected() {
    let base = Context::new().with_baggage(Baggage::new().with("worker", 7));
    let _current = current::attach(base);
    let caller = w3c().extract(&received(&[("traceparent", PARENT)]));
    assert_eq!(caller.baggage().get("worker"), Some("7"));
    assert_eq!(sent(), received(&[("baggage", "worker=7")]));
    let span = Span::non_recording(caller.span_context());
    let mut headers = Headers::new();
    w3c().inject_from(&span, &mut headers);
    assert_eq!(value(&headers, "baggage"), Some("worker=7"));
    assert_eq!(value(&headers, "traceparent"), Some(PARENT));
}

#[test]
fn baggage_travels_with_a_future() {
    let rig = Rig::new();
    let caller = w3c().extract_into(&Context::new(), &request());
    let span = rig.tracer.span("request").parent(&caller).start();
    let task = async {
        tokio::task::yield_now().await;
        sent()
    };
    let task = task.in_span(&span);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .build()
        .unwrap();
    let headers = runtime.block_on(async { tokio::spawn(task).await.unwrap() });
    assert_eq!(value(&headers, "baggage"), value(&request(), "baggage"));
    assert!(value(&headers, "traceparent").unwrap().contains(TRACE_ID));
}

#[test]
fn an_invalid_parent_among_values_makes_a_root() {
    let rig = Rig::new();
    let only_baggage =
        w3c().extract_into(&Context::new(), &received(&[("baggage", "tenant=acme")]));
    let parent = ParentContext::from(&only_baggage);
    assert_eq!(parent, ParentContext::ROOT);
    let spans = rig.trace(|| {
        let mut span = rig.tracer.span("root").parent(&only_baggage).start();
        assert_eq!(
            span.in_scope(|_| Baggage::current()).get("tenant"),
            Some("acme")
        );
    });
    spans.is_root("root");
}
