//! Provider, tracer and span of the API.

macro_rules! provider {
    ($api:ident, $number:literal $(, status in $status:ident)?) => {
        use ::std::borrow::Cow;
        use ::std::string::ToString as _;
        use ::std::time::SystemTime;
        use ::std::vec::Vec;

        use ::$api as api;
        use api::trace::TraceContextExt as _;

        use $crate::attribute::{KeyValue, Value};
        use $crate::context::{Link, SpanContext, SpanKind, TraceFlags};
        use $crate::hosted::current::others::{self, Reading};
        use $crate::hosted::current::{self, Context};
        use $crate::hosted::opentelemetry::Times;
        use $crate::hosted::trace::{Span, Tracer, TracerProvider};
        use $crate::id::{SpanId, TraceId};
        use $crate::resource::InstrumentationScope;
        use $crate::span::Status;

        /// Makes this pipeline the one of every library that uses this version of the API: sets its
        /// process-wide provider, and its process-wide propagator, which does what `OTEL_PROPAGATORS`
        /// says.
        ///
        /// Call it once, behind a transport's `init`, with the provider of its handle. Spans that were
        /// started before are not recorded, as with every provider of the API.
        pub fn install(provider: &TracerProvider) {
            api::global::set_tracer_provider(BridgeProvider::new(provider));
            api::global::set_text_map_propagator(BridgePropagator::of_process());
        }

        /// A provider of the API whose spans are recorded by this pipeline.
        ///
        /// The first one joins the contexts of the API and of this crate; see the [module](self).
        #[derive(Clone, Debug)]
        pub struct BridgeProvider(TracerProvider);

        impl BridgeProvider {
            /// A provider over `provider`, such as the one of a transport's handle.
            #[must_use]
            pub fn new(provider: &TracerProvider) -> Self {
                join();
                Self(provider.clone())
            }

            /// A provider over the process-wide one. It may be made before `init`; what its tracers
            /// start is recorded from then on.
            #[must_use]
            pub fn of_process() -> Self {
                Self::new(&$crate::hosted::trace::global())
            }
        }

        /// Joins the contexts of the API and of this crate, once, and on this thread.
        pub(super) fn join() {
            others::add($number, &OTHER);
            current::join_others();
        }

        impl api::trace::TracerProvider for BridgeProvider {
            type Tracer = BridgeTracer;

            fn tracer_with_scope(&self, scope: api::InstrumentationScope) -> BridgeTracer {
                let attributes: Vec<_> = scope.attributes().cloned().collect();
                let tracer = with_attributes(&attributes, |attributes| {
                    self.0.tracer_with(&InstrumentationScope {
                        name: scope.name(),
                        version: scope.version().unwrap_or_default(),
                        schema_url: scope.schema_url().unwrap_or_default(),
                        attributes,
                    })
                });
                BridgeTracer(tracer)
            }
        }

        /// A tracer of the API whose spans are recorded by this pipeline.
        #[derive(Clone, Debug)]
        pub struct BridgeTracer(Tracer);

        /// Spans of this tracer, for the API.
        impl From<Tracer> for BridgeTracer {
            fn from(tracer: Tracer) -> Self {
                join();
                Self(tracer)
            }
        }

        impl api::trace::Tracer for BridgeTracer {
            type Span = BridgeSpan;

            fn build_with_context(
                &self,
                builder: api::trace::SpanBuilder,
                parent_cx: &api::Context,
            ) -> BridgeSpan {
                // Code of the program may run in here, while the API reads its stack.
                let _reading = Reading::begin();
                current::join_others();
                // One that is suppressed stands for its parent, so that what came with a request goes on.
                let suppressed =
                    parent_cx.is_telemetry_suppressed().then(current::suppress_here);
                let parent = parent_of(parent_cx);
                let attributes = builder.attributes.as_deref().unwrap_or_default();
                let kind = kind_of(builder.span_kind.as_ref());
                let mut started = with_attributes(attributes, |attributes| {
                    let mut start = self.0.span(&builder.name).kind(kind).attributes(attributes);
                    if let Some(time) = builder.start_time {
                        start = start.start_time(Times::Given.instant_of(time));
                    }
                    let start = match &parent {
                        Ok(None) => start.root(),
                        Ok(Some(parent)) => start.parent(*parent),
                        Err(parent) => start.parent(parent),
                    };
                    match builder.links.as_deref().unwrap_or_default() {
                        [] => start.start(),
                        links => with_links(links, |links| start.links(links).start()),
                    }
                });
                drop(suppressed);
                for event in builder.events.iter().flatten() {
                    let at = Times::Given.instant_of(event.timestamp);
                    with_attributes(&event.attributes, |attributes| {
                        started.add_event_at(&event.name, attributes, at);
                    });
                }
                $(started.set_status(status_of(&builder.$status));)?
                others::note_start(number_of(started.context()));
                BridgeSpan {
                    context: their_span(started.context(), started.trace_state()),
                    times: match builder.start_time {
                        Some(_) => Times::Given,
                        None => Times::Own,
                    },
                    span: Some(started),
                }
            }
        }

        /// A span of the API that this pipeline records. It ends when it is ended or dropped; what is
        /// done to it after that does nothing.
        #[derive(Debug)]
        pub struct BridgeSpan {
            context: api::trace::SpanContext,
            times: Times,
            /// None after the end.
            span: Option<Span>,
        }

        impl api::trace::Span for BridgeSpan {
            fn add_event<T>(&mut self, name: T, attributes: Vec<api::KeyValue>)
            where
                T: Into<Cow<'static, str>>,
            {
                if self.times == Times::Given {
                    return api::trace::Span::add_event_with_timestamp(
                        self,
                        name,
                        SystemTime::now(),
                        attributes,
                    );
                }
                if let Some(span) = &mut self.span {
                    with_attributes(&attributes, |list| span.add_event(&name.into(), list));
                }
            }

            fn add_event_with_timestamp<T>(
                &mut self,
                name: T,
                timestamp: SystemTime,
                attributes: Vec<api::KeyValue>,
            ) where
                T: Into<Cow<'static, str>>,
            {
                if let Some(span) = self.span.as_mut().filter(|span| span.is_recording()) {
                    let at = self.times.instant_of(timestamp);
                    with_attributes(&attributes, |list| span.add_event_at(&name.into(), list, at));
                }
            }

            fn span_context(&self) -> &api::trace::SpanContext {
                &self.context
            }

            fn is_recording(&self) -> bool {
                self.span.as_ref().is_some_and(Span::is_recording)
            }

            fn set_attribute(&mut self, attribute: api::KeyValue) {
                if let Some(span) = &mut self.span {
                    match &attribute.value {
                        api::Value::Array(_) => {
                            with_attributes(&[attribute], |list| span.set_attributes(list));
                        }
                        value => span.set_attribute(attribute.key.as_str(), plain_value(value)),
                    }
                }
            }

            fn set_status(&mut self, status: api::trace::Status) {
                if let Some(span) = &mut self.span {
                    span.set_status(status_of(&status));
                }
            }

            fn update_name<T>(&mut self, new_name: T)
            where
                T: Into<Cow<'static, str>>,
            {
                if let Some(span) = &mut self.span {
                    span.update_name(&new_name.into());
                }
            }

            fn add_link(
                &mut self,
                span_context: api::trace::SpanContext,
                attributes: Vec<api::KeyValue>,
            ) {
                if let Some(span) = &mut self.span {
                    let state = span_context.trace_state().header();
                    with_attributes(&attributes, |attributes| {
                        span.add_link(&Link {
                            span_context: our_span(&span_context),
                            trace_state: &state,
                            attributes,
                        });
                    });
                }
            }

            fn end(&mut self) {
                match self.times {
                    Times::Own => drop(self.span.take()),
                    Times::Given => {
                        api::trace::Span::end_with_timestamp(self, SystemTime::now());
                    }
                }
            }

            fn end_with_timestamp(&mut self, timestamp: SystemTime) {
                if let Some(span) = self.span.take() {
                    match span.is_recording() {
                        true => span.end_at(self.times.instant_of(timestamp)),
                        false => span.end(),
                    }
                }
            }
        }

        pub(in crate::hosted) fn kind_of(kind: Option<&api::trace::SpanKind>) -> SpanKind {
            match kind {
                None | Some(api::trace::SpanKind::Internal) => SpanKind::Internal,
                Some(api::trace::SpanKind::Server) => SpanKind::Server,
                Some(api::trace::SpanKind::Client) => SpanKind::Client,
                Some(api::trace::SpanKind::Producer) => SpanKind::Producer,
                Some(api::trace::SpanKind::Consumer) => SpanKind::Consumer,
            }
        }

        pub(in crate::hosted) fn status_of(status: &api::trace::Status) -> Status<'_> {
            match status {
                api::trace::Status::Unset => Status::Unset,
                api::trace::Status::Ok => Status::Ok,
                api::trace::Status::Error { description } => Status::error(description),
            }
        }

        /// A value that is no list of texts.
        fn plain_value(value: &api::Value) -> Value<'_> {
            match value {
                api::Value::Bool(value) => Value::Bool(*value),
                api::Value::I64(value) => Value::I64(*value),
                api::Value::F64(value) => Value::F64(*value),
                api::Value::String(value) => Value::String(value.as_str()),
                api::Value::Array(api::Array::Bool(values)) => Value::Bools(values),
                api::Value::Array(api::Array::I64(values)) => Value::I64s(values),
                api::Value::Array(api::Array::F64(values)) => Value::F64s(values),
                _ => Value::Empty,
            }
        }

        /// Hands `list` to `work` in our form.
        pub(in crate::hosted) fn with_attributes<T>(
            list: &[api::KeyValue],
            work: impl FnOnce(&[KeyValue<'_>]) -> T,
        ) -> T {
            fn texts(attribute: &api::KeyValue) -> Option<Vec<&str>> {
                match &attribute.value {
                    api::Value::Array(api::Array::String(texts)) => {
                        Some(texts.iter().map(api::StringValue::as_str).collect())
                    }
                    _ => None,
                }
            }
            // Empty for most, and then without memory.
            let lists: Vec<_> = list.iter().filter_map(texts).collect();
            let mut lists = lists.iter();
            let converted = list.iter().map(|attribute| KeyValue {
                key: attribute.key.as_str(),
                value: match &attribute.value {
                    api::Value::Array(api::Array::String(_)) => {
                        Value::Strings(lists.next().map(Vec::as_slice).unwrap_or_default())
                    }
                    value => plain_value(value),
                },
            });
            if list.len() <= 8 {
                work(&converted.collect::<heapless::Vec<_, 8>>())
            } else {
                work(&converted.collect::<Vec<_>>())
            }
        }

        fn with_links<T>(
            links: &[api::trace::Link],
            work: impl FnOnce(&[Link<'_>]) -> T,
        ) -> T {
            // All attributes behind each other, and the parts of it by their lengths.
            let all: Vec<_> = links.iter().flat_map(|link| link.attributes.clone()).collect();
            let states: Vec<_> =
                links.iter().map(|link| link.span_context.trace_state().header()).collect();
            with_attributes(&all, |all| {
                let mut rest = all;
                let ours = links.iter().zip(&states).map(|(link, state)| {
                    let (attributes, others) =
                        rest.split_at_checked(link.attributes.len()).unwrap_or_default();
                    rest = others;
                    Link {
                        span_context: our_span(&link.span_context),
                        trace_state: state,
                        attributes,
                    }
                });
                work(&ours.collect::<Vec<_>>())
            })
        }

        /// Ids and flags of a span of the API.
        pub(in crate::hosted) fn our_span(theirs: &api::trace::SpanContext) -> SpanContext {
            let make = match theirs.is_remote() {
                true => SpanContext::remote,
                false => SpanContext::new,
            };
            make(
                TraceId::from_bytes(theirs.trace_id().to_bytes()),
                SpanId::from_bytes(theirs.span_id().to_bytes()),
                TraceFlags::from_bits(theirs.trace_flags().to_u8()),
            )
        }

        /// The context of a span, for the API. A tracestate that it does not take is left out there.
        fn their_span(ours: &SpanContext, trace_state: &str) -> api::trace::SpanContext {
            api::trace::SpanContext::new(
                api::trace::TraceId::from_bytes(ours.trace_id().to_bytes()),
                api::trace::SpanId::from_bytes(ours.span_id().to_bytes()),
                api::trace::TraceFlags::new(ours.trace_flags().bits()),
                ours.is_remote(),
                match trace_state {
                    "" => api::trace::TraceState::NONE,
                    state => state.parse().unwrap_or_default(),
                },
            )
        }

        fn number_of(span: &SpanContext) -> u64 {
            u64::from_be_bytes(span.span_id().to_bytes())
        }
    };
}
pub(in crate::hosted) use provider;
