//! Attribute keys and values, of [every kind] that OTLP has.
//!
//! Values borrow. A span copies them into its own bytes when they are set, so nothing has to
//! outlive the call:
//!
//! [every kind]: https://opentelemetry.io/docs/specs/otel/common/#anyvalue
//!
//! ```
//! use spandrel_core::attribute::{KeyValue, Value};
//!
//! let nested = [KeyValue::bool("k", true)];
//! let attributes = [
//!     KeyValue::new("http.request.method", "GET"),
//!     KeyValue::new("http.response.status_code", 200_i64),
//!     KeyValue::new("tags", &["a", "b"]),
//!     KeyValue::new("nested", &nested),
//! ];
//! assert_eq!(attributes[1].value, Value::I64(200));
//! ```

/// An attribute: a non-empty, case-sensitive key and its value.
///
/// An empty key is ignored by every setter.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct KeyValue<'a> {
    /// The key, preferably a name of the [semantic
    /// conventions](https://opentelemetry.io/docs/specs/semconv/) (`http.request.method`).
    pub key: &'a str,
    /// The value.
    pub value: Value<'a>,
}

impl<'a> KeyValue<'a> {
    /// An attribute of `key` and anything that converts into a [`Value`]. In a constant use
    /// [`KeyValue::str`] and its siblings.
    #[must_use]
    pub fn new(key: &'a str, value: impl Into<Value<'a>>) -> Self {
        Self {
            key,
            value: value.into(),
        }
    }

    /// An attribute with a text as its value.
    ///
    /// It can be made in a constant, which outlives the statement that uses it:
    ///
    /// ```
    /// use spandrel_core::attribute::KeyValue;
    /// use spandrel_core::tracer::SpanBuilder;
    ///
    /// let kind = const { &[KeyValue::str("sensor.kind", "thermometer")] };
    /// let builder = SpanBuilder::new("sensor.read").attributes(kind);
    /// ```
    #[must_use]
    pub const fn str(key: &'a str, value: &'a str) -> Self {
        Self {
            key,
            value: Value::String(value),
        }
    }

    /// An attribute with a signed integer as its value.
    #[must_use]
    pub const fn i64(key: &'a str, value: i64) -> Self {
        Self {
            key,
            value: Value::I64(value),
        }
    }

    /// An attribute with a boolean as its value.
    #[must_use]
    pub const fn bool(key: &'a str, value: bool) -> Self {
        Self {
            key,
            value: Value::Bool(value),
        }
    }

    /// An attribute with a double as its value.
    #[must_use]
    pub const fn f64(key: &'a str, value: f64) -> Self {
        Self {
            key,
            value: Value::F64(value),
        }
    }
}

/// The value of an attribute.
///
/// Zero values (`""`, `0`, `false`, an empty array, [`Value::Empty`]) are meaningful: they are
/// stored and exported like any other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Value<'a> {
    /// No value: null, an `AnyValue` without content.
    #[default]
    Empty,
    /// UTF-8 text.
    String(&'a str),
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer. OTLP has none: a value beyond `i64::MAX` is exported as its decimal
    /// digits, as the
    /// [specification](https://opentelemetry.io/docs/specs/otel/common/attribute-type-mapping/#integer-values)
    /// asks.
    U64(u64),
    /// A double.
    F64(f64),
    /// Raw bytes.
    Bytes(&'a [u8]),
    /// An array of text.
    Strings(&'a [&'a str]),
    /// An array of booleans.
    Bools(&'a [bool]),
    /// An array of signed integers.
    I64s(&'a [i64]),
    /// An array of doubles.
    F64s(&'a [f64]),
    /// An array of any values, nested down to [`ValueLimits::depth`].
    Array(&'a [Value<'a>]),
    /// A key-value list, nested down to [`ValueLimits::depth`]. When a key repeats, its last value
    /// wins.
    Map(&'a [KeyValue<'a>]),
}

/// By hand: the derived one is instantiated without end for a type that contains itself.
#[cfg(feature = "defmt")]
impl defmt::Format for Value<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        match self {
            Self::Empty => defmt::write!(f, "Empty"),
            Self::String(v) => defmt::write!(f, "String({=str:?})", v),
            Self::Bool(v) => defmt::write!(f, "Bool({=bool})", v),
            Self::I64(v) => defmt::write!(f, "I64({=i64})", v),
            Self::U64(v) => defmt::write!(f, "U64({=u64})", v),
            Self::F64(v) => defmt::write!(f, "F64({=f64})", v),
            Self::Bytes(v) => defmt::write!(f, "Bytes({=[u8]:x})", v),
            Self::Strings(v) => defmt::write!(f, "Strings({})", v),
            Self::Bools(v) => defmt::write!(f, "Bools({})", v),
            Self::I64s(v) => defmt::write!(f, "I64s({})", v),
            Self::F64s(v) => defmt::write!(f, "F64s({})", v),
            Self::Array(items) => {
                defmt::write!(f, "Array([");
                for item in *items {
                    item.format(f);
                    defmt::write!(f, ", ");
                }
                defmt::write!(f, "])");
            }
            Self::Map(entries) => {
                defmt::write!(f, "Map({{");
                for entry in *entries {
                    defmt::write!(f, "{=str:?}: ", entry.key);
                    entry.value.format(f);
                    defmt::write!(f, ", ");
                }
                defmt::write!(f, "}})");
            }
        }
    }
}

macro_rules! value_from {
    ($($source:ty => |$v:ident| $target:expr;)*) => {$(
        impl<'a> From<$source> for Value<'a> {
            fn from($v: $source) -> Self {
                $target
            }
        }
    )*};
}

