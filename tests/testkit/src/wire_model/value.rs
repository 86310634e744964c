//! Attribute values as owned data, as what the API takes, and as what must be on the wire.

use arbitrary::{Arbitrary, Result, Unstructured};
use bumpalo::Bump;
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use spandrel_core::attribute::{self, Value, ValueLimits};

use super::gen_text::{key, text};

/// Attributes of a span, an event, a link or a map.
pub type Attributes = Vec<(String, ModelValue)>;

/// A [`Value`] that owns what it holds.
#[derive(Clone, Debug, PartialEq)]
pub enum ModelValue {
    /// No value.
    Empty,
    /// Text.
    String(String),
    /// A boolean.
    Bool(bool),
    /// A signed integer.
    I64(i64),
    /// An unsigned integer.
    U64(u64),
    /// A double.
    F64(f64),
    /// Bytes.
    Bytes(Vec<u8>),
    /// An array of text.
    Strings(Vec<String>),
    /// An array of booleans.
    Bools(Vec<bool>),
    /// An array of signed integers.
    I64s(Vec<i64>),
    /// An array of doubles.
    F64s(Vec<f64>),
    /// An array of anything.
    Array(Vec<Self>),
    /// A map.
    Map(Attributes),
}

impl ModelValue {
    /// This value inside of `levels` arrays and maps.
    #[must_use]
    pub fn nested(self, levels: usize) -> Self {
        (0..levels).fold(self, |value, level| {
            if level % 3 == 0 {
                Self::Map(vec![("k".into(), value)])
            } else {
                Self::Array(vec![value])
            }
        })
    }

    fn generate(u: &mut Unstructured<'_>, levels: u32) -> Result<Self> {
        let last = if levels == 0 { 10 } else { 13 };
        Ok(match u.int_in_range(0..=last)? {
            0 => Self::Empty,
            1 | 2 => Self::String(text(u)?),
            3 => Self::Bool(u.arbitrary()?),
            4 => Self::I64(integer(u)?),
            5 => Self::U64(integer(u)? as u64),
            6 => Self::F64(u.arbitrary()?),
            7 => Self::Bytes(few(u, |u| u.arbitrary())?),
            8 => Self::Strings(few(u, text)?),
            9 => match u.int_in_range(0..=1)? {
                0 => Self::Bools(few(u, |u| u.arbitrary())?),
                _ => Self::F64s(few(u, |u| u.arbitrary())?),
            },
            10 => Self::I64s(few(u, integer)?),
            11 => Self::Array(few(u, |u| Self::generate(u, levels - 1))?),
            12 => Self::Map(few(u, |u| Ok((key(u)?, Self::generate(u, levels - 1)?)))?),
            // The official decoder stops at 100 nested messages, two for each of these levels.
            _ => Self::I64(integer(u)?).nested(u.int_in_range(1..=36)?),
        })
    }
}

impl ModelValue {
    /// The elements of an array or a map.
    pub(super) const fn elements(&self) -> usize {
        match self {
            Self::Strings(v) => v.len(),
            Self::Bools(v) => v.len(),
            Self::I64s(v) => v.len(),
            Self::F64s(v) => v.len(),
            Self::Array(v) => v.len(),
            Self::Map(v) => v.len(),
            _ => 0,
        }
    }

    /// An array or a map of no more than `count` elements. A map keeps no value that is not the last
    /// one of its key.
    pub(super) fn first(&self, count: usize) -> Self {
        let mut value = self.clone();
        match &mut value {
            Self::Strings(v) => v.truncate(count),
            Self::Bools(v) => v.truncate(count),
            Self::I64s(v) => v.truncate(count),
            Self::F64s(v) => v.truncate(count),
            Self::Array(v) => v.truncate(count),
            Self::Map(v) => {
                let is_last = |count: &usize| {
                    let (kept, rest) = v.split_at(*count);
                    let is_later = |key| rest.iter().any(|(other, _)| other == key);
                    !kept.iter().any(|(key, _)| is_later(key))
                };
                let count = (0..=count.min(v.len())).rev().find(is_last);
                v.truncate(count.unwrap_or_default());
            }
            _ => {}
        }
        value
    }
}

impl<'a> Arbitrary<'a> for ModelValue {
    fn arbitrary(u: &mut Unstructured<'a>) -> Result<Self> {
        Self::generate(u, 4)
    }
}

/// Integers of all widths, not mostly huge ones.
fn integer(u: &mut Unstructured<'_>) -> Result<i64> {
    let value: i64 = u.arbitrary()?;
    Ok(value >> u.int_in_range(0..=63)?)
}

