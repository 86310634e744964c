//! Values of the context, in spans that the layer enters.

use std::thread;

use spandrel_core::context::SpanContext;
use spandrel_core::hosted::current::{self, Context, ContextKey};
use spandrel_transport_std::Tracer;
use spandrel_transport_std::layer::{SpanExt as _, layer};
use tracing::{Dispatch, info_span};
use tracing_subscriber::layer::SubscriberExt as _;

use super::rig::Rig;

static TENANT: ContextKey<&str> = ContextKey::new("tenant");

fn tenant() -> Option<&'static str> {
    current::current().and_then(|context| context.value(&TENANT).copied())
}

fn with_tenant(tenant: &'static str) -> current::Guard {
    let context = current::current().unwrap_or_default();
    current::attach(context.with_value(&TENANT, tenant))
}

#[test]
fn a_span_of_the_layer_takes_its_place_beside_the_values() {
    let rig = Rig::new();
    tracing::dispatcher::with_default(&rig.dispatch, || {
        let outside = info_span!("outside");
        let values = with_tenant("acme");
        let request = info_span!("request");
        let seen = request.in_scope(|| {
            let mut native = rig.tracer.start("native");
            let innermost = native.in_scope(|_| info_span!("innermost").in_scope(tenant));
            let own = current::current().map(|context| context.span_context());
            assert_eq!(own, request.context().map(|it| it.span_context()));
            (tenant(), innermost)
        });
        assert_eq!(seen, (Some("acme"), Some("acme")));
        assert_eq!(
            outside.in_scope(tenant),
            Some("acme"),
            "what is current counts"
        );
        {
            let _inner = with_tenant("globex");
            assert_eq!(request.in_scope(tenant), Some("globex"));
        }
        drop(values);
        assert_eq!(tenant(), None);
        assert_eq!(outside.in_scope(tenant), None);
        assert_eq!(
            request.in_scope(tenant),
            Some("acme"),
            "where nothing is, its own"
        );
    });
}

#[test]
fn a_span_carries_the_values_of_its_start_to_another_thread() {
    let rig = Rig::new();
    let disabled = tracing_subscriber::registry().with(layer(&Tracer::disabled()));
    for dispatch in [rig.dispatch.clone(), Dispatch::new(disabled)] {
        tracing::dispatcher::with_default(&dispatch, || {
            let span = {
                let _values = with_tenant("acme");
                info_span!("request")
            };
            let child = info_span!(parent: &span, "child");
            for span in [&span, &child] {
                let context = span.context().unwrap();
                assert_eq!(context.value(&TENANT), Some(&"acme"));
                let there =
                    || tracing::dispatcher::with_default(&dispatch, || span.in_scope(tenant));
                let seen = thread::scope(|scope| scope.spawn(there).join().unwrap());
                assert_eq!(seen, Some("acme"));
            }
        });
        assert_eq!(current::current(), None);
    }
}

#[test]
fn a_late_parent_changes_the_span_and_the_values_only_if_it_has_some() {
    let rig = Rig::new();
    let remote = Context::from(SpanContext::remote(
        "5b8efff798038103d269b633813fc60c".parse().unwrap(),
        "eee19b7ec3c1b174".parse().unwrap(),
        spandrel_core::context::TraceFlags::SAMPLED,
    ));
    tracing::dispatcher::with_default(&rig.dispatch, || {
        let _values = with_tenant("acme");
        let span = info_span!("request");
        span.in_scope(|| {
            span.set_parent(&remote).unwrap();
            let here = current::current().unwrap();
            assert_eq!(here.value(&TENANT), Some(&"acme"));
            let trace_id = here.span_context().trace_id();
            assert_eq!(trace_id, remote.span_context().trace_id());

            // A parent with values brings its own, and at once.
            span.set_parent(&remote.with_value(&TENANT, "globex"))
                .unwrap();
            assert_eq!(tenant(), Some("globex"));
            assert_eq!(info_span!("child").in_scope(tenant), Some("globex"));
        });
        assert_eq!(tenant(), Some("acme"));
        assert_eq!(span.in_scope(tenant), Some("globex"), "whatever is current");
    });
}