value_from! {
    &'a str => |v| Value::String(v);
    &&'a str => |v| Value::String(v);
    bool => |v| Value::Bool(v);
    i64 => |v| Value::I64(v);
    i32 => |v| Value::I64(v.into());
    i16 => |v| Value::I64(v.into());
    i8 => |v| Value::I64(v.into());
    u32 => |v| Value::I64(v.into());
    u16 => |v| Value::I64(v.into());
    u8 => |v| Value::I64(v.into());
    u64 => |v| Value::U64(v);
    usize => |v| Value::U64(v as u64);
    f64 => |v| Value::F64(v);
    f32 => |v| Value::F64(v.into());
    &'a [u8] => |v| Value::Bytes(v);
    &'a [&'a str] => |v| Value::Strings(v);
    &'a [bool] => |v| Value::Bools(v);
    &'a [i64] => |v| Value::I64s(v);
    &'a [f64] => |v| Value::F64s(v);
    &'a [Value<'a>] => |v| Value::Array(v);
    &'a [KeyValue<'a>] => |v| Value::Map(v);
}

#[cfg(feature = "std")]
value_from! {
    &'a std::string::String => |v| Value::String(v);
    &'a std::borrow::Cow<'_, str> => |v| Value::String(v);
}

macro_rules! value_from_arrays {
    ($($item:ty => $variant:ident;)*) => {$(
        impl<'a, const N: usize> From<&'a [$item; N]> for Value<'a> {
            fn from(items: &'a [$item; N]) -> Self {
                Value::$variant(items)
            }
        }
    )*};
}

value_from_arrays! {
    u8 => Bytes;
    &'a str => Strings;
    bool => Bools;
    i64 => I64s;
    f64 => F64s;
    Value<'a> => Array;
    KeyValue<'a> => Map;
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Value::Empty, Into::into)
    }
}

/// The limits on one value, part of [`SpanLimits`](crate::limits::SpanLimits).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ValueLimits {
    /// The most characters of a text and bytes of a byte string. Longer ones are cut, at every
    /// level of nesting. `u32::MAX` means no limit. See the
    /// [specification](https://opentelemetry.io/docs/specs/otel/common/#attribute-limits).
    pub length: u32,
    /// The deepest level that is kept. A top-level value is level 1; a container below the limit
    /// becomes an empty value. Keep it at 64 or less: each level takes stack, and JSON is written
    /// for no more.
    pub depth: u8,
}

impl ValueLimits {
    /// The specification's defaults: no length limit, depth 64.
    pub const DEFAULT: Self = Self {
        length: u32::MAX,
        depth: 64,
    };
}

impl Default for ValueLimits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// Returns the first `limit` characters of `text`, or all of it if it has no more.
#[must_use]
pub fn truncate_chars(text: &str, limit: u32) -> &str {
    let limit = limit as usize;
    // A text of n bytes has at most n characters, so most need no count.
    if text.len() <= limit {
        return text;
    }
    match text.char_indices().nth(limit) {
        Some((end, _)) => text.get(..end).unwrap_or(text),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conversions_keep_the_value() {
        assert_eq!(Value::from(7_u8), Value::I64(7));
        assert_eq!(Value::from(u64::MAX), Value::U64(u64::MAX));
        assert_eq!(Value::from(None::<&str>), Value::Empty);
        assert_eq!(Value::from(Some("x")), Value::String("x"));
        assert_eq!(Value::from(0.5_f32), Value::F64(0.5));
    }

    #[test]
    fn borrowed_text_of_every_kind_is_text() {
        let expected = Value::String("x");
        assert_eq!(["x"].iter().map(Value::from).next(), Some(expected));
        #[cfg(feature = "std")]
        {
            use std::borrow::Cow;
            use std::string::String;
            let owned = String::from("x");
            assert_eq!(Value::from(&owned), expected);
            assert_eq!(Value::from(&Cow::Borrowed("x")), expected);
            assert_eq!(Value::from(&Cow::<str>::Owned(owned.clone())), expected);
        }
    }

    #[test]
    fn arrays_convert_like_their_slices() {
        assert_eq!(Value::from(&[1_u8, 2]), Value::Bytes(&[1, 2]));
        assert_eq!(Value::from(&["a", "b"]), Value::Strings(&["a", "b"]));
        assert_eq!(Value::from(&[true]), Value::Bools(&[true]));
        assert_eq!(Value::from(&[1_i64]), Value::I64s(&[1]));
        assert_eq!(Value::from(&[0.5]), Value::F64s(&[0.5]));
        let items = [Value::Empty];
        assert_eq!(Value::from(&items), Value::Array(&items));
        let entries = [KeyValue::i64("k", 1)];
        assert_eq!(Value::from(&entries), Value::Map(&entries));
    }

    #[test]
    fn constant_attributes_are_those_that_are_converted() {
        const ALL: &[KeyValue<'_>] = &[
            KeyValue::str("s", "x"),
            KeyValue::i64("i", -1),
            KeyValue::bool("b", true),
            KeyValue::f64("f", 0.5),
        ];
        let converted = [
            KeyValue::new("s", "x"),
            KeyValue::new("i", -1_i64),
            KeyValue::new("b", true),
            KeyValue::new("f", 0.5),
        ];
        assert_eq!(ALL, converted);
    }

    #[test]
    fn truncation_counts_characters_and_never_splits_one() {
        assert_eq!(truncate_chars("äöü", 2), "äö");
        assert_eq!(truncate_chars("äöü", 3), "äöü");
        assert_eq!(truncate_chars("äöü", 0), "");
        assert_eq!(truncate_chars("abc", u32::MAX), "abc");
        assert_eq!(truncate_chars("🦀🦀", 1), "🦀");
    }
}
