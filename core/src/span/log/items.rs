//! Events and links.

use super::{AttributeList, EVENT, INCOMPLETE, LINK, Log, MAX_TRACE_STATE, remote_flags};
use crate::attribute::KeyValue;
use crate::context::Link;
use crate::time::Instant;
use crate::wire::{BYTES, FIXED32, FIXED64, Writer, field_len, nonempty_len, nonzero_len, tag};

/// The name of the event of an error.
const EXCEPTION: &str = "exception";

impl Log {
    pub(in crate::span) fn add_event(
        &mut self,
        bytes: &mut [u8],
        name: &str,
        attributes: &[KeyValue<'_>],
        time: Instant,
    ) {
        if !self.has_room_for_events() {
            return self.drop_event();
        }
        let list = self.event_list(attributes);
        if self.put_event(bytes, name, &list, time).is_none() {
            self.put_cut_event(bytes, name, &list, time);
        }
    }

    #[inline]
    pub(super) const fn event_list<'a>(&self, attributes: &'a [KeyValue<'a>]) -> AttributeList<'a> {
        AttributeList {
            field: 3,
            items: attributes,
            limit: self.limits.attribute_per_event_count,
            limits: self.limits,
        }
    }

    /// `None`, and no change, if it does not fit whole.
    #[cfg_attr(not(target_os = "none"), inline(always))]
    #[cfg_attr(target_os = "none", inline(never))]
    pub(super) fn put_event(
        &mut self,
        bytes: &mut [u8],
        name: &str,
        list: &AttributeList<'_>,
        time: Instant,
    ) -> Option<()> {
        let dropped = list.dropped();
        let content = event_len(name, list, dropped);
        let mut writer = self.claim_whole(bytes, content)?;
        put_event_start(&mut writer, content, name, time);
        list.put(&mut writer);
        writer.put_nonzero(4, u64::from(dropped));
        self.events += 1;
        if dropped > 0 {
            self.facts |= INCOMPLETE;
        }
        Some(())
    }

    #[cold]
    #[inline(never)]
    fn put_cut_event(
        &mut self,
        bytes: &mut [u8],
        name: &str,
        list: &AttributeList<'_>,
        time: Instant,
    ) {
        let share = self.fit(bytes, 0).share();
        let put = list
            .shortened(name, share, event_len)
            .and_then(|(name, list)| self.put_event(bytes, name, &list, time));
        match put {
            Some(()) => self.count_cut(),
            None => self.drop_event(),
        }
    }

    pub(in crate::span) const fn has_room_for_events(&self) -> bool {
        self.events < self.limits.event_count
    }

    pub(in crate::span) fn drop_event(&mut self) {
        self.facts |= INCOMPLETE;
        self.dropped_events = self.dropped_events.saturating_add(1);
    }

    /// Adds the event `exception`. `put` writes the attribute fields; if they are not exactly `len`
    /// bytes, the event is removed.
    pub(in crate::span) fn add_exception(
        &mut self,
        bytes: &mut [u8],
        time: Instant,
        len: usize,
        put: &mut dyn FnMut(&mut Writer<'_>),
    ) {
        let before = self.len;
        let content = exception_len(len);
        let exact = self.claim(bytes, content).is_some_and(|mut writer| {
            put_event_start(&mut writer, content, EXCEPTION, time);
            put(&mut writer);
            writer.finish() == Some(field_len(content))
        });
        if exact {
            self.events += 1;
        } else {
            self.len = before;
            self.drop_event();
        }
    }

    pub(crate) fn add_link(&mut self, bytes: &mut [u8], link: &Link<'_>) {
        if !self.add_whole_link(bytes, link) {
            self.put_cut_link(bytes, link);
        }
    }

    /// Returns false, without a change, if the link would have to be cut or left out for lack of
    /// memory.
    pub(in crate::span) fn add_whole_link(&mut self, bytes: &mut [u8], link: &Link<'_>) -> bool {
        let context = &link.span_context;
        if !context.is_valid() && link.attributes.is_empty() && link.trace_state.is_empty() {
            return true;
        }
        if self.links >= self.limits.link_count {
            self.drop_link();
            return true;
        }
        self.put_link(bytes, link, &self.link_list(link)).is_some()
    }

    const fn link_list<'a>(&self, link: &Link<'a>) -> AttributeList<'a> {
        AttributeList {
            field: 4,
            items: link.attributes,
            limit: self.limits.attribute_per_link_count,
            limits: self.limits,
        }
    }

    /// `None`, and no change, if it does not fit whole.
    #[inline(never)]
    fn put_link(
        &mut self,
        bytes: &mut [u8],
        link: &Link<'_>,
        list: &AttributeList<'_>,
    ) -> Option<()> {
        let context = &link.span_context;
        let trace_state = kept_trace_state(link);
        let dropped = list.dropped();
        let content = link_len(trace_state, list, dropped);
        let mut writer = self.claim_whole(bytes, content)?;
        writer.put_header(LINK, content);
        writer.put_bytes_field(1, context.trace_id().as_bytes());
        writer.put_bytes_field(2, context.span_id().as_bytes());
        writer.put_nonempty(3, trace_state.as_bytes());
        list.put(&mut writer);
        writer.put_nonzero(5, u64::from(dropped));
        writer.put_byte(tag(6, FIXED32));
        let flags =
            u32::from(context.trace_flags().known().bits()) | remote_flags(context.is_remote());
        writer.put(&flags.to_le_bytes());
        self.links += 1;
        if dropped > 0 {
            self.facts |= INCOMPLETE;
        }
        if trace_state.len() < link.trace_state.len() {
            self.count_cut();
        }
        Some(())
    }

    /// A tracestate is whole or it is none, so only the attributes are cut.
    #[cold]
    #[inline(never)]
    fn put_cut_link(&mut self, bytes: &mut [u8], link: &Link<'_>) {
        let share = self.fit(bytes, 0).share();
        let put = self
            .link_list(link)
            .shortened("", share, |_, list, dropped| {
                link_len(kept_trace_state(link), list, dropped)
            })
            .and_then(|(_, list)| self.put_link(bytes, link, &list));
        match put {
            Some(()) => self.count_cut(),
            None => self.drop_link(),
        }
    }

    pub(super) fn drop_link(&mut self) {
        self.facts |= INCOMPLETE;
        if self.dropped_links() < u16::MAX {
            self.links_and_cuts += 1;
        }
    }
}

/// The tracestate of a link, or none if it is too long.
const fn kept_trace_state<'a>(link: &Link<'a>) -> &'a str {
    match link.trace_state.len() {
        0..=MAX_TRACE_STATE => link.trace_state,
        _ => "",
    }
}

