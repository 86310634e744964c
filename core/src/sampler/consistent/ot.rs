//! The `ot` member of a tracestate.

use super::{Randomness, Threshold};
use crate::context::TraceState;

/// The longest value of a member.
const MAX_VALUE: usize = 256;

/// A view of [OpenTelemetry's own member](https://opentelemetry.io/docs/specs/otel/trace/tracestate-handling/)
/// of a tracestate, `ot=th:c;rv:6e6d1a75832a2f`.
///
/// Values that are not valid count as absent. Everything else in the member is kept as it is.
///
/// ```
/// use spandrel_core::sampler::OtelTraceState;
///
/// let state = OtelTraceState::of("vendor=1,ot=th:c;x:1");
/// assert_eq!(state.threshold().map(|th| th.ratio()), Some(0.25));
/// assert_eq!(state.randomness(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct OtelTraceState<'a> {
    value: &'a str,
}

impl<'a> OtelTraceState<'a> {
    /// Finds the member in the text of a tracestate.
    #[must_use]
    pub fn of(trace_state: &'a str) -> Self {
        let mut members = trace_state
            .split(',')
            .map(|member| member.trim_matches([' ', '\t']));
        Self {
            value: members
                .find_map(|member| member.strip_prefix("ot="))
                .unwrap_or_default(),
        }
    }

    /// Returns the rejection threshold that the parent was sampled with.
    #[must_use]
    pub fn threshold(self) -> Option<Threshold> {
        self.get("th")?.parse().ok()
    }

    /// Returns the explicit randomness of the trace.
    #[must_use]
    pub fn randomness(self) -> Option<Randomness> {
        self.get("rv")?.parse().ok()
    }

    /// Returns true if there is a `th`, valid or not.
    pub(super) fn has_threshold(self) -> bool {
        self.get("th").is_some()
    }

    fn get(self, key: &str) -> Option<&'a str> {
        self.items()
            .find_map(|(item, _)| item.strip_prefix(key)?.strip_prefix(':'))
    }

    /// The items, each with true if it is a threshold.
    fn items(self) -> impl Iterator<Item = (&'a str, bool)> {
        let items = self.value.split(';').filter(|item| !item.is_empty());
        items.map(|item| (item, item.starts_with("th:")))
    }
}

/// Returns `trace_state` with the items of `ot`, and with `threshold` as the only `th`, or without
/// any. The member moves to the front, as W3C asks of a change, and all other members stay.
///
/// `None` if the member would be longer than 256 characters, or the tracestate is not valid.
pub(super) fn with_threshold(
    trace_state: &str,
    ot: OtelTraceState<'_>,
    threshold: Option<Threshold>,
) -> Option<TraceState> {
    let state: TraceState = trace_state.parse().ok()?;
    let mut value = heapless::String::<MAX_VALUE, u16>::new();
    if let Some(threshold) = threshold {
        value.push_str("th:").ok()?;
        value.push_str(&threshold.text()).ok()?;
    }
    for (item, _) in ot.items().filter(|(_, is_threshold)| !is_threshold) {
        if !value.is_empty() {
            value.push(';').ok()?;
        }
        value.push_str(item).ok()?;
    }
    if value.is_empty() {
        return Some(state.delete("ot"));
    }
    state.insert("ot", &value).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn values_that_are_not_valid_count_as_absent() {
        for (state, th, rv) in [
            (
                "ot=th:c;rv:6e6d1a75832a2f",
                Some("c"),
                Some("6e6d1a75832a2f"),
            ),
            (
                "a=1, ot=rv:6e6d1a75832a2f;th:08,b=2",
                Some("08"),
                Some("6e6d1a75832a2f"),
            ),
            ("ot=th:C;rv:6e6d1a75832a2", None, None),
            ("ot=th:;rv:", None, None),
            ("ot=ath:c", None, None),
            ("ot=th", None, None),
            ("not=th:c", None, None),
            ("", None, None),
        ] {
            let ot = OtelTraceState::of(state);
            assert_eq!(
                ot.threshold().map(|th| th.to_string()).as_deref(),
                th,
                "{state}"
            );
            assert_eq!(
                ot.randomness().map(|rv| rv.to_string()).as_deref(),
                rv,
                "{state}"
            );
        }
    }

    #[test]
    fn a_threshold_is_replaced_and_the_rest_stays() {
        let th = Threshold::from_ratio(0.5);
        let rv = "rv:6e6d1a75832a2f";
        for (before, with, without) in [
            ("", "ot=th:8", ""),
            ("ot=th:c", "ot=th:8", ""),
            ("a=1,ot=th:c,b=2", "ot=th:8,a=1,b=2", "a=1,b=2"),
            (
                &*format!("ot={rv};th:8;x:1"),
                &*format!("ot=th:8;{rv};x:1"),
                &*format!("ot={rv};x:1"),
            ),
            ("ot=th:c;th:d;x:1", "ot=th:8;x:1", "ot=x:1"),
        ] {
            let changed = |th| {
                with_threshold(before, OtelTraceState::of(before), th)
                    .unwrap()
                    .to_string()
            };
            assert_eq!(changed(th), with, "{before}");
            assert_eq!(changed(None), without, "{before}");
        }
    }

    #[test]
    fn a_member_that_would_be_too_long_is_not_changed() {
        let full = format!("ot=x:{}", "1".repeat(MAX_VALUE - 2));
        let ot = OtelTraceState::of(&full);
        assert_eq!(with_threshold(&full, ot, Threshold::from_ratio(0.5)), None);
        assert!(with_threshold(&full, ot, None).is_some());
        assert_eq!(with_threshold("not valid", ot, None), None);
    }
}
