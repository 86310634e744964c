//! From bytes and a schema to text.

use core::fmt::Write;

use super::JsonError;
use super::schema::{Field, Kind, Message};
use super::text;
use crate::wire::{FieldValue, Fields};

/// The deepest nesting of messages that is read.
///
/// The deepest that this crate writes: seven messages down to an attribute's value (request,
/// resource spans, scope spans, span, event, attribute, value), then three for each of the 64
/// levels of nested maps that the depth limit of values allows (list, entry, value).
const MAX_DEPTH: u8 = 7 + 3 * 64;

/// Writes the JSON object of a message.
pub(super) fn message(
    schema: &'static Message,
    bytes: &[u8],
    out: &mut dyn Write,
) -> Result<(), JsonError> {
    Transcoder {
        out,
        depth: MAX_DEPTH,
    }
    .message(schema, bytes)
}

struct Transcoder<'o> {
    out: &'o mut dyn Write,
    /// The number of messages that may still be nested.
    depth: u8,
}

impl Transcoder<'_> {
    /// The only recursion: less than 300 bytes of stack for each message on a 64-bit host, so 60 KB
    /// for the deepest. Some calls are not inlined, to keep it at that.
    fn message(&mut self, schema: &'static Message, bytes: &[u8]) -> Result<(), JsonError> {
        self.depth = self.depth.checked_sub(1).ok_or(JsonError::TooDeep)?;
        self.out.write_char('{')?;
        if schema.one_of {
            if let Some((field, value)) = last_known(schema, bytes)? {
                self.key(field, "")?;
                self.value(field.kind, value)?;
            }
        } else {
            let Present { once, again } = present(bytes)?;
            let mut separator = "";
            for field in schema.fields {
                let bit = 1 << field.number;
                let written = match field.repeated {
                    _ if once & bit == 0 => false,
                    true => self.array(field, bytes, separator)?,
                    false => self.singular(field, bytes, again & bit != 0, separator)?,
                };
                if written {
                    separator = ",";
                }
            }
        }
        self.out.write_char('}')?;
        self.depth += 1;
        Ok(())
    }

    /// Writes the last occurrence of `field`, unless it is zero. Protobuf would merge several
    /// occurrences of a nested message; no encoder of OTLP writes a second one.
    fn singular(
        &mut self,
        field: &'static Field,
        bytes: &[u8],
        again: bool,
        separator: &str,
    ) -> Result<bool, JsonError> {
        let Some(value) = last(field, bytes, again) else {
            return Ok(false);
        };
        self.key(field, separator)?;
        self.value(field.kind, value)?;
        Ok(true)
    }

    /// Writes all occurrences of `field` as one array, wherever they lie in the message.
    fn array(
        &mut self,
        field: &'static Field,
        bytes: &[u8],
        separator: &str,
    ) -> Result<bool, JsonError> {
        let mut written = false;
        let mut rest = Fields::new(bytes);
        while let Some(value) = next(field, &mut rest) {
            if written {
                self.out.write_char(',')?;
            } else {
                self.key(field, separator)?;
                self.out.write_char('[')?;
                written = true;
            }
            self.value(field.kind, value)?;
        }
        if written {
            self.out.write_char(']')?;
        }
        Ok(written)
    }

    #[inline(never)]
    fn key(&mut self, field: &Field, separator: &str) -> Result<(), JsonError> {
        self.out.write_str(separator)?;
        self.out.write_char('"')?;
        self.out.write_str(field.name)?;
        self.out.write_str("\":")?;
        Ok(())
    }

    fn value(&mut self, kind: Kind, value: FieldValue<'_>) -> Result<(), JsonError> {
        match (kind, value) {
            (Kind::Message(schema), FieldValue::Bytes(bytes)) => self.message(schema, bytes),
            _ => self.leaf(kind, value),
        }
    }

    /// Apart from [`Self::value`], so that formatting takes no stack in the recursion.
    #[inline(never)]
    fn leaf(&mut self, kind: Kind, value: FieldValue<'_>) -> Result<(), JsonError> {
        let out = &mut *self.out;
        match (kind, value) {
            (Kind::Text, FieldValue::Bytes(bytes)) => text::text(bytes, out)?,
            (Kind::Id, FieldValue::Bytes(bytes)) => text::hex(bytes, out)?,
            (Kind::Bytes, FieldValue::Bytes(bytes)) => text::base64(bytes, out)?,
            (Kind::Bool, FieldValue::Varint(v)) => {
                out.write_str(if v == 0 { "false" } else { "true" })?;
            }
            // Protobuf cuts a varint to the width of its field.
            (Kind::Enum, FieldValue::Varint(v)) => write!(out, "{}", v as i32)?,
            (Kind::Uint32, FieldValue::Varint(v)) => write!(out, "{}", v as u32)?,
            (Kind::Int64, FieldValue::Varint(v)) => write!(out, "\"{}\"", v as i64)?,
            (Kind::Fixed32, FieldValue::Fixed32(v)) => write!(out, "{v}")?,
            (Kind::Fixed64, FieldValue::Fixed64(v)) => write!(out, "\"{v}\"")?,
            (Kind::Double, FieldValue::Fixed64(v)) => text::double(f64::from_bits(v), out)?,
            // Not reached: `fits` lets only the pairs above through.
            _ => out.write_str("null")?,
        }
        Ok(())
    }
}

