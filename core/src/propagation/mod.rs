//! Context across process boundaries: the headers `traceparent` and `tracestate` of [W3C Trace
//! Context], and those of B3.
//!
//! [`parse_traceparent`] and [`format_traceparent`] are pure functions over bytes.
//! [`TraceContextPropagator`] moves a context into and out of any carrier of text: an HTTP header
//! map, the fields of a message, an array in a test. The carrier only has to be a [`Setter`] or a
//! [`Getter`].
//!
//! ```text
//!   00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01
//!   ver            trace id                  span id     flags      lower-case hex, 55 bytes
//! ```
//!
//! [`B3Propagator`] does the same for services that know only B3. These propagators move a span
//! context, without a heap. Programs with `std` have `hosted::propagation`, which moves a whole
//! context with its [baggage](crate::baggage).
//!
//! Anyone can send headers, so they are read strictly and with bounded work. An invalid one counts
//! as absent: the next span starts a new trace. Nothing can be injected that is not a valid header
//! value.
//!
//! [W3C Trace Context]: https://www.w3.org/TR/trace-context-2/
//!
//! ```
//! use spandrel_core::context::ParentContext;
//! use spandrel_core::propagation::{TextMapPropagator, TraceContextPropagator};
//!
//! let request = [
//!     ("Host", "example.com"),
//!     ("TraceParent", "00-5b8efff798038103d269b633813fc60c-eee19b7ec3c1b174-01"),
//!     ("tracestate", "vendor=1"),
//! ];
//! let extracted = TraceContextPropagator.extract(&request);
//! let parent = ParentContext::from(extracted.as_ref());
//! assert!(parent.span_context.is_remote());
//!
//! let mut headers = Vec::new();
//! let mut carrier = |name: &str, value: &str| headers.push(format!("{name}: {value}"));
//! TraceContextPropagator.inject(parent, &mut carrier);
//! assert_eq!(headers[1], "tracestate: vendor=1");
//! ```

mod b3;
mod traceparent;

pub use b3::{
    B3, B3Context, B3Error, B3Header, B3Propagator, B3Sampling, X_B3_FLAGS, X_B3_SAMPLED,
    X_B3_SPAN_ID, X_B3_TRACE_ID, format_b3, parse_b3,
};
pub use traceparent::{TraceParent, TraceParentError, format_traceparent, parse_traceparent};

use core::fmt;
use core::ops::ControlFlow;

use crate::context::{HeaderParser, ParentContext, SpanContext, TraceState, is_trace_state};

/// The name of the [header with ids and
/// flags](https://www.w3.org/TR/trace-context-2/#traceparent-header).
pub const TRACEPARENT: &str = "traceparent";
/// The name of the [header with the vendors'
/// members](https://www.w3.org/TR/trace-context-2/#tracestate-header).
pub const TRACESTATE: &str = "tracestate";

/// Reads fields of a carrier. See the
/// [specification](https://opentelemetry.io/docs/specs/otel/context/api-propagators/#getter-argument).
///
/// For HTTP the implementation must compare names without regard to ASCII case. A value that is not
/// text must still count as present: return some invalid text for it, because a repeated
/// `traceparent` makes a request invalid.
pub trait Getter {
    /// Returns the first value of `key`.
    fn get(&self, key: &str) -> Option<&str>;

    /// Passes all values of `key` to `visit` in order, until it breaks.
    ///
    /// The default passes the first only, which is right for carriers that cannot hold more than
    /// one. For others it would hide a repeated `traceparent`, which makes a request invalid.
    fn get_all<'a>(&'a self, key: &str, visit: &mut dyn FnMut(&'a str) -> ControlFlow<()>) {
        if let Some(value) = self.get(key) {
            let _ = visit(value);
        }
    }

