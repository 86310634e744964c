//! The origin of spans: the [`Resource`], the [`InstrumentationScope`]s, and the [`Registry`] that
//! keeps both as encoded bytes.
//!
//! Every request repeats the resource and its scopes, so they are encoded once, into memory of the
//! caller, and copied from there. A record carries only its [`ScopeId`].
//!
//! ```
//! use spandrel_core::attribute::KeyValue;
//! use spandrel_core::resource::{InstrumentationScope, Registry, Resource};
//!
//! let attributes = [KeyValue::new("service.name", "thermostat")];
//! let resource = Resource { attributes: &attributes, schema_url: "" };
//! let mut registry = Registry::new([0_u8; 256], &resource)?;
//! let scope = registry.scope(&InstrumentationScope::new("sensors"))?;
//! assert_eq!(registry.scope(&InstrumentationScope::new("sensors"))?, scope);
//! # Ok::<(), spandrel_core::resource::RegistryError>(())
//! ```

#[cfg(feature = "link")]
mod encoded;
#[cfg(feature = "std")]
mod scope_text;

use core::fmt;

#[cfg(feature = "link")]
pub use encoded::EncodedEntry;
#[cfg(feature = "std")]
pub(crate) use scope_text::ScopeText;

use crate::attribute::{KeyValue, ValueLimits};
use crate::wire::{BYTES, Writer, get_varint, key_value_len, nonempty_len, put_key_value, tag};

/// The [entity that produces telemetry](https://opentelemetry.io/docs/specs/otel/resource/sdk/):
/// its attributes, and the schema that they follow.
///
/// Limits of spans do not apply to resource attributes. When a key repeats, its last value wins.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Resource<'a> {
    /// The attributes, such as `service.name`.
    pub attributes: &'a [KeyValue<'a>],
    /// The schema URL of the attributes; empty if there is none.
    pub schema_url: &'a str,
}

/// The [code that made a
/// span](https://opentelemetry.io/docs/specs/otel/common/instrumentation-scope/): a library, a
/// module, a component.
///
/// The name may be empty; the scope then works like any other.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct InstrumentationScope<'a> {
    /// The name, usually the crate's or the component's.
    pub name: &'a str,
    /// The version of that code; empty if unknown.
    pub version: &'a str,
    /// The schema URL of its spans and events; empty if there is none.
    pub schema_url: &'a str,
    /// Attributes of the scope.
    pub attributes: &'a [KeyValue<'a>],
}

impl<'a> InstrumentationScope<'a> {
    /// A scope with a name only.
    #[must_use]
    pub const fn new(name: &'a str) -> Self {
        Self {
            name,
            version: "",
            schema_url: "",
            attributes: &[],
        }
    }

    /// Returns the same scope with a version.
    #[must_use]
    pub const fn with_version(self, version: &'a str) -> Self {
        Self { version, ..self }
    }
}

/// The number of a scope within its [`Registry`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ScopeId(pub(crate) u16);

/// The reason why a resource or a scope was not added. The registry is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RegistryError {
    /// The memory of the registry is too small.
    Full {
        /// Bytes missing.
        missing: usize,
    },
    /// One entry is longer than 65,535 bytes.
    TooLong,
    /// There are 65,535 scopes already.
    TooMany,
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full { missing } => {
                write!(
                    f,
                    "the registry is {missing} bytes too small for this entry"
                )
            }
            Self::TooLong => f.write_str("a resource or scope takes at most 65,535 bytes"),
            Self::TooMany => f.write_str("a registry holds at most 65,535 scopes"),
        }
    }
}

impl core::error::Error for RegistryError {}

/// One encoded entry: the fields before its spans on the wire, and the field after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The `resource` or `scope` field, tag included; empty if it has no content.
    pub(crate) head: &'a [u8],
    /// The `schema_url` field, tag included, or nothing.
    pub(crate) tail: &'a [u8],
}

impl Entry<'_> {
    const EMPTY: Self = Self {
        head: &[],
        tail: &[],
    };
}

