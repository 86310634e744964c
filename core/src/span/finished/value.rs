//! Attributes and their values.

use core::fmt;

use super::{fields, find, next_message, text};
use crate::attribute::{KeyValue, Value};
use crate::wire::FieldValue;

/// The most levels of arrays and maps that are read. A span that was recorded here has no more:
/// [`ValueLimits::depth`](crate::attribute::ValueLimits::depth) is a byte.
const MAX_DEPTH: u8 = u8::MAX;

/// An attribute of a finished span, an event, a link, a scope or a resource.
#[derive(Clone, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Attribute<'a> {
    /// The key.
    pub key: &'a str,
    /// The value.
    pub value: AnyValue<'a>,
}

/// `key=value`.
impl fmt::Debug for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={:?}", self.key, self.value)
    }
}

impl PartialEq<KeyValue<'_>> for Attribute<'_> {
    fn eq(&self, other: &KeyValue<'_>) -> bool {
        self.key == other.key && self.value == other.value
    }
}

/// Reads the content of a `KeyValue`.
fn read_attribute(message: &[u8], depth: u8) -> Attribute<'_> {
    let value = find(message, 2).unwrap_or_default();
    Attribute {
        key: text(find(message, 1)),
        value: AnyValue::read(value, depth),
    }
}

/// A value as it was recorded. Arrays and maps are read as they are iterated.
///
/// Of the kinds of [`Value`] that it was set with it keeps what OTLP can say: a `u64` beyond
/// `i64::MAX` is text, and an array of a known type is an array.
#[derive(Clone, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum AnyValue<'a> {
    /// A value that is empty.
    Empty,
    /// Text.
    String(&'a str),
    /// A truth value.
    Bool(bool),
    /// An integer.
    I64(i64),
    /// A floating-point number.
    F64(f64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// Values one after the other.
    Array(Values<'a>),
    /// Values by key.
    Map(Attributes<'a>),
}

impl<'a> AnyValue<'a> {
    /// Reads the content of an `AnyValue`, in which `depth` more levels are read.
    fn read(message: &'a [u8], depth: u8) -> Self {
        let value = fields(message).find_map(|field| {
            Some(match field {
                (1, FieldValue::Bytes(bytes)) => Self::String(text(Some(bytes))),
                (2, FieldValue::Varint(value)) => Self::Bool(value != 0),
                (3, FieldValue::Varint(value)) => Self::I64(value as i64),
                (4, FieldValue::Fixed64(bits)) => Self::F64(f64::from_bits(bits)),
                (5 | 6, FieldValue::Bytes(_)) if depth == 0 => Self::Empty,
                (5, FieldValue::Bytes(rest)) => Self::Array(Values {
                    rest,
                    depth: depth - 1,
                }),
                (6, FieldValue::Bytes(rest)) => Self::Map(Attributes {
                    rest,
                    number: 1,
                    depth: depth - 1,
                }),
                (7, FieldValue::Bytes(bytes)) => Self::Bytes(bytes),
                _ => return None,
            })
        });
        value.unwrap_or(Self::Empty)
    }

    /// The same as what a span is set with, unless it is an array or a map.
    #[cfg(feature = "std")]
    pub(crate) const fn flat(&self) -> Option<Value<'a>> {
        Some(match self {
            Self::Empty => Value::Empty,
            Self::String(text) => Value::String(text),
            Self::Bool(value) => Value::Bool(*value),
            Self::I64(value) => Value::I64(*value),
            Self::F64(value) => Value::F64(*value),
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Array(_) | Self::Map(_) => return None,
        })
    }

    /// Returns the text, if it is text.
    #[must_use]
    pub const fn as_str(&self) -> Option<&'a str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the truth value, if it is one.
    #[must_use]
    pub const fn as_bool(&self) -> Option<bool> {
        match self {
            Self::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the integer, if it is one.
    #[must_use]
    pub const fn as_i64(&self) -> Option<i64> {
        match self {
            Self::I64(value) => Some(*value),
            _ => None,
        }
    }

    /// Returns the floating-point number, if it is one.
    #[must_use]
    pub const fn as_f64(&self) -> Option<f64> {
        match self {
            Self::F64(value) => Some(*value),
            _ => None,
        }
    }
}

/// The bare value: `"text"`, `7`, `[1, 2]`, `{a=1}`.
impl fmt::Debug for AnyValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::String(text) => fmt::Debug::fmt(text, f),
            Self::Bool(value) => fmt::Debug::fmt(value, f),
            Self::I64(value) => fmt::Debug::fmt(value, f),
            Self::F64(value) => fmt::Debug::fmt(value, f),
            Self::Bytes(bytes) => fmt::Debug::fmt(bytes, f),
            Self::Array(values) => fmt::Debug::fmt(values, f),
            Self::Map(entries) => fmt::Debug::fmt(entries, f),
        }
    }
}

/// Equal if the value was recorded from `other`, whole. Of a map of `other` with a repeated key the
/// last entry counts.
impl PartialEq<Value<'_>> for AnyValue<'_> {
    fn eq(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Self::Empty, Value::Empty) => true,
            (Self::String(a), Value::String(b)) => a == b,
            (Self::Bool(a), Value::Bool(b)) => a == b,
            (Self::I64(a), Value::I64(b)) => a == b,
            (Self::I64(a), Value::U64(b)) => u64::try_from(*a) == Ok(*b),
            (Self::String(a), Value::U64(b)) => *b > i64::MAX as u64 && a.parse() == Ok(*b),
            (Self::F64(a), Value::F64(b)) => a.to_bits() == b.to_bits(),
            (Self::Bytes(a), Value::Bytes(b)) => a == b,
            (Self::Array(a), Value::Strings(b)) => a.are(b, |a, b| a.as_str() == Some(*b)),
            (Self::Array(a), Value::Bools(b)) => a.are(b, |a, b| a.as_bool() == Some(*b)),
            (Self::Array(a), Value::I64s(b)) => a.are(b, |a, b| a.as_i64() == Some(*b)),
            (Self::Array(a), Value::F64s(b)) => a.are(b, |a, b| *a == Value::F64(*b)),
            (Self::Array(a), Value::Array(b)) => a.are(b, |a, b| a == b),
            (Self::Map(a), Value::Map(b)) => {
                let kept = b.iter().enumerate().filter(|(at, entry)| {
                    let mut later = b.iter().skip(at + 1);
                    !later.any(|later| later.key == entry.key)
                });
                let mut entries = a.clone();
                let mut kept = kept.map(|(_, entry)| entry);
                kept.all(|b| entries.next().is_some_and(|a| a == *b)) && entries.next().is_none()
            }
            _ => false,
        }
    }
}

