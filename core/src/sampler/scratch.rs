//! Memory for what a sampler computes.

use core::cell::OnceCell;
use core::fmt;
#[cfg(feature = "std")]
use std::boxed::Box;
#[cfg(feature = "std")]
use std::string::String;

use crate::attribute::KeyValue;
use crate::context::TraceState;

/// Memory that a sampler can leave a computed tracestate or attributes in, so that a
/// [`SamplingResult`](super::SamplingResult) only borrows and stays small.
///
/// The tracer makes one for each question and drops it when the span has copied what it needs. An
/// unused one costs nothing that can be measured.
///
/// On a device it holds one tracestate and four attributes. With the feature `std` it keeps up to
/// 64 items of any kind on the heap.
///
/// ```
/// use spandrel_core::context::TraceState;
/// use spandrel_core::sampler::SamplingScratch;
///
/// let scratch = SamplingScratch::new();
/// let state = TraceState::new().insert("shop", "tier-1")?;
/// assert_eq!(scratch.keep_trace_state(state), Some("shop=tier-1"));
/// # Ok::<(), spandrel_core::context::TraceStateError>(())
/// ```
#[derive(Default)]
pub struct SamplingScratch<'a> {
    #[cfg(feature = "std")]
    first: OnceCell<Box<Node<'a>>>,
    #[cfg(not(feature = "std"))]
    trace_state: OnceCell<TraceState>,
    #[cfg(not(feature = "std"))]
    attributes: OnceCell<Few<'a>>,
}

/// As many attributes as a device keeps. No type with a destructor, which could not be borrowed from
/// until it runs.
#[cfg(not(feature = "std"))]
struct Few<'a> {
    items: [KeyValue<'a>; 4],
    len: usize,
}

/// A link of the chain of kept items. None ever moves, so all can be borrowed while others come.
#[cfg(feature = "std")]
struct Node<'a> {
    item: Item<'a>,
    next: OnceCell<Box<Node<'a>>>,
}

#[cfg(feature = "std")]
enum Item<'a> {
    Text(Box<str>),
    Attributes(Box<[KeyValue<'a>]>),
}

/// The chain is dropped by recursion, so it has an end.
#[cfg(feature = "std")]
const MAX_ITEMS: usize = 64;

impl<'a> SamplingScratch<'a> {
    /// Empty memory.
    #[inline(always)]
    #[must_use]
    pub const fn new() -> Self {
        Self {
            #[cfg(feature = "std")]
            first: OnceCell::new(),
            #[cfg(not(feature = "std"))]
            trace_state: OnceCell::new(),
            #[cfg(not(feature = "std"))]
            attributes: OnceCell::new(),
        }
    }

    /// Keeps a tracestate and returns its text; `None` if there is no room left.
    pub fn keep_trace_state(&'a self, state: TraceState) -> Option<&'a str> {
        #[cfg(feature = "std")]
        return self.keep_text(state.as_str());
        #[cfg(not(feature = "std"))]
        {
            self.trace_state.set(state).ok()?;
            self.trace_state.get().map(TraceState::as_str)
        }
    }

    /// Keeps attributes, and returns them; `None` if there is no room left.
    pub fn keep_attributes(
        &'a self,
        attributes: impl IntoIterator<Item = KeyValue<'a>>,
    ) -> Option<&'a [KeyValue<'a>]> {
        #[cfg(feature = "std")]
        {
            let kept = self.keep(Item::Attributes(attributes.into_iter().collect()))?;
            match kept {
                Item::Attributes(attributes) => Some(attributes),
                Item::Text(_) => None,
            }
        }
        #[cfg(not(feature = "std"))]
        {
            let items = [KeyValue::bool("", false); 4];
            let mut few = Few { items, len: 0 };
            for attribute in attributes {
                *few.items.get_mut(few.len)? = attribute;
                few.len += 1;
            }
            self.attributes.set(few).ok()?;
            let few = self.attributes.get()?;
            few.items.get(..few.len)
        }
    }

    /// Keeps a text, for an attribute, and returns it; `None` after 64 items.
    #[cfg(feature = "std")]
    pub fn keep_text(&'a self, text: impl Into<String>) -> Option<&'a str> {
        match self.keep(Item::Text(text.into().into_boxed_str()))? {
            Item::Text(text) => Some(text),
            Item::Attributes(_) => None,
        }
    }

    #[cfg(feature = "std")]
    fn keep(&'a self, item: Item<'a>) -> Option<&'a Item<'a>> {
        let mut place = &self.first;
        let mut items = 0;
        while let Some(node) = place.get() {
            items += 1;
            place = &node.next;
        }
        if items >= MAX_ITEMS {
            return None;
        }
        let next = OnceCell::new();
        place.set(Box::new(Node { item, next })).ok()?;
        place.get().map(|node| &node.item)
    }
}

impl fmt::Debug for SamplingScratch<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SamplingScratch")
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for SamplingScratch<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "SamplingScratch");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_stays_while_more_comes() {
        let scratch = SamplingScratch::new();
        let state: TraceState = "a=1,b=2".parse().unwrap();
        assert_eq!(scratch.keep_trace_state(state), Some("a=1,b=2"));
        let attributes = [KeyValue::str("rule", "a"), KeyValue::i64("n", 1)];
        assert_eq!(scratch.keep_attributes(attributes), Some(&attributes[..]));
    }

    #[cfg(feature = "std")]
    #[test]
    fn the_heap_has_room_for_many_items_and_an_end() {
        let scratch = SamplingScratch::new();
        let text = scratch.keep_text("first").unwrap();
        let made = scratch.keep_attributes([KeyValue::str("rule", text)]);
        for n in 2..MAX_ITEMS {
            assert!(scratch.keep_text(std::format!("{n}")).is_some());
        }
        assert_eq!(scratch.keep_text("one too many"), None);
        assert_eq!(made, Some(&[KeyValue::str("rule", "first")][..]));
    }

    #[cfg(not(feature = "std"))]
    #[test]
    fn a_device_keeps_one_of_each() {
        let scratch = SamplingScratch::new();
        assert!(scratch.keep_trace_state(TraceState::new()).is_some());
        assert!(scratch.keep_trace_state(TraceState::new()).is_none());
        let five = [KeyValue::i64("n", 1); 5];
        assert!(scratch.keep_attributes(five).is_none());
        assert!(scratch.keep_attributes(five.into_iter().take(4)).is_some());
        assert!(scratch.keep_attributes([]).is_none());
    }
}
