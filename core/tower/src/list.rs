//! The attributes of a span that is about to start.

use spandrel_core::attribute::{KeyValue, Value};

/// The most attributes that a layer sets at the start.
const MOST: usize = 16;

/// Attributes without an allocation.
pub(crate) struct List<'a> {
    items: [KeyValue<'a>; MOST],
    len: usize,
}

impl<'a> List<'a> {
    pub(crate) const fn new() -> Self {
        Self {
            items: [KeyValue::str("", ""); MOST],
            len: 0,
        }
    }

    pub(crate) fn push(&mut self, key: &'a str, value: impl Into<Value<'a>>) {
        if let Some(place) = self.items.get_mut(self.len) {
            *place = KeyValue::new(key, value);
            self.len += 1;
        }
    }

    /// Adds an attribute that may not be known.
    pub(crate) fn push_some(&mut self, key: &'a str, value: Option<impl Into<Value<'a>>>) {
        if let Some(value) = value {
            self.push(key, value);
        }
    }

    pub(crate) fn as_slice(&self) -> &[KeyValue<'a>] {
        self.items.get(..self.len).unwrap_or_default()
    }
}
