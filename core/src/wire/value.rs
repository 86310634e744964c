//! Writing attributes: the messages `KeyValue` and `AnyValue`.
//!
//! A length pass and a write pass. The length of a flat value, as nearly all attributes are, is
//! arithmetic on known sizes. Arrays and lists are walked by the same code in both passes, first
//! with a writer that only measures. They recurse, at most [`ValueLimits::depth`] (64) levels.

use super::{BYTES, FIXED64, VARINT, Writer, copy_short, field_len, tag, varint_len};
use crate::attribute::{KeyValue, Value, ValueLimits, truncate_chars};
use crate::time::divide;

/// The decimal digits of an integer beyond `i64::MAX`.
struct Digits {
    bytes: [u8; 20],
    start: usize,
}

impl Digits {
    fn new(mut value: u64) -> Self {
        let mut digits = Self {
            bytes: [b'0'; 20],
            start: 20,
        };
        while value > 0 && digits.start > 0 {
            digits.start -= 1;
            let (tenth, digit) = divide(value, 10);
            if let Some(byte) = digits.bytes.get_mut(digits.start) {
                *byte = b'0' + digit as u8;
            }
            value = tenth;
        }
        digits
    }

    fn as_bytes(&self) -> &[u8] {
        self.bytes.get(self.start..).unwrap_or_default()
    }
}

fn cut(bytes: &[u8], limits: ValueLimits) -> &[u8] {
    bytes.get(..limits.length as usize).unwrap_or(bytes)
}

const fn deeper(limits: ValueLimits) -> ValueLimits {
    ValueLimits {
        depth: limits.depth.saturating_sub(1),
        ..limits
    }
}

