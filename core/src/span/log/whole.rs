//! Items as a whole or not at all, for hosts: there memory can be had before anything is cut.

use super::Log;
use crate::attribute::{KeyValue, Value};
use crate::time::Instant;

impl Log {
    /// Returns false, without a change, if the attribute would have to be cut or left out for lack of
    /// memory.
    pub(in crate::span) fn set_whole_attribute(
        &mut self,
        bytes: &mut [u8],
        key: &str,
        value: &Value<'_>,
    ) -> bool {
        if key.is_empty() {
            return true;
        }
        let bits = Self::key_bits(key);
        if self.add_short(bytes, key, value, bits).is_some() {
            return true;
        }
        match self.put_any(bytes, key, value, bits, self.limits.value) {
            Ok(()) => true,
            Err(None) => {
                self.drop_attribute();
                true
            }
            Err(Some(_)) => false,
        }
    }

    /// Returns false, without a change, if the event would have to be cut or left out for lack of
    /// memory.
    pub(in crate::span) fn add_whole_event(
        &mut self,
        bytes: &mut [u8],
        name: &str,
        attributes: &[KeyValue<'_>],
        time: Instant,
    ) -> bool {
        if !self.has_room_for_events() {
            self.drop_event();
            return true;
        }
        let list = self.event_list(attributes);
        self.put_event(bytes, name, &list, time).is_some()
    }
}
