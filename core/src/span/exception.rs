//! `record_error`: an error as the event `exception`.

use core::fmt::{self, Write as _};

use super::log::{AttributeList, Cut, exception_len, search};
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
        self.record_error_cut(error, attributes, now, true);
    }

    /// The same; unless it `may_be_cut`, it returns false, without a change, if the event would have
    /// to be cut or left out for lack of memory.
    #[cfg_attr(target_os = "none", inline)]
    pub(crate) fn record_error_cut<E: fmt::Display + ?Sized>(
        &mut self,
        error: &E,
        attributes: &[KeyValue<'_>],
        now: Instant,
        may_be_cut: bool,
    ) -> bool {
        let Some((bytes, log)) = self.recorder() else {
            return true;
        };
        if !log.has_room_for_events() {
            log.drop_event();
            return true;
        }
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
        let type_name = type_name::<E>().filter(|_| generates(TYPE));
        let mut parts = Parts {
            error,
            type_name: type_name.map(|name| KeyValue::new(TYPE, name)),
            has_message: generates(MESSAGE),
            left_out,
            extra: AttributeList {
                field: 3,
                items: attributes,
                limit,
                limits,
            },
            most: bytes.len(),
        };
        let fit = log.fit(bytes, 0);
        let mut measured = parts.measure();
        if !fit.takes_beside_attributes(field_len(exception_len(measured.len))) {
            if !may_be_cut {
                return false;
            }
            let items = attributes.len().min(usize::from(limit));
            let len = |cut| field_len(exception_len(parts.cut(cut).measure().len));
            let Some(cut) = search(fit.share(), items, &len) else {
                log.drop_event();
                return true;
            };
            parts = parts.cut(cut);
            measured = parts.measure();
            log.count_cut();
        }
        log.add_exception(bytes, now, measured.len, &mut |writer| {
            parts.put(writer, &measured);
        });
        true
    }
}

/// The name of the type `E`; `None` for a trait object, whose own type is not known.
pub(crate) fn type_name<E: ?Sized>() -> Option<&'static str> {
    let name = core::any::type_name::<E>();
    let is_object = name.starts_with("dyn ")
        || name
            .as_bytes()
            .windows(5)
            .any(|part| matches!(part, b"<dyn " | b"&dyn "));
    (!is_object).then_some(name)
}

/// The attributes of an exception.
struct Parts<'a, E: ?Sized> {
    error: &'a E,
    type_name: Option<KeyValue<'a>>,
    has_message: bool,
    /// Generated attributes beyond the limit.
    left_out: u32,
    extra: AttributeList<'a>,
    /// The most bytes of the message that are formatted.
    most: usize,
}

/// What of an exception takes time to measure.
struct Measured {
    len: usize,
    message: usize,
    dropped: u32,
}

impl<E: fmt::Display + ?Sized> Parts<'_, E> {
    /// The same with shorter texts, and fewer attributes of the caller.
    fn cut(&self, cut: Cut) -> Self {
        Self {
            extra: self.extra.cut(cut),
            ..*self
        }
    }

    const fn limits(&self) -> ValueLimits {
        self.extra.limits.value
    }

    fn measure(&self) -> Measured {
        let type_name = self.type_name.map_or(0, |kv| {
            field_len(key_value_len(kv.key, &kv.value, self.limits()))
        });
        let mut text = Text::new(self.limits(), self.most, None);
        if self.has_message {
            let _ = write!(text, "{}", self.error);
        }
        let message = text.bytes;
        let message_field = match self.has_message {
            true => field_len(message_len(message)),
            false => 0,
        };
        let dropped = self.extra.dropped().saturating_add(self.left_out);
        Measured {
            len: type_name + message_field + self.extra.len() + nonzero_len(dropped.into()),
            message,
            dropped,
        }
    }

    fn put(&self, writer: &mut Writer<'_>, measured: &Measured) {
        if let Some(kv) = &self.type_name {
            writer.put_header(3, key_value_len(kv.key, &kv.value, self.limits()));
            put_key_value(writer, kv.key, &kv.value, self.limits());
        }
        if self.has_message {
            let message = measured.message;
            writer.put_header(3, message_len(message));
            writer.put_bytes_field(1, MESSAGE.as_bytes());
            writer.put_header(2, field_len(message));
            writer.put_header(1, message);
            let mut text = Text::new(self.limits(), self.most, Some(writer));
            // An error that fails to format leaves a length that does not match.
            let _ = write!(text, "{}", self.error);
        }
        self.extra.put(writer);
        writer.put_nonzero(4, measured.dropped.into());
    }
}

/// Length of the content of the `KeyValue` of a message of `text` bytes.
const fn message_len(text: usize) -> usize {
    nonempty_len(MESSAGE.len()) + field_len(field_len(text))
}

/// Counts formatted text up to its limits, where it ends the formatting, and writes it when there is
/// a writer.
struct Text<'w, 'b> {
    writer: Option<&'w mut Writer<'b>>,
    bytes: usize,
    characters_left: u32,
    most: usize,
}

impl<'w, 'b> Text<'w, 'b> {
    fn new(limits: ValueLimits, most: usize, writer: Option<&'w mut Writer<'b>>) -> Self {
        Self {
            writer,
            bytes: 0,
            characters_left: limits.length,
            most,
        }
    }
}

impl fmt::Write for Text<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut part = text;
        if self.characters_left != u32::MAX {
            part = crate::attribute::truncate_chars(text, self.characters_left);
            let count = u32::try_from(part.chars().count()).unwrap_or(u32::MAX);
            self.characters_left = self.characters_left.saturating_sub(count);
        }
        self.bytes = self.bytes.saturating_add(part.len());
        if let Some(writer) = &mut self.writer {
            writer.put(part.as_bytes());
        }
        // Nothing of a text that goes on for ever is wanted beyond what a span can hold.
        if part.len() < text.len() || self.bytes > self.most {
            return Err(fmt::Error);
        }
        Ok(())
    }
}
