//! Entries of another registry, as a device announces them over the link.

use super::{
    EntryIter, Registry, RegistryError, ScopeId, encode_entry, find, key_value_len, put_key_value,
};
use crate::attribute::{KeyValue, ValueLimits};
use crate::wire::{FieldValue, Fields, field_len};

/// A resource or a scope as another registry holds it: `[head length][tail length][head][tail]`.
///
/// It is checked as far as a registry needs: the lengths are right, the head is one message and the
/// tail one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodedEntry<'a> {
    whole: &'a [u8],
    /// The content of the `resource` or `scope` message.
    content: &'a [u8],
    schema_url: &'a str,
}

impl<'a> EncodedEntry<'a> {
    /// Reads bytes that another registry made; `None` if they are not exactly one entry.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (entry, whole) = EntryIter { rest: bytes }.next()?;
        let schema_url = core::str::from_utf8(only_field(entry.tail, 3)?).ok()?;
        let content = only_field(entry.head, 1)?;
        let is_message = Fields::new(content).all(|field| field.is_ok());
        (whole.len() == bytes.len() && is_message).then_some(Self {
            whole,
            content,
            schema_url,
        })
    }

    /// Returns the bytes, lengths included; they are equal for equal entries.
    #[must_use]
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.whole
    }

    /// Returns the text of the attribute `key` of a resource; `None` if it is missing or not text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&'a str> {
        let (_, attribute) = attributes(self.content).find(|(name, _)| *name == key)?;
        let value = bytes_field(attribute, 2)?;
        core::str::from_utf8(bytes_field(value, 1)?).ok()
    }
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> Registry<S> {
    /// A registry over `storage` for a resource of another registry, with `more` attributes, which
    /// replace attributes of the same key.
    ///
    /// # Errors
    ///
    /// The resource does not fit.
    pub fn from_encoded(
        storage: S,
        resource: &EncodedEntry<'_>,
        more: &[KeyValue<'_>],
    ) -> Result<Self, RegistryError> {
        let mut registry = Self::empty(storage);
        let kept = || {
            attributes(resource.content)
                .filter(|(key, _)| !more.iter().any(|other| other.key == *key))
                .map(|(_, attribute)| attribute)
        };
        let len = |item: &KeyValue<'_>| key_value_len(item.key, &item.value, ValueLimits::DEFAULT);
        let own: usize = kept().map(|attribute| field_len(attribute.len())).sum();
        let added: usize = more.iter().map(|item| field_len(len(item))).sum();
        let target = registry.storage.as_mut();
        registry.used = encode_entry(target, own + added, resource.schema_url, &|writer| {
            for attribute in kept() {
                writer.put_bytes_field(1, attribute);
            }
            for item in more {
                writer.put_header(1, len(item));
                put_key_value(writer, item.key, &item.value, ValueLimits::DEFAULT);
            }
        })?;
        Ok(registry)
    }

    /// Returns the number of a scope of another registry, which is added if it is new.
    ///
    /// # Errors
    ///
    /// The scope is new and does not fit.
    pub fn encoded_scope(&mut self, scope: &EncodedEntry<'_>) -> Result<ScopeId, RegistryError> {
        if self.used == 0 {
            self.set_resource(&super::Resource::default())?;
        }
        let (kept, free) = self.storage.as_mut().split_at_mut(self.used);
        if let Some(id) = find(kept, scope.whole) {
            return Ok(id);
        }
        let missing = scope.whole.len().saturating_sub(free.len());
        let target = free.get_mut(..scope.whole.len());
        let id = ScopeId(self.scopes);
        let scopes = self.scopes.checked_add(1).ok_or(RegistryError::TooMany)?;
        target
            .ok_or(RegistryError::Full { missing })?
            .copy_from_slice(scope.whole);
        self.scopes = scopes;
        self.used += scope.whole.len();
        Ok(id)
    }
}

/// The attributes of a resource: each key with its whole `KeyValue`.
fn attributes(content: &[u8]) -> impl Iterator<Item = (&str, &[u8])> {
    Fields::new(content)
        .map_while(Result::ok)
        .filter_map(|field| match field {
            (1, FieldValue::Bytes(attribute)) => {
                let key = core::str::from_utf8(bytes_field(attribute, 1)?).ok()?;
                Some((key, attribute))
            }
            _ => None,
        })
}

fn bytes_field(message: &[u8], number: u32) -> Option<&[u8]> {
    Fields::new(message)
        .map_while(Result::ok)
        .find_map(|field| match field {
            (found, FieldValue::Bytes(bytes)) if found == number => Some(bytes),
            _ => None,
        })
}

/// The content of the one field `number` that `bytes` may consist of.
fn only_field(bytes: &[u8], number: u32) -> Option<&[u8]> {
    if bytes.is_empty() {
        return Some(bytes);
    }
    let mut fields = Fields::new(bytes);
    match (fields.next(), fields.next()) {
        (Some(Ok((found, FieldValue::Bytes(content)))), None) if found == number => Some(content),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resource::{InstrumentationScope, Resource};

    fn device() -> Registry<[u8; 256]> {
        let resource = Resource {
            attributes: &[
                KeyValue::new("service.name", "pump"),
                KeyValue::new("site", "unknown"),
            ],
            schema_url: "u",
        };
        let mut registry = Registry::new([0; 256], &resource).unwrap();
        registry.scope(&InstrumentationScope::new("a")).unwrap();
        registry.scope(&InstrumentationScope::new("b")).unwrap();
        registry
    }

    #[test]
    fn a_resource_is_taken_over_and_added_attributes_win() {
        let device = device();
        let entry = EncodedEntry::new(device.view().encoded(0).unwrap()).unwrap();
        assert_eq!(entry.text("service.name"), Some("pump"));
        let more = [KeyValue::new("site", "north"), KeyValue::new("line", 3_i64)];
        let host = Registry::from_encoded([0; 256], &entry, &more).unwrap();
        let expected = Resource {
            attributes: &[KeyValue::new("service.name", "pump"), more[0], more[1]],
            schema_url: "u",
        };
        let expected = Registry::new([0; 256], &expected).unwrap();
        assert_eq!(host.view().encoded(0), expected.view().encoded(0));
    }

    #[test]
    fn equal_scopes_get_one_number_whatever_their_own_was() {
        let device = device();
        let scope = |i| EncodedEntry::new(device.view().encoded(i).unwrap()).unwrap();
        let mut host = Registry::new([0; 128], &Resource::default()).unwrap();
        assert_eq!(host.encoded_scope(&scope(2)), Ok(ScopeId(0)));
        assert_eq!(host.encoded_scope(&scope(1)), Ok(ScopeId(1)));
        assert_eq!(host.encoded_scope(&scope(2)), Ok(ScopeId(0)));
        assert_eq!(
            host.scope(&InstrumentationScope::new("a")),
            Ok(ScopeId(1)),
            "the same scope by name"
        );
    }

    #[test]
    fn what_is_not_one_entry_is_refused() {
        let device = device();
        let whole = device.view().encoded(0).unwrap();
        for len in 0..whole.len() {
            assert_eq!(EncodedEntry::new(&whole[..len]), None);
        }
        assert!(EncodedEntry::new(&[0; 4]).is_some(), "an empty resource");
        assert!(EncodedEntry::new(&[0; 5]).is_none(), "something follows");
        assert!(EncodedEntry::new(&[1, 0, 0, 0, 10]).is_none(), "no message");
    }
}