    /// Passes all keys to `visit`.
    fn keys<'a>(&'a self, visit: &mut dyn FnMut(&'a str));
}

/// Pairs of names and values, such as received header lines; names match in any ASCII case.
impl<K: AsRef<str>, V: AsRef<str>> Getter for &[(K, V)] {
    fn get(&self, key: &str) -> Option<&str> {
        values_of(self, key).next()
    }

    fn get_all<'a>(&'a self, key: &str, visit: &mut dyn FnMut(&'a str) -> ControlFlow<()>) {
        let _ = values_of(self, key).try_for_each(visit);
    }

    fn keys<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        self.iter().for_each(|(name, _)| visit(name.as_ref()));
    }
}

/// Like the implementation for slices.
impl<K: AsRef<str>, V: AsRef<str>, const N: usize> Getter for [(K, V); N] {
    fn get(&self, key: &str) -> Option<&str> {
        values_of(self, key).next()
    }

    fn get_all<'a>(&'a self, key: &str, visit: &mut dyn FnMut(&'a str) -> ControlFlow<()>) {
        let _ = values_of(self, key).try_for_each(visit);
    }

    fn keys<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        self.iter().for_each(|(name, _)| visit(name.as_ref()));
    }
}

/// The values of `key`, in order.
fn values_of<'a, K: AsRef<str>, V: AsRef<str>>(
    pairs: &'a [(K, V)],
    key: &str,
) -> impl Iterator<Item = &'a str> {
    pairs
        .iter()
        .filter(move |(name, _)| name.as_ref().eq_ignore_ascii_case(key))
        .map(|(_, value)| value.as_ref())
}

/// Writes fields of a carrier. See the
/// [specification](https://opentelemetry.io/docs/specs/otel/context/api-propagators/#setter-argument).
pub trait Setter {
    /// Sets `key`, spelled as given, to `value`, and replaces a value that is there.
    ///
    /// Both are visible ASCII, valid in an HTTP header.
    fn set(&mut self, key: &str, value: &str);
}

/// Any closure that takes a name and a value.
impl<F: FnMut(&str, &str)> Setter for F {
    fn set(&mut self, key: &str, value: &str) {
        self(key, value);
    }
}

/// The context that was found in a carrier.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Extracted {
    /// The remote span: valid, and marked as remote.
    pub span_context: SpanContext,
    /// Its tracestate, empty when there was none or when it was not valid.
    pub trace_state: TraceState,
}

impl<'a> From<&'a Extracted> for ParentContext<'a> {
    fn from(extracted: &'a Extracted) -> Self {
        Self {
            span_context: extracted.span_context,
            trace_state: extracted.trace_state.as_str(),
        }
    }
}

/// The parent that was found, or [`ParentContext::ROOT`].
impl<'a> From<Option<&'a Extracted>> for ParentContext<'a> {
    fn from(extracted: Option<&'a Extracted>) -> Self {
        extracted.map_or(Self::ROOT, Self::from)
    }
}

