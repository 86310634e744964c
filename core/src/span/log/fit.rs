//! What becomes of an item for which its span has too little memory.
//!
//! - An item of at most [`SMALL`] bytes is kept whole if it fits at all.
//! - A larger one takes at most half of what is free, so that what comes later fits, too. Its texts
//!   are cut to one length that fits; then arrays lose their last elements, and events and links
//!   their last attributes.
//! - The last sixteenth of the memory is for small attributes, the name and the status. Larger items
//!   do not get it, and events and links of no size do.
//! - What cannot be cut to something useful is left out.
//!
//! All of this runs only for items that are not small or do not fit.

use super::{AttributeList, COUNTS_RESERVE, INCOMPLETE, Log};
#[cfg(feature = "std")]
use super::{NAME, OK, STATUS, UNSET};
#[cfg(not(target_os = "none"))]
use crate::attribute::KeyValue;
use crate::attribute::{Value, ValueLimits, truncate_chars};
#[cfg(not(target_os = "none"))]
use crate::wire::key_value_len;
use crate::wire::{Writer, field_len, varint_len};

/// The most bytes of an item that is never cut to a share: tag, length, and 127 bytes.
const SMALL: usize = 129;
/// Texts are not cut to fewer characters than this.
const LEAST_TEXT: usize = 24;
/// Tag and length of the status, and its code; with the description's tag and length 12 bytes at most.
const BESIDE_DESCRIPTION: usize = 8;
/// The name of a span gets at least this much: tag, length and ten bytes.
const LEAST_NAME: usize = 12;

/// The memory that is left for one item.
#[derive(Clone, Copy)]
pub(in crate::span) struct Fit {
    room: usize,
    /// What is kept for small attributes, the name and the status.
    kept: usize,
}

/// Returns true if an item of `len` bytes must be cut to `share`, even if it fits.
#[inline(always)]
pub(super) const fn is_too_long(len: usize, share: usize) -> bool {
    len > SMALL && len > share
}

impl Fit {
    /// Returns true if a name or a description of `len` bytes fits whole.
    #[inline]
    const fn takes(self, len: usize) -> bool {
        len <= self.room && !is_too_long(len, self.share())
    }

    /// Returns true if an event or a link of `len` bytes fits whole.
    #[inline]
    pub(in crate::span) const fn takes_beside_attributes(self, len: usize) -> bool {
        len + self.kept <= self.room && !is_too_long(len, self.share())
    }

    /// The most bytes of an item that is not small or does not fit.
    #[inline]
    pub(in crate::span) const fn share(self) -> usize {
        self.room.saturating_sub(self.kept) / 2
    }

    /// The longest start of `text` in a field for which `beside` other bytes are needed.
    const fn limit(self, text: usize, beside: usize) -> usize {
        if self.takes(field_len(text) + beside) {
            self.room
        } else {
            self.share()
        }
        .saturating_sub(beside)
    }
}

impl Log {
    /// The memory for one item that replaces one of `old_len` bytes.
    #[inline]
    pub(in crate::span) fn fit(&self, bytes: &[u8], old_len: usize) -> Fit {
        Fit {
            room: self.room(bytes) + old_len,
            kept: kept(bytes),
        }
    }

