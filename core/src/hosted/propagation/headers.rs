//! The headers of the crate `http` as a carrier.

use core::ops::ControlFlow;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::propagation::{Getter, Setter};

/// Stands for a value that is no text: present, and not valid.
const NO_TEXT: &str = "\u{fffd}";

/// Headers of a request, of `http`, hyper, axum, reqwest or tower; of tonic by `metadata.as_ref()`.
impl Getter for HeaderMap {
    fn get(&self, key: &str) -> Option<&str> {
        Some(self.get(key)?.to_str().unwrap_or(NO_TEXT))
    }

    fn get_all<'a>(&'a self, key: &str, visit: &mut dyn FnMut(&'a str) -> ControlFlow<()>) {
        let values = self.get_all(key).iter();
        let _ = values
            .map(|value| value.to_str().unwrap_or(NO_TEXT))
            .try_for_each(visit);
    }

    fn keys<'a>(&'a self, visit: &mut dyn FnMut(&'a str)) {
        self.keys().for_each(|name| visit(name.as_str()));
    }
}

/// As the implementation for reading. Names become lower-case, as they are in such a map.
impl Setter for HeaderMap {
    fn set(&mut self, key: &str, value: &str) {
        let name = HeaderName::from_bytes(key.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            self.insert(name, value);
        }
    }
}