/// Moves a context into and out of carriers of text. It has no state.
pub trait TextMapPropagator {
    /// Sets the fields for `context`, or none if it is not valid.
    fn inject(&self, context: ParentContext<'_>, carrier: &mut dyn Setter);

    /// Reads the context from `carrier`. `None` means that there is no valid one; the caller's own
    /// context stays then.
    fn extract(&self, carrier: &dyn Getter) -> Option<Extracted>;

    /// Passes the names of all fields that `inject` may set to `visit`.
    ///
    /// <https://opentelemetry.io/docs/specs/otel/context/api-propagators/#fields>
    fn fields(&self, visit: &mut dyn FnMut(&'static str));
}

/// W3C Trace Context, level 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TraceContextPropagator;

impl TraceContextPropagator {
    /// Sets the fields for `context`, a span or its context. Sets none if it is not valid.
    pub fn inject<'a>(&self, context: impl Into<ParentContext<'a>>, carrier: &mut dyn Setter) {
        TextMapPropagator::inject(self, context.into(), carrier);
    }
}

impl TextMapPropagator for TraceContextPropagator {
    fn inject(&self, context: ParentContext<'_>, carrier: &mut dyn Setter) {
        let Some(traceparent) = format_traceparent(&context.span_context) else {
            return;
        };
        carrier.set(TRACEPARENT, traceparent.as_str());
        if context.trace_state.is_empty() {
            return;
        }
        // The text may come from a sampler of the application, so it is checked again: nothing
        // that splits a header gets out, and no empty header either (spec E-029, E-036).
        if is_trace_state(context.trace_state) {
            carrier.set(TRACESTATE, context.trace_state);
        }
    }

    fn extract(&self, carrier: &dyn Getter) -> Option<Extracted> {
        let mut found = None;
        let mut repeated = false;
        carrier.get_all(TRACEPARENT, &mut |value| {
            repeated = found.is_some();
            found = Some(value);
            if repeated {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        });
        // It is unknown which of two is right, so neither counts (spec E-010).
        let span_context = match found {
            Some(value) if !repeated => parse_traceparent(value).ok()?,
            _ => return None,
        };

        // Most requests have none, and a parser is half a KiB to set up.
        let mut parser = None;
        let mut valid = true;
        carrier.get_all(TRACESTATE, &mut |value| {
            let parser = parser.get_or_insert_with(HeaderParser::new);
            valid &= parser.add(value).is_ok();
            if valid {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            }
        });
        let trace_state = match parser {
            Some(parser) if valid => parser.finish(),
            _ => TraceState::new(),
        };
        Some(Extracted {
            span_context,
            trace_state,
        })
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str)) {
        visit(TRACEPARENT);
        visit(TRACESTATE);
    }
}

/// Several propagators in a row. An empty list does nothing.
///
/// All of them inject. If several extract a context, the last one counts.
#[derive(Clone, Copy, Default)]
pub struct CompositePropagator<'a> {
    propagators: &'a [&'a (dyn TextMapPropagator + Sync)],
}

impl<'a> CompositePropagator<'a> {
    /// Runs `propagators` in this order.
    #[must_use]
    pub const fn new(propagators: &'a [&'a (dyn TextMapPropagator + Sync)]) -> Self {
        Self { propagators }
    }

    /// Has every propagator set its fields for `context`, a span or its context.
    pub fn inject<'c>(&self, context: impl Into<ParentContext<'c>>, carrier: &mut dyn Setter) {
        TextMapPropagator::inject(self, context.into(), carrier);
    }
}

impl TextMapPropagator for CompositePropagator<'_> {
    fn inject(&self, context: ParentContext<'_>, carrier: &mut dyn Setter) {
        for propagator in self.propagators {
            propagator.inject(context, carrier);
        }
    }

    fn extract(&self, carrier: &dyn Getter) -> Option<Extracted> {
        // Each sees the carrier, and overrides the ones before it only if it finds something.
        self.propagators
            .iter()
            .rev()
            .find_map(|propagator| propagator.extract(carrier))
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str)) {
        for propagator in self.propagators {
            propagator.fields(visit);
        }
    }
}