/// The sets of the field numbers in a message: those that occur, and those that occur again.
struct Present {
    once: u32,
    again: u32,
}

/// This pass also finds every error at this level, so the later passes need not check for them.
#[inline(never)]
fn present(bytes: &[u8]) -> Result<Present, JsonError> {
    let mut set = Present { once: 0, again: 0 };
    for field in Fields::new(bytes) {
        let (number, _) = field?;
        let bit = 1_u32.checked_shl(number).unwrap_or(0);
        set.again |= set.once & bit;
        set.once |= bit;
    }
    Ok(set)
}

/// The next value of `field` in a message.
#[inline(never)]
fn next<'a>(field: &Field, rest: &mut Fields<'a>) -> Option<FieldValue<'a>> {
    rest.flatten()
        .find(|&(number, value)| number == field.number && fits(field.kind, value))
        .map(|(_, value)| value)
}

/// The last value of `field` in a message, unless it is zero. If the field does not occur `again`,
/// the first is the last.
#[inline(never)]
fn last<'a>(field: &Field, bytes: &'a [u8], again: bool) -> Option<FieldValue<'a>> {
    let mut rest = Fields::new(bytes);
    let mut last = next(field, &mut rest);
    if again {
        while let Some(value) = next(field, &mut rest) {
            last = Some(value);
        }
    }
    last.filter(|&value| !is_zero(field.kind, value))
}

/// The member of a one-of that counts, which is the last one set.
#[inline(never)]
fn last_known<'a>(
    schema: &'static Message,
    bytes: &'a [u8],
) -> Result<Option<(&'static Field, FieldValue<'a>)>, JsonError> {
    let mut last = None;
    for field in Fields::new(bytes) {
        let (number, value) = field?;
        let known = schema
            .fields
            .iter()
            .find(|known| known.number == number && fits(known.kind, value));
        if let Some(known) = known {
            last = Some((known, value));
        }
    }
    Ok(last)
}

/// Returns true if `value` has the wire type of `kind`; another one makes it an unknown field.
fn fits(kind: Kind, value: FieldValue<'_>) -> bool {
    match value {
        FieldValue::Varint(_) => {
            matches!(kind, Kind::Bool | Kind::Enum | Kind::Uint32 | Kind::Int64)
        }
        FieldValue::Fixed64(_) => matches!(kind, Kind::Fixed64 | Kind::Double),
        FieldValue::Bytes(_) => {
            matches!(kind, Kind::Text | Kind::Id | Kind::Bytes | Kind::Message(_))
        }
        FieldValue::Fixed32(_) => matches!(kind, Kind::Fixed32),
        FieldValue::Group => false,
    }
}

/// Returns true if proto3 leaves the value out. A nested message is written even if it is empty.
fn is_zero(kind: Kind, value: FieldValue<'_>) -> bool {
    match (kind, value) {
        (Kind::Message(_), _) => false,
        (_, FieldValue::Bytes(bytes)) => bytes.is_empty(),
        (Kind::Enum | Kind::Uint32, FieldValue::Varint(v)) => v as u32 == 0,
        (_, FieldValue::Varint(v) | FieldValue::Fixed64(v)) => v == 0,
        (_, FieldValue::Fixed32(v)) => v == 0,
        (_, FieldValue::Group) => true,
    }
}