/// The values of an array, in order.
#[derive(Clone, PartialEq)]
pub struct Values<'a> {
    rest: &'a [u8],
    depth: u8,
}

impl Values<'_> {
    fn are<T>(&self, others: &[T], same: impl Fn(&AnyValue<'_>, &T) -> bool) -> bool {
        let mut values = self.clone();
        let mut others = others.iter();
        others.all(|b| values.next().is_some_and(|a| same(&a, b))) && values.next().is_none()
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Values<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "[");
        for item in self.clone() {
            defmt::write!(f, "{}, ", item);
        }
        defmt::write!(f, "]");
    }
}

impl<'a> Iterator for Values<'a> {
    type Item = AnyValue<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let message = next_message(&mut self.rest, 1)?;
        Some(AnyValue::read(message, self.depth))
    }
}

/// `[1, 2]`.
impl fmt::Debug for Values<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.clone()).finish()
    }
}

/// Attributes, or the entries of a map, in order. Of a key there is one, unless the bytes are not
/// Spandrel's.
#[derive(Clone, PartialEq)]
pub struct Attributes<'a> {
    rest: &'a [u8],
    number: u32,
    depth: u8,
}

#[cfg(feature = "std")]
impl<'a> Attribute<'a> {
    /// Reads the content of a `KeyValue`.
    pub(crate) fn of(message: &'a [u8]) -> Self {
        read_attribute(message, MAX_DEPTH)
    }
}

impl<'a> Attributes<'a> {
    /// The attributes in the fields `number` of `message`.
    pub(super) const fn new(message: &'a [u8], number: u32) -> Self {
        Self {
            rest: message,
            number,
            depth: MAX_DEPTH,
        }
    }

    /// Returns the value of `key` among those that are still to come.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<AnyValue<'a>> {
        let mut rest = self.clone();
        Some(rest.find(|attribute| attribute.key == key)?.value)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for Attributes<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "[");
        for item in self.clone() {
            defmt::write!(f, "{}, ", item);
        }
        defmt::write!(f, "]");
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let message = next_message(&mut self.rest, self.number)?;
        Some(read_attribute(message, self.depth))
    }
}

/// `{key=1, other="b"}`.
impl fmt::Debug for Attributes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.clone()).finish()
    }
}