/// Up to four, or once in a while a few more.
pub(super) fn few<'a, T>(
    u: &mut Unstructured<'a>,
    mut one: impl FnMut(&mut Unstructured<'a>) -> Result<T>,
) -> Result<Vec<T>> {
    let count = match u.int_in_range(0..=19)? {
        19 => 9,
        n => n % 5,
    };
    (0..count).map(|_| one(u)).collect()
}

/// A list of attributes.
///
/// # Errors
///
/// Those of the source of bytes.
pub fn attributes(u: &mut Unstructured<'_>) -> Result<Attributes> {
    few(u, |u| Ok((key(u)?, u.arbitrary()?)))
}

/// The same attributes as the API takes them.
#[must_use]
pub fn borrow<'b>(bump: &'b Bump, attributes: &'b Attributes) -> &'b [attribute::KeyValue<'b>] {
    bump.alloc_slice_fill_iter(attributes.iter().map(|(key, value)| attribute::KeyValue {
        key,
        value: value.borrow(bump),
    }))
}

impl ModelValue {
    /// The same value as the API takes it.
    #[must_use]
    pub fn borrow<'b>(&'b self, bump: &'b Bump) -> Value<'b> {
        match self {
            Self::Empty => Value::Empty,
            Self::String(v) => Value::String(v),
            Self::Bool(v) => Value::Bool(*v),
            Self::I64(v) => Value::I64(*v),
            Self::U64(v) => Value::U64(*v),
            Self::F64(v) => Value::F64(*v),
            Self::Bytes(v) => Value::Bytes(v),
            Self::Strings(v) => Value::Strings(bump.alloc_slice_fill_iter(v.iter().map(|s| &**s))),
            Self::Bools(v) => Value::Bools(v),
            Self::I64s(v) => Value::I64s(v),
            Self::F64s(v) => Value::F64s(v),
            Self::Array(v) => {
                Value::Array(bump.alloc_slice_fill_iter(v.iter().map(|item| item.borrow(bump))))
            }
            Self::Map(v) => Value::Map(borrow(bump, v)),
        }
    }
}

/// What must be on the wire for `value` under `limits`.
#[must_use]
pub fn any_value(value: &ModelValue, limits: ValueLimits) -> AnyValue {
    let ValueLimits { length, depth } = limits;
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    let cut = |text: &str| Any::StringValue(text.chars().take(length).collect());
    let array = |values: Vec<AnyValue>| Any::ArrayValue(ArrayValue { values });
    let some = |value| AnyValue { value: Some(value) };
    let is_container = matches!(
        value,
        ModelValue::Strings(_)
            | ModelValue::Bools(_)
            | ModelValue::I64s(_)
            | ModelValue::F64s(_)
            | ModelValue::Array(_)
            | ModelValue::Map(_)
    );
    if is_container && depth == 0 {
        return AnyValue { value: None };
    }
    let below = ValueLimits {
        depth: depth.saturating_sub(1),
        ..limits
    };
    some(match value {
        ModelValue::Empty => return AnyValue { value: None },
        ModelValue::String(v) => cut(v),
        ModelValue::Bool(v) => Any::BoolValue(*v),
        ModelValue::I64(v) => Any::IntValue(*v),
        ModelValue::U64(v) => match i64::try_from(*v) {
            Ok(v) => Any::IntValue(v),
            Err(_) => cut(&v.to_string()),
        },
        ModelValue::F64(v) => Any::DoubleValue(*v),
        ModelValue::Bytes(v) => Any::BytesValue(v.iter().copied().take(length).collect()),
        ModelValue::Strings(v) => array(v.iter().map(|v| some(cut(v))).collect()),
        ModelValue::Bools(v) => array(v.iter().map(|v| some(Any::BoolValue(*v))).collect()),
        ModelValue::I64s(v) => array(v.iter().map(|v| some(Any::IntValue(*v))).collect()),
        ModelValue::F64s(v) => array(v.iter().map(|v| some(Any::DoubleValue(*v))).collect()),
        ModelValue::Array(v) => array(v.iter().map(|v| any_value(v, below)).collect()),
        ModelValue::Map(entries) => Any::KvlistValue(KeyValueList {
            values: last_of_each(entries)
                .into_iter()
                .map(|(key, value)| key_value(key, value, below))
                .collect(),
        }),
    })
}

pub(super) fn key_value(key: &str, value: &ModelValue, limits: ValueLimits) -> KeyValue {
    KeyValue {
        key: key.into(),
        value: Some(any_value(value, limits)),
        ..KeyValue::default()
    }
}

/// The entries whose key does not come again.
pub(super) fn last_of_each(entries: &Attributes) -> Vec<(&String, &ModelValue)> {
    let mut kept: Vec<(&String, &ModelValue)> = Vec::new();
    for (key, value) in entries {
        kept.retain(|(other, _)| *other != key);
        kept.push((key, value));
    }
    kept
}