/// Returns true if a later entry of `entries` has the key of entry `index`.
fn is_superseded(entries: &[KeyValue<'_>], index: usize) -> bool {
    let Some((entry, later)) = entries.get(index..).and_then(<[_]>::split_first) else {
        return false;
    };
    later.iter().any(|other| other.key == entry.key)
}

/// Length of the content of an `AnyValue`.
#[inline]
fn any_value_len(value: &Value<'_>, limits: ValueLimits) -> usize {
    match value {
        Value::Empty => 0,
        Value::String(text) => field_len(truncate_chars(text, limits.length).len()),
        Value::Bool(_) => 2,
        Value::I64(v) => 1 + varint_len(*v as u64),
        Value::U64(v) => match i64::try_from(*v) {
            Ok(v) => 1 + varint_len(v as u64),
            Err(_) => field_len(cut(Digits::new(*v).as_bytes(), limits).len()),
        },
        Value::F64(_) => 9,
        Value::Bytes(bytes) => field_len(cut(bytes, limits).len()),
        // A container below the depth limit becomes an empty value.
        _ if limits.depth == 0 => 0,
        _ => field_len(container_len(value, deeper(limits))),
    }
}

/// Length of the content of an `ArrayValue` or a `KeyValueList`, as [`put_container`] writes it.
#[inline(never)]
fn container_len(value: &Value<'_>, limits: ValueLimits) -> usize {
    let mut writer = Writer::measuring();
    put_container(&mut writer, value, limits);
    writer.measured()
}

/// Length of the content of a `KeyValue`.
#[inline]
pub(crate) fn key_value_len(key: &str, value: &Value<'_>, limits: ValueLimits) -> usize {
    field_len(key.len()) + field_len(any_value_len(value, limits))
}

/// Writes the content of a `KeyValue`.
#[inline]
pub(crate) fn put_key_value(
    writer: &mut Writer<'_>,
    key: &str,
    value: &Value<'_>,
    limits: ValueLimits,
) {
    writer.put_bytes_field(1, key.as_bytes());
    writer.put_header(2, any_value_len(value, limits));
    put_any_value(writer, value, limits);
}

#[inline]
fn put_any_value(writer: &mut Writer<'_>, value: &Value<'_>, limits: ValueLimits) {
    match value {
        Value::Empty => {}
        Value::String(text) => {
            writer.put_bytes_field(1, truncate_chars(text, limits.length).as_bytes());
        }
        Value::Bool(v) => writer.put(&[tag(2, VARINT), u8::from(*v)]),
        Value::I64(v) => put_int(writer, *v),
        Value::U64(v) => match i64::try_from(*v) {
            Ok(v) => put_int(writer, v),
            Err(_) => writer.put_bytes_field(1, cut(Digits::new(*v).as_bytes(), limits)),
        },
        Value::F64(v) => put_double(writer, *v),
        Value::Bytes(bytes) => writer.put_bytes_field(7, cut(bytes, limits)),
        _ if limits.depth == 0 => {}
        _ => {
            let field = if matches!(value, Value::Map(_)) { 6 } else { 5 };
            writer.put_header(field, container_len(value, deeper(limits)));
            put_container(writer, value, deeper(limits));
        }
    }
}

/// The length of a whole attribute field, tag included, if every length in it takes one byte and
/// nothing has to be cut, as for nearly all attributes. `None` for the others, which take the
/// general way.
#[inline(always)]
pub(crate) fn short_attribute_len(
    key: &str,
    value: &Value<'_>,
    limits: ValueLimits,
) -> Option<usize> {
    let short = |text: &str| text.len() < 0x80;
    let value = match value {
        Value::String(text) if short(text) && text.len() <= limits.length as usize => {
            2 + text.len()
        }
        Value::Bool(_) => 2,
        Value::I64(v) => 1 + varint_len(*v as u64),
        Value::F64(_) => 9,
        _ => return None,
    };
    let content = 2 + key.len() + 2 + value;
    (short(key) && content < 0x80).then_some(2 + content)
}

/// Writes an attribute for which [`short_attribute_len`] gave the length of `target`.
#[inline(always)]
pub(crate) fn put_short_attribute(target: &mut [u8], field: u8, key: &str, value: &Value<'_>) {
    // A length that does not match would leave the field unfinished; property tests hold these two
    // functions together.
    let _ = try_put_short(target, field, key.as_bytes(), value);
}

#[inline(always)]
fn try_put_short(target: &mut [u8], field: u8, key: &[u8], value: &Value<'_>) -> Option<()> {
    let content = (target.len() - 2) as u8;
    let (start, rest) = target.split_first_chunk_mut::<4>()?;
    *start = [tag(field, BYTES), content, tag(1, BYTES), key.len() as u8];
    let (name, rest) = rest.split_at_mut_checked(key.len())?;
    copy_short(name, key);
    let len = rest.len() as u8 - 2;
    match value {
        Value::String(text) => {
            let (start, rest) = rest.split_first_chunk_mut::<4>()?;
            *start = [tag(2, BYTES), len, tag(1, BYTES), text.len() as u8];
            copy_short(rest.get_mut(..text.len())?, text.as_bytes());
        }
        Value::Bool(v) => {
            *rest.first_chunk_mut::<4>()? = [tag(2, BYTES), len, tag(2, VARINT), u8::from(*v)];
        }
        Value::I64(v) => {
            let (start, rest) = rest.split_first_chunk_mut::<3>()?;
            *start = [tag(2, BYTES), len, tag(3, VARINT)];
            let mut left = *v as u64;
            if let [byte] = rest {
                *byte = left as u8;
                return Some(());
            }
            for byte in rest {
                *byte = left as u8 | 0x80;
                left >>= 7;
                if left == 0 {
                    *byte &= 0x7f;
                }
            }
        }
        Value::F64(v) => {
            let (start, rest) = rest.split_first_chunk_mut::<3>()?;
            *start = [tag(2, BYTES), len, tag(4, FIXED64)];
            *rest.first_chunk_mut::<8>()? = v.to_le_bytes();
        }
        _ => {}
    }
    Some(())
}

fn put_int(writer: &mut Writer<'_>, value: i64) {
    writer.put_byte(tag(3, VARINT));
    writer.put_varint(value as u64);
}

fn put_double(writer: &mut Writer<'_>, value: f64) {
    writer.put_byte(tag(4, FIXED64));
    writer.put(&value.to_le_bytes());
}

#[inline(never)]
fn put_container(writer: &mut Writer<'_>, value: &Value<'_>, limits: ValueLimits) {
    match value {
        Value::Strings(items) => {
            for item in *items {
                put_item(writer, &Value::String(item), limits);
            }
        }
        Value::Bools(items) => {
            for item in *items {
                put_item(writer, &Value::Bool(*item), limits);
            }
        }
        Value::I64s(items) => {
            for item in *items {
                put_item(writer, &Value::I64(*item), limits);
            }
        }
        Value::F64s(items) => {
            for item in *items {
                put_item(writer, &Value::F64(*item), limits);
            }
        }
        Value::Array(items) => {
            for item in *items {
                put_item(writer, item, limits);
            }
        }
        Value::Map(entries) => {
            for (i, entry) in entries.iter().enumerate() {
                if !is_superseded(entries, i) {
                    let len = key_value_len(entry.key, &entry.value, limits);
                    if writer.open(1, len) {
                        put_key_value(writer, entry.key, &entry.value, limits);
                    }
                }
            }
        }
        _ => {}
    }
}

fn put_item(writer: &mut Writer<'_>, item: &Value<'_>, limits: ValueLimits) {
    if writer.open(1, any_value_len(item, limits)) {
        put_any_value(writer, item, limits);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;
    use std::vec;

    fn hex(key: &str, value: Value<'_>, limits: ValueLimits) -> String {
        let len = key_value_len(key, &value, limits);
        let mut buf = vec![0; len];
        let mut writer = Writer::new(&mut buf);
        put_key_value(&mut writer, key, &value, limits);
        assert_eq!(writer.finish(), Some(len), "{value:?}");
        buf.iter().map(|b| std::format!("{b:02x}")).collect()
    }

    /// Known encodings of every kind of value.
    #[test]
    fn golden_vectors() {
        let l = ValueLimits::DEFAULT;
        assert_eq!(hex("s", "".into(), l), "0a017312020a00");
        assert_eq!(hex("b", false.into(), l), "0a016212021000");
        assert_eq!(
            hex("i", (-1_i64).into(), l),
            "0a0169120b18ffffffffffffffffff01"
        );
        assert_eq!(hex("d", 0.0.into(), l), "0a01641209210000000000000000");
        assert_eq!(
            hex("y", [0_u8, 255].as_slice().into(), l),
            "0a017912043a0200ff"
        );
        assert_eq!(hex("e", Value::Empty, l), "0a01651200");
        let mixed = [Value::I64(1), Value::String("x")];
        assert_eq!(
            hex("a", Value::Array(&mixed), l),
            "0a0161120b2a090a0218010a030a0178"
        );
        assert_eq!(hex("ea", Value::Array(&[]), l), "0a02656112022a00");
        let map = [KeyValue::new("k", 0_i64)];
        assert_eq!(
            hex("m", Value::Map(&map), l),
            "0a016d120b32090a070a016b12021800"
        );
    }

    #[test]
    fn the_short_way_writes_what_the_general_way_writes() {
        let long = "x".repeat(130);
        let texts = [
            "",
            "a",
            "GET",
            &long[..100],
            &long[..118],
            &long[..121],
            &long,
        ];
        let keys = ["k", "http.request.method", &long[..60], &long[..127]];
        let ints = [0, 1, -1, 127, 128, i64::MAX, i64::MIN, 1 << 35];
        let values = texts
            .into_iter()
            .map(Value::String)
            .chain(ints.map(Value::I64))
            .chain([false, true].map(Value::Bool))
            .chain([0.0, -1.5, f64::NAN].map(Value::F64))
            .chain([Value::Empty, Value::U64(1), Value::Bytes(b"ab")]);
        let (l, mut short) = (ValueLimits::DEFAULT, 0);
        for (value, key) in values.flat_map(|value| keys.map(|key| (value, key))) {
            let content = key_value_len(key, &value, l);
            let Some(len) = short_attribute_len(key, &value, l) else {
                continue;
            };
            short += 1;
            let (mut quick, mut general) = (vec![0xee; len], vec![0xdd; field_len(content)]);
            put_short_attribute(&mut quick, 9, key, &value);
            let mut writer = Writer::new(&mut general);
            writer.put_header(9, content);
            put_key_value(&mut writer, key, &value, l);
            assert_eq!(quick, general, "{key} {value:?}");
        }
        assert!(short > 40, "{short}");
        let cut = ValueLimits { length: 2, ..l };
        assert_eq!(short_attribute_len("k", &Value::String("abc"), cut), None);
    }

    #[test]
    fn a_repeated_key_of_a_map_keeps_its_last_value() {
        let twice = [KeyValue::new("k", 1_i64), KeyValue::new("k", 0_i64)];
        let once = [KeyValue::new("k", 0_i64)];
        let l = ValueLimits::DEFAULT;
        assert_eq!(
            hex("m", Value::Map(&twice), l),
            hex("m", Value::Map(&once), l)
        );
    }

    #[test]
    fn an_integer_beyond_i64_becomes_its_digits() {
        let l = ValueLimits::DEFAULT;
        assert_eq!(
            hex("u", u64::MAX.into(), l),
            hex("u", "18446744073709551615".into(), l)
        );
        assert_eq!(hex("u", 5_u64.into(), l), hex("u", 5_i64.into(), l));
    }

    #[test]
    fn the_depth_limit_empties_what_lies_below() {
        let inner = [Value::I64(1)];
        let outer = [Value::Array(&inner)];
        let limits = ValueLimits {
            depth: 1,
            ..ValueLimits::DEFAULT
        };
        // [[1]] with limit 1 is [empty] (spec D-059).
        assert_eq!(
            hex("a", Value::Array(&outer), limits),
            hex("a", Value::Array(&[Value::Empty]), ValueLimits::DEFAULT)
        );
    }

    #[test]
    fn the_length_limit_cuts_text_and_bytes_at_every_level() {
        let limits = ValueLimits {
            length: 2,
            ..ValueLimits::DEFAULT
        };
        let l = ValueLimits::DEFAULT;
        assert_eq!(hex("s", "äöü".into(), limits), hex("s", "äö".into(), l));
        let long = [1_u8, 2, 3];
        assert_eq!(
            hex("y", long.as_slice().into(), limits),
            hex("y", long[..2].into(), l)
        );
        let (texts, cut) = (["abc", "de"], ["ab", "de"]);
        assert_eq!(
            hex("a", texts.as_slice().into(), limits),
            hex("a", cut.as_slice().into(), l)
        );
        assert_eq!(
            hex("i", 12345_i64.into(), limits),
            hex("i", 12345_i64.into(), l)
        );
    }
}