    /// Room for an event or a link of `content` bytes. `None`, and no change, if it does not fit
    /// whole.
    #[inline(always)]
    pub(super) fn claim_whole<'b>(
        &mut self,
        bytes: &'b mut [u8],
        content: usize,
    ) -> Option<Writer<'b>> {
        let len = field_len(content);
        let end = self.len + len;
        // The rule of `takes_beside_attributes`, in one comparison for nearly all items.
        if end + self.reserve() + kept(bytes) > bytes.len()
            || (len > SMALL && len > self.fit(bytes, 0).share())
        {
            return None;
        }
        let target = bytes.get_mut(self.len..end)?;
        self.len = end;
        Some(Writer::new(target))
    }

    pub(in crate::span) const fn count_cut(&mut self) {
        self.facts |= INCOMPLETE;
        if self.cut() < u16::MAX {
            self.links_and_cuts += 1 << 16;
        }
    }

    /// Returns true if `name` can replace the present one whole.
    #[cfg(feature = "std")]
    pub(in crate::span) fn takes_name(&self, bytes: &[u8], name: &str) -> bool {
        self.find(bytes, NAME, b"")
            .is_none_or(|(_, old_len)| self.fit(bytes, old_len).takes(field_len(name.len())))
    }

    /// Returns true if an error can be set with `description` whole, or cannot be set at all.
    #[cfg(feature = "std")]
    pub(in crate::span) fn takes_description(&self, bytes: &[u8], description: &str) -> bool {
        let old_len = match self.status {
            OK => return true,
            UNSET => 0,
            _ => self.find(bytes, STATUS, b"").map_or(0, |(_, len)| len),
        };
        self.fit_of_status(bytes, old_len)
            .takes(field_len(description.len()) + BESIDE_DESCRIPTION)
    }

    /// As much of `name` as may replace a field of `old_len` bytes.
    pub(super) fn name_for<'a>(&mut self, bytes: &[u8], name: &'a str, old_len: usize) -> &'a str {
        let fit = self.fit(bytes, old_len);
        let limit = fit.limit(name.len(), 0).max(LEAST_NAME).min(fit.room);
        self.start_of(name, limit)
    }

    /// As much of `description` as may replace a status of `old_len` bytes.
    pub(super) fn description_for<'a>(
        &mut self,
        bytes: &[u8],
        description: &'a str,
        old_len: usize,
    ) -> &'a str {
        let fit = self.fit_of_status(bytes, old_len);
        let limit = fit.limit(description.len(), BESIDE_DESCRIPTION);
        self.start_of(description, limit)
    }

    #[inline]
    fn fit_of_status(&self, bytes: &[u8], old_len: usize) -> Fit {
        Fit {
            room: bytes.len().saturating_sub(COUNTS_RESERVE + self.len) + old_len,
            kept: kept(bytes),
        }
    }

    /// The longest start of `text`, in whole characters, that fits a field of at most `room` bytes.
    fn start_of<'a>(&mut self, text: &'a str, room: usize) -> &'a str {
        let mut len = text.len();
        if field_len(len) <= room {
            return text;
        }
        if len > 0 {
            self.count_cut();
        }
        len = len.min(room.saturating_sub(1 + varint_len(room as u64)));
        start(text, len)
    }
}

/// The memory of `bytes` that is kept for small attributes, the name and the status.
const fn kept(bytes: &[u8]) -> usize {
    bytes.len() / 16
}

/// The longest start of `text`, in whole characters, of at most `len` bytes.
fn start(text: &str, len: usize) -> &str {
    let mut len = len.min(text.len());
    while !text.is_char_boundary(len) {
        len -= 1;
    }
    text.get(..len).unwrap_or_default()
}

/// An attribute cut to `share` bytes: a shorter value, or limits under which it is shorter. `None` if
/// that leaves nothing.
#[cfg(not(target_os = "none"))]
pub(super) fn shortened<'a>(
    key: &str,
    value: &Value<'a>,
    limits: ValueLimits,
    share: usize,
) -> Option<(Value<'a>, ValueLimits)> {
    let cut = search(share, count(value), &|cut| {
        field_len(key_value_len(
            key,
            &first(value, cut.items),
            cut.apply(limits),
        ))
    })?;
    let shorter = first(value, cut.items);
    let is_emptied = count(&shorter) == 0 && count(value) > 0;
    (!is_emptied).then(|| (shorter, cut.apply(limits)))
}

/// The same with less code, for texts and bytes. Devices have no long arrays.
#[cfg(target_os = "none")]
pub(super) fn shortened<'a>(
    key: &str,
    value: &Value<'a>,
    limits: ValueLimits,
    share: usize,
) -> Option<(Value<'a>, ValueLimits)> {
    // Five tags, and lengths of two bytes.
    let most = share.saturating_sub(key.len() + 5 + 4 * 2);
    let value = match *value {
        Value::String(text) if most >= LEAST_TEXT => Value::String(start(text, most)),
        Value::Bytes(bytes) if most >= LEAST_TEXT => Value::Bytes(some(bytes, most)),
        _ => return None,
    };
    Some((value, limits))
}

