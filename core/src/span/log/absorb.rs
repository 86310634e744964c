//! Items that were recorded for the same span elsewhere.

use super::{ATTRIBUTE, COUNTS_RESERVE, EVENT, INCOMPLETE, LINK, Log, NAME, STATUS, UNSET};
use crate::span::finished::Attribute;
use crate::span::stored::{FIXED_LEN, length_prefixed};
use crate::wire::{Writer, field_len};

impl Log {
    /// Takes over all that `other`, a log of `from`, holds, except for what is fixed at the start. What
    /// does not fit is counted as left out.
    pub(in crate::span) fn absorb(&mut self, bytes: &mut [u8], other: &Self, from: &[u8]) {
        let mut rest = other.written(from).get(FIXED_LEN..).unwrap_or_default();
        while let Some((tag_byte, start, end)) = length_prefixed(rest) {
            let content = rest.get(start..end).unwrap_or_default();
            rest = rest.get(end..).unwrap_or_default();
            match tag_byte >> 3 {
                NAME if !content.is_empty() => {
                    self.set_name(bytes, core::str::from_utf8(content).unwrap_or_default());
                }
                ATTRIBUTE => self.absorb_attribute(bytes, content),
                EVENT if self.has_room_for_events() && self.absorb_item(bytes, EVENT, content) => {
                    self.events += 1;
                }
                EVENT => self.drop_event(),
                LINK if self.links < self.limits.link_count
                    && self.absorb_item(bytes, LINK, content) =>
                {
                    self.links += 1;
                }
                LINK => self.drop_link(),
                _ => {}
            }
        }
        if other.status != UNSET {
            let description = other.find_status(from);
            self.set_status(bytes, other.status, description);
        }
        self.dropped_attributes = self
            .dropped_attributes
            .saturating_add(other.dropped_attributes);
        self.dropped_events = self.dropped_events.saturating_add(other.dropped_events);
        let (links, cut) = (other.dropped_links(), other.cut());
        for _ in 0..links {
            self.drop_link();
        }
        for _ in 0..cut {
            self.count_cut();
        }
        self.facts |= other.facts & INCOMPLETE;
    }

    fn absorb_attribute(&mut self, bytes: &mut [u8], content: &[u8]) {
        let Attribute { key, value } = Attribute::of(content);
        match value.flat() {
            Some(value) => self.set_attribute(bytes, key, &value),
            None => self.set_encoded(bytes, key, content),
        }
    }

    /// Sets an attribute that is encoded already, whole or not at all.
    fn set_encoded(&mut self, bytes: &mut [u8], key: &str, content: &[u8]) {
        let old = self.find(bytes, ATTRIBUTE, key.as_bytes());
        let is_new = old.is_none();
        if is_new && self.attributes >= self.limits.attribute_count {
            return self.drop_attribute();
        }
        let (at, old_len) = old.unwrap_or((self.len, 0));
        let len = field_len(content.len());
        let Some(target) = self.splice(bytes, at, old_len, len, self.reserve()) else {
            return self.drop_attribute();
        };
        Writer::new(target).put_bytes_field(ATTRIBUTE, content);
        self.keys |= Self::key_bits(key);
        self.attributes += u16::from(is_new);
    }

    /// Returns false, and changes nothing, if there is no room.
    fn absorb_item(&mut self, bytes: &mut [u8], field: u8, content: &[u8]) -> bool {
        let at = self.len;
        let len = field_len(content.len());
        match self.splice(bytes, at, 0, len, self.reserve().max(COUNTS_RESERVE)) {
            Some(target) => {
                Writer::new(target).put_bytes_field(field, content);
                true
            }
            None => false,
        }
    }

    fn find_status<'b>(&self, bytes: &'b [u8]) -> &'b str {
        let status = self.find(bytes, STATUS, b"").and_then(|(at, len)| {
            let field = bytes.get(at..at + len)?;
            field.get(length_prefixed(field)?.1..)
        });
        // Its description comes first, if there is one.
        let status = status.unwrap_or_default();
        length_prefixed(status)
            .and_then(|(_, start, end)| status.get(start..end))
            .and_then(|text| core::str::from_utf8(text).ok())
            .unwrap_or_default()
    }
}
