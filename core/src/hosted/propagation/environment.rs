//! Environment variables as carriers: the context of a child process.
//!
//! The names are those of the headers, normalised: `TRACEPARENT`, `TRACESTATE`, `BAGGAGE`,
//! `X_B3_TRACEID`. Values are texts like any others, and bounded like those of headers.
//!
//! A parent sets them on a [`Command`] before it spawns, and a child reads them once, at its start:
//!
//! ```
//! use spandrel_core::hosted::propagation::environment::{EnvironmentGetter, EnvironmentSetter};
//! use spandrel_core::hosted::propagation::propagator;
//! use std::process::Command;
//!
//! // The parent, with a span current:
//! let mut import = Command::new("import");
//! propagator().inject(&mut EnvironmentSetter(&mut import));
//!
//! // The child:
//! let caller = propagator().extract(&EnvironmentGetter::of_process());
//! ```
//!
//! A child also inherits the variables of its parent, and injecting replaces only those for which the
//! context has a value. A program that was itself started with such variables, and begins a trace of
//! its own, removes them from the [`Command`] first, with `env_remove`.
//!
//! <https://opentelemetry.io/docs/specs/otel/context/env-carriers/>

use std::collections::BTreeMap;
use std::env;
use std::process::Command;
use std::string::String;

use crate::propagation::{Getter, Setter};

/// Returns the name of the variable for `key`: `A-Z`, `0-9` and `_`, with no digit in front.
/// Letters become upper-case, and everything else `_`.
///
/// ```
/// use spandrel_core::hosted::propagation::environment::variable_name;
///
/// assert_eq!(variable_name("x-b3-traceid"), "X_B3_TRACEID");
/// assert_eq!(variable_name("1a"), "_1A");
/// ```
#[must_use]
pub fn variable_name(key: &str) -> String {
    let mut name = String::with_capacity(key.len() + 1);
    if key.is_empty() || key.starts_with(|first: char| first.is_ascii_digit()) {
        name.push('_');
    }
    name.extend(key.chars().map(|c| match c.to_ascii_uppercase() {
        c @ ('A'..='Z' | '0'..='9' | '_') => c,
        _ => '_',
    }));
    name
}

/// Returns true if `name` is what [`variable_name`] gives for it.
fn is_normal(name: &str) -> bool {
    variable_name(name) == name
}

/// Variables with normal names, as they were when this was made. Others are not seen: a `traceparent`
/// in small letters is none.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentGetter(BTreeMap<String, String>);

impl EnvironmentGetter {
    /// The variables of this process. One whose value is no Unicode is left out.
    #[must_use]
    pub fn of_process() -> Self {
        let pairs = env::vars_os();
        pairs
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }
}

/// Any pairs of names and values.
impl<K: Into<String>, V: Into<String>> FromIterator<(K, V)> for EnvironmentGetter {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let pairs = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self(pairs.filter(|(name, _)| is_normal(name)).collect())
    }
}

impl Getter for EnvironmentGetter {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(&variable_name(key)).map(String::as_str)
    }

    fn keys<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        self.0.keys().for_each(|name| visit(name));
    }
}

/// Sets variables of a process that is about to be spawned.
#[derive(Debug)]
pub struct EnvironmentSetter<'a>(pub &'a mut Command);

impl Setter for EnvironmentSetter<'_> {
    fn set(&mut self, key: &str, value: &str) {
        self.0.env(variable_name(key), value);
    }
}
