//! Hostile headers cost no more than the limits allow (fault I1).

use std::ops::ControlFlow;

use spandrel_core::context::ParentContext;
use spandrel_core::propagation::{
    Extracted, Getter, TextMapPropagator, TraceContextPropagator, parse_traceparent,
};

use super::tracestate;

/// A carrier that counts how many values were taken from it.
struct Lines<'v> {
    traceparents: &'v [&'v str],
    tracestates: &'v [&'v str],
    taken: std::cell::Cell<usize>,
}

impl Getter for Lines<'_> {
    fn get(&self, _: &str) -> Option<&str> {
        // The first value alone cannot show a repeated header, so nobody asks for it.
        None
    }

    fn get_all<'a>(&'a self, key: &str, visit: &mut dyn FnMut(&'a str) -> ControlFlow<()>) {
        let lines = match key {
            "traceparent" => self.traceparents,
            _ => self.tracestates,
        };
        for line in lines {
            self.taken.set(self.taken.get() + 1);
            if visit(line).is_break() {
                return;
            }
        }
    }

    fn keys<'a>(&'a self, _: &mut dyn FnMut(&'a str)) {}
}

fn extract(traceparents: &[&str], tracestates: &[&str]) -> (Option<Extracted>, usize) {
    let lines = Lines {
        traceparents,
        tracestates,
        taken: std::cell::Cell::new(0),
    };
    let extracted = TraceContextPropagator.extract(&lines);
    (extracted, lines.taken.get())
}

const VALID: &str = "00-12345678901234567890123456789012-1234567890123456-01";

#[test]
fn a_traceparent_of_a_megabyte_is_invalid() {
    let blanks = " ".repeat(1 << 20);
    for value in [
        "0".repeat(1 << 20),
        "\0".repeat(1 << 20),
        format!("{blanks}{VALID}"),
        format!("{VALID}{blanks}"),
        format!("{VALID}{blanks}x"),
        blanks,
    ] {
        assert!(parse_traceparent(&value).is_err());
        assert_eq!(extract(&[&value], &[]).0, None);
    }
    // Of a later version only the known part is read, whatever follows.
    let future = format!("cc{}-{}", &VALID[2..], "x".repeat(1 << 20));
    assert!(parse_traceparent(future).is_ok());
}

#[test]
fn a_second_traceparent_ends_the_reading() {
    let (extracted, taken) = extract(&[VALID; 100_000], &["a=1"; 100_000]);
    assert_eq!((extracted, taken), (None, 2));
}

#[test]
fn too_many_members_end_the_reading() {
    let (extracted, taken) = extract(&[VALID], &["a=1"; 100_000]);
    assert!(extracted.unwrap().trace_state.is_empty());
    assert_eq!(taken, 1 + 33);
}

#[test]
fn a_bad_member_ends_the_reading() {
    let (extracted, taken) = extract(&[VALID], &["a=1", "B=2", "c=3"]);
    assert!(extracted.unwrap().trace_state.is_empty());
    assert_eq!(taken, 1 + 2);
}

#[test]
fn empty_lines_are_read_up_to_a_bound() {
    let (extracted, taken) = extract(&[VALID], &[""; 100_000]);
    assert!(extracted.unwrap().trace_state.is_empty());
    assert!(taken < 40_000, "{taken}");
}

#[test]
fn a_tracestate_of_a_megabyte_is_dropped() {
    for value in [
        "a=1,".repeat(1 << 18),
        ",".repeat(1 << 20),
        " ".repeat(1 << 20),
        "a".repeat(1 << 20),
        format!("a={}", "x".repeat(1 << 20)),
    ] {
        assert_eq!(tracestate(&[&value]), "");
        // Nor can it get out by way of a parent.
        let mut set = Vec::new();
        let mut carrier = |name: &str, _: &str| set.push(name.to_owned());
        let context = ParentContext {
            span_context: parse_traceparent(VALID).unwrap(),
            trace_state: &value,
        };
        TraceContextPropagator.inject(context, &mut carrier);
        assert_eq!(set, ["traceparent"]);
    }
}
