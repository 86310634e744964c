//! The stack of contexts of the API, beside ours, and contexts in each other's form.

macro_rules! stack {
    ($api:ident) => {
        use ::core::cell::RefCell;
        use ::std::panic::{AssertUnwindSafe, catch_unwind};

        use api::baggage::BaggageExt as _;
        use $crate::context::ParentContext;
        use $crate::hosted::baggage::Baggage;
        use $crate::hosted::current::others::{Innermost, OtherStack};

        /// The stack of this version.
        struct Other;

        static OTHER: Other = Other;

        /// A context of ours that is entered there.
        struct Stay {
            key: usize,
            guard: api::ContextGuard,
            /// Where the baggage of the context lies; none for a suppression, which changes none.
            baggage: Option<usize>,
        }

        /// A context of ours within one of theirs, for what theirs cannot express.
        struct Carried {
            context: Context,
            /// Where its baggage lies in theirs. `entries` keep that place, so that no other baggage can
            /// lie there.
            baggage: usize,
            #[allow(dead_code, reason = "it keeps memory")]
            entries: api::Context,
        }

        ::std::thread_local! {
            /// None if the thread ends, and has dropped the API's stack already. Reading that first has
            /// it dropped after this.
            static STAYS: RefCell<Option<Vec<Stay>>> = RefCell::new(
                catch_unwind(|| api::Context::map_current(|_| Vec::new())).ok(),
            );
        }

        /// Works on the list; `None` while the thread ends.
        fn with_stays<T>(work: impl FnOnce(&mut Vec<Stay>) -> T) -> Option<T> {
            let done = STAYS.try_with(|stays| {
                let mut stays = stays.try_borrow_mut().ok()?;
                Some(work(stays.as_mut()?))
            });
            done.ok().flatten()
        }

        fn place_of(baggage: &api::baggage::Baggage) -> usize {
            ::core::ptr::from_ref(baggage).addr()
        }

        /// Where the baggage of our innermost context lies. If the current one is elsewhere, it was
        /// changed there.
        fn noted(stays: &[Stay]) -> usize {
            let last = stays.iter().rev().find_map(|stay| stay.baggage);
            last.unwrap_or_else(|| place_of(api::Context::new().baggage()))
        }

        impl OtherStack for Other {
            fn enter(&self, key: usize, context: &mut Context, inherits: bool) -> bool {
                let entered = with_stays(|stays| {
                    let theirs = api::Context::map_current(|around| {
                        if inherits && place_of(around.baggage()) != noted(stays) {
                            *context = context.with_baggage(our_baggage(around.baggage()));
                        }
                        their_context(around, context, inherits)
                    });
                    let baggage = Some(place_of(theirs.baggage()));
                    // Within `map_current` it panics; then the context is current here only.
                    let guard = catch_unwind(AssertUnwindSafe(|| theirs.attach())).ok()?;
                    stays.push(Stay {
                        key,
                        guard,
                        baggage,
                    });
                    Some(())
                });
                entered.flatten().is_some()
            }

            fn enter_suppressed(&self, key: usize) -> bool {
                let entered = with_stays(|stays| {
                    let enter = api::Context::enter_telemetry_suppressed_scope;
                    stays.push(Stay {
                        key,
                        guard: catch_unwind(enter).ok()?,
                        baggage: None,
                    });
                    Some(())
                });
                entered.flatten().is_some()
            }

            fn leave(&self, key: usize) {
                let left = with_stays(|stays| {
                    let at = stays.iter().rposition(|stay| stay.key == key)?;
                    Some(stays.remove(at))
                });
                if let Some(Some(stay)) = left {
                    let _ = catch_unwind(AssertUnwindSafe(|| drop(stay.guard)));
                }
            }

            fn innermost(&self, ours: Option<&Context>) -> Innermost {
                let found = with_stays(|stays| {
                    let noted = noted(stays);
                    api::Context::map_current(|theirs| {
                        let span = theirs.span();
                        let span = span.span_context();
                        let is_ours = place_of(theirs.baggage()) == noted
                            && match ours {
                                Some(ours) => is_same(&ours.span_context, span),
                                None => !span.is_valid() && theirs.get::<Carried>().is_none(),
                            };
                        match is_ours {
                            true if ours.is_some() => Innermost::Ours,
                            true => Innermost::Nothing,
                            false => Innermost::Other(our_context_over(theirs, ours, noted)),
                        }
                    })
                });
                found.unwrap_or(match ours {
                    Some(_) => Innermost::Ours,
                    None => Innermost::Nothing,
                })
            }

            fn is_suppressed(&self) -> bool {
                let found = with_stays(|_| api::Context::is_current_telemetry_suppressed());
                found.unwrap_or(false)
            }

            fn span_id(&self) -> u64 {
                let read = |theirs: &api::Context| {
                    u64::from_be_bytes(theirs.span().span_context().span_id().to_bytes())
                };
                with_stays(|_| api::Context::map_current(read)).unwrap_or(0)
            }
        }

        /// Returns true if both are of one span.
        fn is_same(ours: &SpanContext, theirs: &api::trace::SpanContext) -> bool {
            let span_id = ours.span_id().to_bytes() == theirs.span_id().to_bytes();
            span_id && ours.trace_id().to_bytes() == theirs.trace_id().to_bytes()
        }

        /// The parent that `given` is for a new span, in the cheapest form.
        fn parent_of(given: &api::Context) -> Result<Option<SpanContext>, Context> {
            let is_current = api::Context::map_current(|current| {
                ::core::ptr::eq(current, given)
                    || (current.span().span_context() == given.span().span_context()
                        && place_of(current.baggage()) == place_of(given.baggage()))
            });
            if is_current {
                return current::current_in_short();
            }
            let context = our_context(given);
            match context.beside {
                None => Ok(Some(context.span_context)),
                Some(_) => Err(context),
            }
        }

        /// A context of the API as one of this crate: its span, tracestate and baggage.
        #[must_use]
        pub fn our_context(theirs: &api::Context) -> Context {
            our_context_over(theirs, None, place_of(api::Context::new().baggage()))
        }

        /// `theirs`, which lies over `ours` of which the baggage is `noted`.
        fn our_context_over(
            theirs: &api::Context,
            ours: Option<&Context>,
            noted: usize,
        ) -> Context {
            let carried = theirs.get::<Carried>();
            let (under, noted) = match carried {
                Some(carried) => (Some(&carried.context), carried.baggage),
                None => (ours, noted),
            };
            let span = theirs.span();
            let span = span.span_context();
            let state;
            let mut context = match under {
                Some(under) if is_same(&under.span_context, span) => under.clone(),
                under => {
                    state = span.trace_state().header();
                    let parent = ParentContext {
                        span_context: our_span(span),
                        trace_state: &state,
                    };
                    match under {
                        Some(under) => under.with_span_context(parent),
                        None => Context::from(parent),
                    }
                }
            };
            if place_of(theirs.baggage()) != noted {
                context = context.with_baggage(our_baggage(theirs.baggage()));
            }
            context
        }

        /// A context of this crate as one of the API: its span, tracestate and baggage, beside what
        /// else is in the API's current context.
        #[must_use]
        pub fn their_context_of(ours: &Context) -> api::Context {
            api::Context::map_current(|around| their_context(around, ours, false))
        }

        /// `ours` in the surroundings of `around`. One that `inherits` has the baggage of `around`.
        fn their_context(around: &api::Context, ours: &Context, inherits: bool) -> api::Context {
            let mut theirs = if is_same(&ours.span_context, around.span().span_context()) {
                around.clone()
            } else if ours.span_context.is_valid() {
                around.with_remote_span_context(their_span(&ours.span_context, ours.trace_state()))
            } else {
                // The API has no way to take a span out of a context.
                let bare = api::Context::new();
                let bare = match around.baggage() {
                    baggage if baggage.is_empty() => bare,
                    baggage => bare.with_baggage(copy_of(baggage)),
                };
                match around.is_telemetry_suppressed() {
                    true => bare.with_telemetry_suppressed(),
                    false => bare,
                }
            };
            if !inherits {
                let baggage = ours.baggage();
                if !baggage.is_empty() {
                    theirs = theirs.with_baggage(their_baggage(baggage));
                } else if !theirs.baggage().is_empty() {
                    theirs = theirs.with_cleared_baggage();
                }
            }
            if ours.beside.is_some() || !inherits && theirs.get::<Carried>().is_some() {
                let baggage = place_of(theirs.baggage());
                theirs = theirs.with_value(Carried {
                    context: ours.clone(),
                    baggage,
                    // Without the span, which may be one that ends when it is dropped.
                    entries: theirs.with_remote_span_context(api::trace::SpanContext::NONE),
                });
            }
            theirs
        }

        fn our_baggage(theirs: &api::baggage::Baggage) -> Baggage {
            // Theirs has no order.
            let mut entries: Vec<_> = theirs.iter().collect();
            entries.sort_by(|(a, _), (b, _)| a.cmp(b));
            let add = |ours: Baggage,
                       (name, (value, metadata)): (
                &api::Key,
                &(api::StringValue, api::baggage::BaggageMetadata),
            )| { ours.with_metadata(name.as_str(), value, metadata.as_str()) };
            entries.into_iter().fold(Baggage::new(), add)
        }

        fn their_baggage(ours: &Baggage) -> api::baggage::Baggage {
            let mut theirs = api::baggage::Baggage::new();
            for (name, value, metadata) in ours.iter() {
                theirs.insert_with_metadata(name.to_string(), value.to_string(), metadata);
            }
            theirs
        }

        fn copy_of(baggage: &api::baggage::Baggage) -> api::baggage::Baggage {
            let entries = baggage
                .iter()
                .map(|(name, value)| (name.clone(), value.clone()));
            entries.collect()
        }
    };
}
pub(in crate::hosted) use stack;
