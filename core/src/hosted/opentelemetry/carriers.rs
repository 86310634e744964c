//! The propagator of the API, and carriers of both kinds.

macro_rules! carriers {
    ($api:ident) => {
        use ::core::ops::ControlFlow;
        use ::std::string::String;
        use api::propagation::text_map_propagator::FieldIter;
        use api::propagation::{Extractor, Injector};
        use $crate::hosted::propagation::environment::{EnvironmentGetter, EnvironmentSetter};
        use $crate::hosted::propagation::{ContextPropagator as _, Propagator, propagator};
        use $crate::propagation::{Getter, Setter};

        /// A propagator of the API that does what one of this crate does: W3C Trace Context and
        /// Baggage, B3, several in a row, or one of the program's own.
        ///
        /// What the program says about [`Incoming`](crate::hosted::propagation::Incoming) contexts
        /// holds for it as well.
        #[derive(Debug)]
        pub struct BridgePropagator {
            /// None for the process-wide one.
            propagator: Option<Propagator>,
            fields: Vec<String>,
        }

        impl BridgePropagator {
            /// A propagator of the API that does what `propagator` does.
            #[must_use]
            pub fn new(propagator: impl Into<Propagator>) -> Self {
                let propagator = propagator.into();
                Self {
                    fields: fields_of(&propagator),
                    propagator: Some(propagator),
                }
            }

            /// The one that does what the [process-wide](propagator) one does at each time. The list
            /// of its fields is today's.
            #[must_use]
            pub fn of_process() -> Self {
                Self {
                    propagator: None,
                    fields: fields_of(&propagator()),
                }
            }

            fn with<T>(&self, work: impl FnOnce(&Propagator) -> T) -> T {
                match &self.propagator {
                    Some(propagator) => work(propagator),
                    None => work(&propagator()),
                }
            }
        }

        fn fields_of(propagator: &Propagator) -> Vec<String> {
            let mut fields = Vec::new();
            propagator.fields(&mut |name| fields.push(name.to_string()));
            fields
        }

        impl api::propagation::TextMapPropagator for BridgePropagator {
            fn inject_context(&self, cx: &api::Context, injector: &mut dyn Injector) {
                let _reading = Reading::begin();
                current::join_others();
                let context = match parent_of(cx) {
                    Ok(None) => return,
                    Ok(Some(span)) => Context::from(span),
                    Err(context) => context,
                };
                self.with(|propagator| propagator.inject_from(&context, &mut Outgoing(injector)));
            }

            fn extract_with_context(
                &self,
                cx: &api::Context,
                extractor: &dyn Extractor,
            ) -> api::Context {
                let _reading = Reading::begin();
                current::join_others();
                let before = our_context(cx);
                let found =
                    self.with(|propagator| propagator.extract_into(&before, &Incoming(extractor)));
                match found == before {
                    true => cx.clone(),
                    false => their_context(cx, &found, false),
                }
            }

            fn fields(&self) -> FieldIter<'_> {
                FieldIter::new(&self.fields)
            }
        }

        struct Incoming<'a>(&'a dyn Extractor);

        impl Getter for Incoming<'_> {
            fn get(&self, key: &str) -> Option<&str> {
                self.0.get(key)
            }

            fn get_all<'a>(&'a self, key: &str, visit: &mut dyn FnMut(&'a str) -> ControlFlow<()>) {
                let values = self.0.get_all(key).unwrap_or_default();
                let _ = values.into_iter().try_for_each(visit);
            }

            fn keys<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
                self.0.keys().into_iter().for_each(visit);
            }
        }

        struct Outgoing<'a>(&'a mut dyn Injector);

        impl Setter for Outgoing<'_> {
            fn set(&mut self, key: &str, value: &str) {
                self.0.set(key, value.to_string());
            }
        }

        /// The variables of a process, for propagators of the API.
        impl Extractor for EnvironmentGetter {
            fn get(&self, key: &str) -> Option<&str> {
                Getter::get(self, key)
            }

            fn keys(&self) -> Vec<&str> {
                let mut keys = Vec::new();
                Getter::keys(self, &mut |key| keys.push(key));
                keys
            }
        }

        /// The variables of a process that is about to be spawned, for propagators of the API.
        impl Injector for EnvironmentSetter<'_> {
            fn set(&mut self, key: &str, value: String) {
                Setter::set(self, key, &value);
            }
        }
    };
}
pub(in crate::hosted) use carriers;
