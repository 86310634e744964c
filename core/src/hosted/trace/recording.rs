//! A short way into a recording, for hosts, which have flash to spare for a copy per kind of value.

use crate::attribute::Value;
use crate::span::{Log, Recording};

impl<B: AsRef<[u8]> + AsMut<[u8]>> Recording<B> {
    /// Sets an attribute in the common case: a new key, a short value whose kind the caller knows,
    /// and room for both. Returns false, and changes nothing, in any other case.
    #[inline(always)]
    pub(super) fn add_attribute(&mut self, key: &str, value: &Value<'_>) -> bool {
        match self.recorder() {
            Some((bytes, log)) => {
                let bits = Log::key_bits(key);
                key.is_empty() || log.add_short(bytes, key, value, bits).is_some()
            }
            None => true,
        }
    }
}