impl fmt::Debug for CompositePropagator<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompositePropagator")
            .field("propagators", &self.propagators.len())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::TraceFlags;
    use std::format;
    use std::string::{String, ToString};
    use std::vec::Vec;

    const IDS: &str = "12345678901234567890123456789012-1234567890123456";

    fn injected(context: ParentContext<'_>) -> Vec<String> {
        let mut headers = Vec::new();
        let mut carrier = |name: &str, value: &str| headers.push(format!("{name}: {value}"));
        TraceContextPropagator.inject(context, &mut carrier);
        headers
    }

    #[test]
    fn an_invalid_context_injects_nothing() {
        assert!(format_traceparent(&SpanContext::INVALID).is_none());
        let context = ParentContext {
            span_context: SpanContext::INVALID,
            trace_state: "a=1",
        };
        assert!(injected(context).is_empty());
    }

    #[test]
    fn a_tracestate_that_is_not_valid_is_never_sent() {
        let span_context = parse_traceparent(format!("00-{IDS}-01")).expect("valid");
        for bad in ["", " , ", "a", "a=1\r\nx: y", "a=\0", "A=1", "a=é"] {
            let sent = injected(ParentContext {
                span_context,
                trace_state: bad,
            });
            assert_eq!(sent, [format!("traceparent: 00-{IDS}-01")], "{bad:?}");
        }
        let sent = injected(ParentContext {
            span_context,
            trace_state: "a=1,b= 2",
        });
        assert_eq!(sent[1], "tracestate: a=1,b= 2");
    }

    #[test]
    fn a_repeated_traceparent_is_none_at_all() {
        let one = format!("00-{IDS}-01");
        let headers = [("traceparent", one.as_str()), ("Traceparent", &one)];
        assert_eq!(TraceContextPropagator.extract(&headers), None);
        assert!(TraceContextPropagator.extract(&&headers[..1]).is_some());
        let joined = format!("{one},{one}");
        assert_eq!(
            TraceContextPropagator.extract(&[("traceparent", &joined)]),
            None
        );
    }

    #[test]
    fn a_bad_tracestate_does_not_harm_the_trace() {
        let one = format!("00-{IDS}-01");
        let headers = [
            ("tracestate", "a=1"),
            ("traceparent", one.as_str()),
            ("tracestate", "B=2"),
        ];
        let extracted = TraceContextPropagator.extract(&headers).expect("valid");
        assert!(extracted.trace_state.is_empty());
        assert_eq!(ParentContext::from(&extracted).trace_state, "");
    }

    /// Sets one field and extracts one fixed context.
    struct Fixed(&'static str, Option<u8>);

    impl TextMapPropagator for Fixed {
        fn inject(&self, _: ParentContext<'_>, carrier: &mut dyn Setter) {
            carrier.set(self.0, "x");
        }

        fn extract(&self, _: &dyn Getter) -> Option<Extracted> {
            let flags = TraceFlags::from_bits(self.1?);
            let context = parse_traceparent(format!("00-{IDS}-00")).ok()?;
            Some(Extracted {
                span_context: SpanContext::remote(context.trace_id(), context.span_id(), flags),
                trace_state: TraceState::new(),
            })
        }

        fn fields(&self, visit: &mut dyn FnMut(&'static str)) {
            visit(self.0);
        }
    }

    #[test]
    fn a_composite_runs_in_order_and_the_last_finding_counts() {
        let (a, b, c) = (Fixed("a", Some(1)), Fixed("b", Some(2)), Fixed("c", None));
        let parts: [&(dyn TextMapPropagator + Sync); 3] = [&a, &b, &c];
        let composite = CompositePropagator::new(&parts);
        let mut set = Vec::new();
        let mut carrier = |name: &str, _: &str| set.push(name.to_string());
        composite.inject(ParentContext::ROOT, &mut carrier);
        assert_eq!(set, ["a", "b", "c"]);
        let mut fields = Vec::new();
        composite.fields(&mut |name| fields.push(name));
        assert_eq!(fields, ["a", "b", "c"]);
        let empty: [(&str, &str); 0] = [];
        let extracted = composite.extract(&empty).expect("two of three");
        assert_eq!(extracted.span_context.trace_flags().bits(), 2);
        assert_eq!(CompositePropagator::default().extract(&empty), None);
    }

    #[test]
    fn the_default_get_all_hands_over_the_first_value() {
        struct One;
        impl Getter for One {
            fn get(&self, key: &str) -> Option<&str> {
                (key == "k").then_some("v")
            }
            fn keys<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
                visit("k");
            }
        }
        for (key, count) in [("k", 1), ("x", 0)] {
            let mut seen = 0;
            One.get_all(key, &mut |_| {
                seen += 1;
                ControlFlow::Continue(())
            });
            assert_eq!(seen, count);
        }
    }
}