fn event_len(name: &str, list: &AttributeList<'_>, dropped: u32) -> usize {
    9 + field_len(name.len()) + list.len() + nonzero_len(u64::from(dropped))
}

pub(in crate::span) const fn exception_len(attributes: usize) -> usize {
    9 + field_len(EXCEPTION.len()) + attributes
}

fn link_len(trace_state: &str, list: &AttributeList<'_>, dropped: u32) -> usize {
    let ids_and_flags = 18 + 10 + 5;
    ids_and_flags + nonempty_len(trace_state.len()) + list.len() + nonzero_len(u64::from(dropped))
}

/// Writes an event of `content` bytes up to its attributes.
fn put_event_start(writer: &mut Writer<'_>, content: usize, name: &str, time: Instant) {
    if cfg!(not(target_os = "none")) && content < 0x80 {
        let [a, b, c, d, e, f, g, h] = time.as_nanos().to_le_bytes();
        let (event, time, text) = (tag(EVENT, BYTES), tag(1, FIXED64), tag(2, BYTES));
        let (content, len) = (content as u8, name.len() as u8);
        writer.put_array(&[event, content, time, a, b, c, d, e, f, g, h, text, len]);
        writer.put_short(name.as_bytes());
        return;
    }
    writer.put_header(EVENT, content);
    writer.put_byte(tag(1, FIXED64));
    writer.put(&time.as_nanos().to_le_bytes());
    writer.put_bytes_field(2, name.as_bytes());
}