/// The resource and the scopes of one pipeline, encoded once.
///
/// `S` is the caller's memory: an array, a `&mut [u8]`, a boxed slice. An entry takes its encoded
/// length and four bytes.
#[derive(Clone, Debug)]
pub struct Registry<S> {
    storage: S,
    used: usize,
    scopes: u16,
}

impl<S> Registry<S> {
    /// A registry without a resource, for a `static`; set it later by [`Registry::set_resource`].
    #[must_use]
    pub const fn empty(storage: S) -> Self {
        Self {
            storage,
            used: 0,
            scopes: 0,
        }
    }
}

impl<S: AsRef<[u8]> + AsMut<[u8]>> Registry<S> {
    /// A registry over `storage` for `resource`.
    ///
    /// # Errors
    ///
    /// The resource does not fit.
    pub fn new(storage: S, resource: &Resource<'_>) -> Result<Self, RegistryError> {
        let mut registry = Self::empty(storage);
        registry.set_resource(resource)?;
        Ok(registry)
    }

    /// Sets the resource of a registry that was made [`empty`](Self::empty). All scopes are
    /// forgotten.
    ///
    /// # Errors
    ///
    /// The resource does not fit; the registry is then empty.
    pub fn set_resource(&mut self, resource: &Resource<'_>) -> Result<(), RegistryError> {
        (self.used, self.scopes) = (0, 0);
        let attributes = Attributes {
            field: 1,
            items: resource.attributes,
        };
        let target = self.storage.as_mut();
        self.used = encode_entry(target, attributes.len(), resource.schema_url, &|w| {
            attributes.put(w);
        })?;
        Ok(())
    }

    /// Returns the number of `scope`, which is added if it is new. Two scopes are the same if name,
    /// version, schema URL and attributes are.
    ///
    /// # Errors
    ///
    /// The scope is new and does not fit. A known scope is found in a full registry as well, unless
    /// it has an attribute of more than 128 bytes: that is compared where the next entry would go.
    pub fn scope(&mut self, scope: &InstrumentationScope<'_>) -> Result<ScopeId, RegistryError> {
        if self.used == 0 {
            // The first entry is always the resource, even an empty one.
            self.set_resource(&Resource::default())?;
        }
        let attributes = Attributes {
            field: 3,
            items: scope.attributes,
        };
        let content =
            nonempty_len(scope.name.len()) + nonempty_len(scope.version.len()) + attributes.len();
        // Always `Some`: `used` bytes have been written.
        let storage = self.storage.as_mut().split_at_mut_checked(self.used);
        let (kept, free) = storage.unwrap_or_default();
        let encoded = encode_entry(free, content, scope.schema_url, &|w| {
            w.put_nonempty(1, scope.name.as_bytes());
            w.put_nonempty(2, scope.version.as_bytes());
            attributes.put(w);
        });
        let len = match encoded {
            Ok(len) => len,
            Err(error) => return find_unencoded(kept, content, scope).ok_or(error),
        };
        let encoded = free.get(..len).unwrap_or_default();
        if let Some(id) = find(kept, encoded) {
            return Ok(id);
        }
        let id = ScopeId(self.scopes);
        self.scopes = self.scopes.checked_add(1).ok_or(RegistryError::TooMany)?;
        self.used += len;
        Ok(id)
    }

    /// Returns the number of the first scope of `other`, which is added if it is new.
    #[cfg(feature = "std")]
    pub(crate) fn adopt_scope<T: AsRef<[u8]>>(
        &mut self,
        other: &Registry<T>,
    ) -> Result<ScopeId, RegistryError> {
        let bytes = other.storage.as_ref().get(..other.used);
        let mut entries = EntryIter {
            rest: bytes.unwrap_or_default(),
        };
        let Some((_, entry)) = entries.nth(1) else {
            return Ok(ScopeId::default());
        };
        let storage = self.storage.as_mut().split_at_mut_checked(self.used);
        let (kept, free) = storage.unwrap_or_default();
        if let Some(id) = find(kept, entry) {
            return Ok(id);
        }
        let missing = entry.len().saturating_sub(free.len());
        let target = free.get_mut(..entry.len());
        let target = target.ok_or(RegistryError::Full { missing })?;
        target.copy_from_slice(entry);
        let id = ScopeId(self.scopes);
        self.scopes = self.scopes.checked_add(1).ok_or(RegistryError::TooMany)?;
        self.used += entry.len();
        Ok(id)
    }

