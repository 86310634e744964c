//! `record_error`: an error as the event `exception`.

use core::fmt::{self, Write as _};

use super::log::AttributeList;
use super::recording::Recording;
use crate::attribute::{KeyValue, ValueLimits};
use crate::time::Instant;
use crate::wire::{Writer, field_len, key_value_len, nonempty_len, nonzero_len, put_key_value};

const TYPE: &str = "exception.type";
const MESSAGE: &str = "exception.message";

impl<B: AsRef<[u8]> + AsMut<[u8]>> Recording<B> {
    /// Records `error` as the event `exception`, with `attributes` beside the generated ones; see
    /// [`BareSpan::record_error_with`](super::BareSpan::record_error_with).
    pub(crate) fn record_error<E: fmt::Display + ?Sized>(
        &mut self,
        error: &E,
        attributes: &[KeyValue<'_>],
        now: Instant,
    ) {
        let Some((bytes, log)) = self.recorder() else {
            return;
        };
        let limits = *log.limits();
        // The generated attributes come first and count in the limit like all others.
        let mut limit = limits.attribute_per_event_count;
        let mut left_out = 0_u32;
        let mut generates = |key: &str| {
            if attributes.iter().any(|attribute| attribute.key == key) {
                return false;
            }
            let fits = limit > 0;
            limit = limit.saturating_sub(1);
            left_out += u32::from(!fits);
            fits
        };
        let type_name = generates(TYPE).then(|| KeyValue::new(TYPE, core::any::type_name::<E>()));
        let message = generates(MESSAGE).then(|| text_len(error, limits.value));
        let extra = AttributeList {
            field: 3,
            items: attributes,
            limit,
            limits,
        };
        let dropped = extra.dropped().saturating_add(left_out);

        let type_len = type_name.map_or(0, |kv| {
            field_len(key_value_len(kv.key, &kv.value, limits.value))
        });
        let text_len = message.map_or(0, |text| field_len(message_len(text)));
        let len = type_len + text_len + extra.len() + nonzero_len(dropped.into());
        log.add_exception(bytes, now, len, &mut |writer| {
            if let Some(kv) = &type_name {
                writer.put_header(3, key_value_len(kv.key, &kv.value, limits.value));
                put_key_value(writer, kv.key, &kv.value, limits.value);
            }
            if let Some(message) = message {
                writer.put_header(3, message_len(message));
                writer.put_bytes_field(1, MESSAGE.as_bytes());
                writer.put_header(2, field_len(message));
                writer.put_header(1, message);
                let mut text = Text::new(limits.value, Some(writer));
                // An error that fails to format leaves a length that does not match.
                let _ = write!(text, "{error}");
            }
            extra.put(writer);
            writer.put_nonzero(4, dropped.into());
        });
    }
}

/// Length of the content of the `KeyValue` of a message of `text` bytes.
const fn message_len(text: usize) -> usize {
    nonempty_len(MESSAGE.len()) + field_len(field_len(text))
}

fn text_len<E: fmt::Display + ?Sized>(error: &E, limits: ValueLimits) -> usize {
    let mut text = Text::new(limits, None);
    let _ = write!(text, "{error}");
    text.bytes
}

/// Counts formatted text up to the character limit, and writes it when there is a writer.
struct Text<'w, 'b> {
    writer: Option<&'w mut Writer<'b>>,
    bytes: usize,
    characters_left: u32,
}

impl<'w, 'b> Text<'w, 'b> {
    fn new(limits: ValueLimits, writer: Option<&'w mut Writer<'b>>) -> Self {
        Self {
            writer,
            bytes: 0,
            characters_left: limits.length,
        }
    }
}

impl fmt::Write for Text<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let text = if self.characters_left == u32::MAX {
            text
        } else {
            let cut = crate::attribute::truncate_chars(text, self.characters_left);
            let count = u32::try_from(cut.chars().count()).unwrap_or(u32::MAX);
            self.characters_left = self.characters_left.saturating_sub(count);
            cut
        };
        self.bytes += text.len();
        if let Some(writer) = &mut self.writer {
            writer.put(text.as_bytes());
        }
        Ok(())
    }
}
