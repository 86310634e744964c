//! What a span must look like on the wire: a naive model over the official OTLP types.
//!
//! A *script* is a list of calls of the public API as plain, owned data ([`SpanScript`]). It is
//! run twice: against Spandrel, and against [`SpanModel`], which keeps lists of the official
//! structs and applies the rules of the specification in the plainest form. What comes out of the
//! pipeline and is decoded by the official types must be what the model holds.
//!
//! Scripts are made from bytes, so that property tests and fuzzers share one generator. It prefers
//! what breaks encoders: few different keys, empty text, characters of several bytes, lengths
//! around 128, limits and scratch that are barely large enough or not.

mod gen_text;
mod pull;
mod request;
mod script;
mod size;
mod span;
mod value;
mod view;

pub use gen_text::{key, text};
pub use pull::{decode, pull};
pub use request::{Answer, RequestScript, ScopeScript, Sightings, Step};
pub use script::{LinkScript, Op, ParentScript, SamplerScript, ScriptError, SpanScript, Started};
pub use size::{field, record_size};
pub use span::SpanModel;
pub use value::{Attributes, ModelValue, any_value, attributes, borrow};
pub use view::official;

use std::fmt::Debug;

use prost::Message;

/// Asserts that two messages are the same, comparing bytes, so that not-a-number equals itself.
///
/// # Panics
///
/// When they differ, showing where.
pub fn assert_same<M: Message + Debug>(actual: &M, expected: &M, what: &str) {
    if actual.encode_to_vec() == expected.encode_to_vec() {
        return;
    }
    let (actual, expected) = (format!("{actual:?}"), format!("{expected:?}"));
    let pairs = actual.chars().zip(expected.chars());
    let same = pairs.take_while(|(a, b)| a == b).count();
    let around = |text: &str| -> String {
        let from = same.saturating_sub(200);
        text.chars().skip(from).take(400).collect()
    };
    panic!(
        "{what} differs:\n  actual: ..{}\nexpected: ..{}",
        around(&actual),
        around(&expected)
    );
}