    /// Returns true if the scope of this number is here.
    #[cfg(feature = "std")]
    pub(crate) const fn has(&self, scope: ScopeId) -> bool {
        scope.0 < self.scopes
    }

    /// A copy that takes no more memory than its entries, and takes in no others.
    #[cfg(feature = "std")]
    pub(crate) fn to_compact(&self) -> Registry<std::boxed::Box<[u8]>> {
        let used = self.storage.as_ref().get(..self.used);
        Registry {
            storage: used.unwrap_or_default().into(),
            used: self.used,
            scopes: self.scopes,
        }
    }

    /// Copies the entries of `other` that this registry does not have yet. Only for a registry that
    /// began as a copy of `other`, where equal numbers mean equal scopes.
    #[cfg(feature = "std")]
    pub(crate) fn copy_from(&mut self, other: &Self) {
        if other.used <= self.used {
            return;
        }
        let range = self.used..other.used;
        let from = other.storage.as_ref().get(range.clone());
        if let (Some(to), Some(from)) = (self.storage.as_mut().get_mut(range), from) {
            to.copy_from_slice(from);
            self.used = other.used;
            self.scopes = other.scopes;
        }
    }

    /// Returns the number of scopes.
    #[must_use]
    pub const fn scopes(&self) -> usize {
        self.scopes as usize
    }

    /// Returns the number of bytes in use.
    #[must_use]
    pub const fn used_bytes(&self) -> usize {
        self.used
    }

    pub(crate) fn view(&self) -> Entries<'_> {
        Entries {
            bytes: self.storage.as_ref().get(..self.used).unwrap_or_default(),
        }
    }
}

/// The entries of a registry: the resource first, then the scopes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entries<'a> {
    bytes: &'a [u8],
}

impl<'a> Entries<'a> {
    /// The whole entry at `index`: 0 is the resource, then come the scopes.
    #[cfg(feature = "link")]
    pub(crate) fn encoded(self, index: usize) -> Option<&'a [u8]> {
        let mut entries = EntryIter { rest: self.bytes };
        for _ in 0..index {
            entries.next();
        }
        entries.next().map(|(_, whole)| whole)
    }

    pub(crate) fn resource(self) -> Entry<'a> {
        self.at(0)
    }

    /// The scope of `id`; a nameless one if the registry does not have it.
    pub(crate) fn scope(self, id: ScopeId) -> Entry<'a> {
        self.at(usize::from(id.0) + 1)
    }

    fn at(self, index: usize) -> Entry<'a> {
        let mut entries = EntryIter { rest: self.bytes };
        for _ in 0..index {
            entries.next();
        }
        entries.next().map_or(Entry::EMPTY, |(entry, _)| entry)
    }
}

/// The longest attribute of a scope that is compared without room in the registry.
const COMPARED_ATTRIBUTE: usize = 128;

/// Iterates over encoded entries, each with its whole bytes, the two lengths included.
struct EntryIter<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for EntryIter<'a> {
    type Item = (Entry<'a>, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (&[a, b, c, d], content) = self.rest.split_first_chunk::<4>()?;
        let head = usize::from(u16::from_le_bytes([a, b]));
        let tail = usize::from(u16::from_le_bytes([c, d]));
        let (content, _) = content.split_at_checked(head + tail)?;
        let (whole, rest) = self.rest.split_at_checked(4 + head + tail)?;
        self.rest = rest;
        let (head, tail) = content.split_at_checked(head)?;
        Some((Entry { head, tail }, whole))
    }
}

fn find(kept: &[u8], encoded: &[u8]) -> Option<ScopeId> {
    let index = EntryIter { rest: kept }
        .skip(1)
        .position(|(_, whole)| whole == encoded)?;
    u16::try_from(index).ok().map(ScopeId)
}

/// Finds a scope without room to encode it. `content` is the length of its message.
#[cold]
#[inline(never)]
fn find_unencoded(
    kept: &[u8],
    content: usize,
    scope: &InstrumentationScope<'_>,
) -> Option<ScopeId> {
    let index = EntryIter { rest: kept }
        .skip(1)
        .position(|(entry, _)| is_entry_of(&entry, content, scope).is_some())?;
    u16::try_from(index).ok().map(ScopeId)
}

