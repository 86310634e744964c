//! The report about a span that does not hold all that was set on it.

use core::fmt;
use std::boxed::Box;
use std::string::String;

use crate::hosted::diagnostics::{self, Kind, Severity};
use crate::span::Recording;

/// The bit of a span that had too little memory.
const MEMORY: u8 = 1;
/// The bits of the limits on attributes, events and links, and on the attributes of the latter two.
const LIMITS: [(u8, &str); 4] = [
    (2, "attribute_count"),
    (4, "event_count"),
    (8, "link_count"),
    (
        PER_ITEM,
        "attribute_per_event_count or limits.attribute_per_link_count",
    ),
];
const PER_ITEM: u8 = 16;
/// The most characters of a name in a report.
const MAX_NAME: usize = 64;

/// What a span lacks, and why.
#[derive(Debug)]
pub(super) struct Shortage {
    name: String,
    cut: u16,
    left_out: [u32; 3],
    causes: u8,
}

impl Shortage {
    /// `None` for a span that is not exported.
    pub(super) fn of(recording: &Recording<Box<[u8]>>) -> Option<Self> {
        if !recording.is_sampled() {
            return None;
        }
        let (cut, left_out) = (recording.cut(), recording.dropped());
        let mut causes = if cut > 0 { MEMORY } else { 0 };
        for ((count, is_reached), (bit, _)) in left_out
            .into_iter()
            .zip(recording.limits_reached())
            .zip(LIMITS)
        {
            causes |= match (count, is_reached) {
                (0, _) => 0,
                (_, true) => bit,
                (_, false) => MEMORY,
            };
        }
        if causes == 0 {
            causes = PER_ITEM;
        }
        Some(Self {
            name: recording.name().chars().take(MAX_NAME).collect(),
            cut,
            left_out,
            causes,
        })
    }

    pub(super) const fn causes(&self) -> u8 {
        self.causes
    }

    /// Reports the causes among the bits `new`.
    pub(super) fn report(&self, new: u8, max_span_bytes: usize) {
        if new != 0 {
            diagnostics::report(
                Kind::SpanIncomplete,
                Severity::Warn,
                format_args!(
                    "{self}; {}",
                    Advice {
                        new,
                        max_span_bytes
                    }
                ),
            );
        }
    }
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [attributes, events, links] = self.left_out;
        write!(
            f,
            "span {:?} lacks some of what was set on it: {} cut; {attributes} attributes, {events} \
             events and {links} links left out",
            self.name, self.cut
        )
    }
}

/// What to do about the causes among the bits `new`.
struct Advice {
    new: u8,
    max_span_bytes: usize,
}

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.new & MEMORY != 0 {
            write!(
                f,
                "raise max_span_bytes (now {}), or cut long values evenly by limits.value.length \
                 (OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT); ",
                self.max_span_bytes
            )?;
        }
        for (bit, limit) in LIMITS {
            if self.new & bit != 0 {
                write!(f, "raise limits.{limit} if that is too few; ")?;
            }
        }
        f.write_str("this is said once")
    }
}
