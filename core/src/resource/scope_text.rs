//! The texts of an encoded scope.

use std::string::String;

use super::{Entry, Registry, ScopeId};
use crate::wire::{BYTES, get_varint, tag};

/// The texts of a scope.
#[derive(Debug, Default)]
pub(crate) struct ScopeText {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) schema_url: String,
}

/// The length-prefixed fields of a message, each with its tag.
fn text_fields(mut rest: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    core::iter::from_fn(move || {
        let (&tag, after) = rest.split_first()?;
        let (len, header) = get_varint(after)?;
        let (content, next) = after
            .get(header..)?
            .split_at_checked(usize::try_from(len).ok()?)?;
        rest = next;
        Some((tag, content))
    })
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> Registry<S> {
    /// The texts of a scope; `None` if there is no such scope.
    pub(crate) fn scope_text(&self, id: ScopeId) -> Option<ScopeText> {
        if id.0 >= self.scopes {
            return None;
        }
        let Entry { head, tail } = self.view().scope(id);
        let mut text = ScopeText::default();
        // The `scope` field, whose content are fields in turn, and the `schema_url` field.
        let content = text_fields(head).next().map(|(_, content)| content);
        for (field, content) in text_fields(content.unwrap_or_default()) {
            let content = || String::from_utf8_lossy(content).into_owned();
            if field == tag(1, BYTES) {
                text.name = content();
            } else if field == tag(2, BYTES) {
                text.version = content();
            }
        }
        if let Some((_, url)) = text_fields(tail).next() {
            text.schema_url = String::from_utf8_lossy(url).into_owned();
        }
        Some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{InstrumentationScope, Resource};
    use super::*;
    use crate::attribute::KeyValue;

    #[test]
    fn a_scope_is_read_as_it_was_given() {
        let attributes = [KeyValue::new("k", "v")];
        let full = InstrumentationScope {
            name: "shop",
            version: "1.2",
            schema_url: "https://example.com/schema",
            attributes: &attributes,
        };
        let scopes = [
            InstrumentationScope::default(),
            full,
            InstrumentationScope::new("b"),
        ];
        let mut registry = Registry::new([0; 512], &Resource::default()).unwrap();
        for scope in &scopes {
            let id = registry.scope(scope).unwrap();
            let text = registry.scope_text(id).unwrap();
            let texts = [&*text.name, &*text.version, &*text.schema_url];
            assert_eq!(texts, [scope.name, scope.version, scope.schema_url]);
        }
        assert!(registry.scope_text(ScopeId(3)).is_none());
    }
}
