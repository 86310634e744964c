//! The attributes of an event or a link, which are all given at once.

use crate::attribute::KeyValue;
use crate::limits::SpanLimits;
use crate::wire::{
    Writer, field_len, key_value_len, put_key_value, put_short_attribute, short_attribute_len,
};

/// The attributes of an event or a link: of each key the last value, up to a number of keys.
pub(in crate::span) struct AttributeList<'a> {
    pub(in crate::span) field: u8,
    pub(in crate::span) items: &'a [KeyValue<'a>],
    pub(in crate::span) limit: u16,
    pub(in crate::span) limits: SpanLimits,
}

impl<'a> AttributeList<'a> {
    /// The items whose key does not come again later in the list.
    fn unique(&self) -> impl Iterator<Item = &'a KeyValue<'a>> {
        let items = self.items;
        items.iter().enumerate().filter_map(move |(i, item)| {
            let superseded = items.iter().skip(i + 1).any(|later| later.key == item.key);
            (!item.key.is_empty() && !superseded).then_some(item)
        })
    }

    fn kept(&self) -> impl Iterator<Item = &'a KeyValue<'a>> {
        self.unique().take(usize::from(self.limit))
    }

    pub(in crate::span) fn dropped(&self) -> u32 {
        if self.items.len() <= usize::from(self.limit) {
            return 0;
        }
        u32::try_from(self.unique().skip(usize::from(self.limit)).count()).unwrap_or(u32::MAX)
    }

    /// Bytes that [`AttributeList::put`] writes.
    pub(in crate::span) fn len(&self) -> usize {
        let len = |item: &KeyValue<'_>| match self.short_len(item) {
            Some(len) => len,
            None => field_len(key_value_len(item.key, &item.value, self.limits.value)),
        };
        self.kept().map(len).sum()
    }

    pub(in crate::span) fn put(&self, writer: &mut Writer<'_>) {
        for item in self.kept() {
            if let Some(len) = self.short_len(item) {
                if let Some(target) = writer.claim(len) {
                    put_short_attribute(target, self.field, item.key, &item.value);
                }
                continue;
            }
            let content = key_value_len(item.key, &item.value, self.limits.value);
            writer.put_header(self.field, content);
            put_key_value(writer, item.key, &item.value, self.limits.value);
        }
    }

    /// The length of what takes the short way. Firmware does without it here.
    #[inline(always)]
    fn short_len(&self, item: &KeyValue<'_>) -> Option<usize> {
        match cfg!(target_os = "none") {
            true => None,
            false => short_attribute_len(item.key, &item.value, self.limits.value),
        }
    }
}