impl<'a> AttributeList<'a> {
    /// The list, and the name beside it, cut so that an item of the length `len` takes `share` bytes
    /// at most.
    #[cold]
    #[inline(never)]
    pub(super) fn shortened<'n>(
        &self,
        name: &'n str,
        share: usize,
        len: impl Fn(&str, &Self, u32) -> usize,
    ) -> Option<(&'n str, Self)> {
        let items = self.items.len().min(usize::from(self.limit));
        let apply = |cut: Cut| {
            let name = truncate_chars(name, cut.length());
            (name, self.cut(cut))
        };
        let cut = search(share, items, &|cut| {
            let (name, list) = apply(cut);
            field_len(len(name, &list, list.dropped()))
        })?;
        Some(apply(cut))
    }

    /// The list with shorter values, and fewer of them.
    pub(in crate::span) fn cut(&self, cut: Cut) -> Self {
        let mut list = Self {
            limit: cut.items as u16,
            ..*self
        };
        list.limits.value = cut.apply(list.limits.value);
        list
    }
}

/// How an item is cut: to so many characters and bytes in each text, and to so many elements.
#[derive(Clone, Copy)]
pub(in crate::span) struct Cut {
    text: usize,
    pub(in crate::span) items: usize,
}

impl Cut {
    fn length(self) -> u32 {
        u32::try_from(self.text).unwrap_or(u32::MAX)
    }

    pub(in crate::span) fn apply(self, limits: ValueLimits) -> ValueLimits {
        ValueLimits {
            length: limits.length.min(self.length()),
            ..limits
        }
    }
}

/// The longest texts with which an item of `items` elements takes at most `share` bytes; if even the
/// shortest ones are too long, the most elements with these. `len` gives its bytes.
#[cold]
#[inline(never)]
pub(in crate::span) fn search(
    share: usize,
    items: usize,
    len: &dyn Fn(Cut) -> usize,
) -> Option<Cut> {
    let least = Cut {
        text: LEAST_TEXT,
        items,
    };
    if len(least) <= share {
        let text = last(LEAST_TEXT, share, &|text| {
            len(Cut { text, ..least }) <= share
        });
        return Some(Cut { text, ..least });
    }
    let is_good = |items| len(Cut { items, ..least }) <= share;
    is_good(0).then(|| Cut {
        items: last(0, items, &is_good),
        ..least
    })
}

/// The largest number that is good, from `low`, which is, to `high`.
fn last(mut low: usize, high: usize, is_good: &dyn Fn(usize) -> bool) -> usize {
    let mut bad = high.saturating_add(1);
    while bad.saturating_sub(low) > 1 {
        let middle = low + (bad - low) / 2;
        if is_good(middle) {
            low = middle;
        } else {
            bad = middle;
        }
    }
    low
}

/// The elements of an array or a map.
#[cfg(not(target_os = "none"))]
const fn count(value: &Value<'_>) -> usize {
    match value {
        Value::Strings(items) => items.len(),
        Value::Bools(items) => items.len(),
        Value::I64s(items) => items.len(),
        Value::F64s(items) => items.len(),
        Value::Array(items) => items.len(),
        Value::Map(entries) => entries.len(),
        _ => 0,
    }
}

/// An array of the first `count` elements, or a map of no more.
#[cfg(not(target_os = "none"))]
fn first<'a>(value: &Value<'a>, count: usize) -> Value<'a> {
    match *value {
        Value::Strings(items) => Value::Strings(some(items, count)),
        Value::Bools(items) => Value::Bools(some(items, count)),
        Value::I64s(items) => Value::I64s(some(items, count)),
        Value::F64s(items) => Value::F64s(some(items, count)),
        Value::Array(items) => Value::Array(some(items, count)),
        Value::Map(entries) => Value::Map(some(entries, without_superseded(entries, count))),
        other => other,
    }
}

/// The most of the first `count` entries of which a later entry replaces none. A cut elsewhere would
/// bring back a value that is not the last one of its key, and that may be longer.
#[cfg(not(target_os = "none"))]
fn without_superseded(entries: &[KeyValue<'_>], mut count: usize) -> usize {
    for (at, entry) in entries.iter().enumerate().take(count).rev() {
        let mut later = entries.iter().skip(count);
        if later.any(|other| other.key == entry.key) {
            count = at;
        }
    }
    count
}

fn some<T>(items: &[T], count: usize) -> &[T] {
    items.get(..count).unwrap_or(items)
}