/// `Some` if `entry` is what the scope would be encoded to.
fn is_entry_of(entry: &Entry<'_>, content: usize, scope: &InstrumentationScope<'_>) -> Option<()> {
    let mut rest = entry.head;
    if content > 0 {
        rest = without_header(rest, 1, content)?;
    }
    rest = without_text(rest, 1, scope.name)?;
    rest = without_text(rest, 2, scope.version)?;
    let attributes = Attributes {
        field: 3,
        items: scope.attributes,
    };
    for item in attributes.kept() {
        let mut encoded = [0; COMPARED_ATTRIBUTE];
        let len = key_value_len(item.key, &item.value, ValueLimits::DEFAULT);
        let encoded = encoded.get_mut(..len)?;
        put_key_value(
            &mut Writer::new(encoded),
            item.key,
            &item.value,
            ValueLimits::DEFAULT,
        );
        rest = without_header(rest, 3, len)?.strip_prefix(&*encoded)?;
    }
    let tail = without_text(entry.tail, 3, scope.schema_url)?;
    (rest.is_empty() && tail.is_empty()).then_some(())
}

/// What follows the header of a field of `len` bytes.
fn without_header(bytes: &[u8], field: u8, len: usize) -> Option<&[u8]> {
    let (first, rest) = bytes.split_first()?;
    let (found, header) = get_varint(rest)?;
    if *first != tag(field, BYTES) || found != len as u64 {
        return None;
    }
    rest.get(header..)
}

/// What follows a text field, which is left out if it is empty.
fn without_text<'a>(bytes: &'a [u8], field: u8, text: &str) -> Option<&'a [u8]> {
    if text.is_empty() {
        return Some(bytes);
    }
    without_header(bytes, field, text.len())?.strip_prefix(text.as_bytes())
}

/// Writes `[head length][tail length][head][tail]` and returns the number of bytes.
fn encode_entry(
    target: &mut [u8],
    content: usize,
    schema_url: &str,
    put: &dyn Fn(&mut Writer<'_>),
) -> Result<usize, RegistryError> {
    let head = nonempty_len(content);
    let tail = nonempty_len(schema_url.len());
    let (Ok(head16), Ok(tail16)) = (u16::try_from(head), u16::try_from(tail)) else {
        return Err(RegistryError::TooLong);
    };
    let len = 4 + head + tail;
    let available = target.len();
    let mut writer = Writer::new(target.get_mut(..len).ok_or(RegistryError::Full {
        missing: len.saturating_sub(available),
    })?);
    writer.put(&head16.to_le_bytes());
    writer.put(&tail16.to_le_bytes());
    if content > 0 {
        writer.put_header(1, content);
        put(&mut writer);
    }
    writer.put_nonempty(3, schema_url.as_bytes());
    writer.finish().ok_or(RegistryError::TooLong)
}

/// A repeated attribute field without limits; of a repeated key the last value is kept.
struct Attributes<'a> {
    field: u8,
    items: &'a [KeyValue<'a>],
}

impl<'a> Attributes<'a> {
    fn kept(&self) -> impl Iterator<Item = &'a KeyValue<'a>> {
        let items = self.items;
        items.iter().enumerate().filter_map(move |(i, item)| {
            let superseded = items.iter().skip(i + 1).any(|later| later.key == item.key);
            (!item.key.is_empty() && !superseded).then_some(item)
        })
    }

    fn len(&self) -> usize {
        let mut writer = Writer::measuring();
        self.put(&mut writer);
        writer.measured()
    }

    #[cfg_attr(target_os = "none", inline(never))]
    fn put(&self, writer: &mut Writer<'_>) {
        for item in self.kept() {
            let len = key_value_len(item.key, &item.value, ValueLimits::DEFAULT);
            if writer.open(self.field, len) {
                put_key_value(writer, item.key, &item.value, ValueLimits::DEFAULT);
            }
        }
    }
}

#[cfg(test)]
mod tests;
