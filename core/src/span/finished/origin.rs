//! The scope and the resource of a finished span.

use core::fmt;

use super::{Attributes, find, text};
use crate::resource::Entry;

/// The instrumentation scope of a finished span: its tracer's.
#[derive(Clone, Copy)]
pub struct FinishedScope<'a>(pub(super) Entry<'a>);

impl<'a> FinishedScope<'a> {
    /// Returns the name.
    #[must_use]
    pub fn name(&self) -> &'a str {
        text(find(self.message(), 1))
    }

    /// Returns the version; empty if there is none.
    #[must_use]
    pub fn version(&self) -> &'a str {
        text(find(self.message(), 2))
    }

    /// Returns the schema URL of the scope's spans; empty if there is none.
    #[must_use]
    pub fn schema_url(&self) -> &'a str {
        text(find(self.0.tail, 3))
    }

    /// Returns the attributes of the scope.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(self.message(), 3)
    }

    fn message(&self) -> &'a [u8] {
        find(self.0.head, 1).unwrap_or_default()
    }
}

impl fmt::Debug for FinishedScope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishedScope")
            .field("name", &self.name())
            .field("version", &self.version())
            .field("schema_url", &self.schema_url())
            .field("attributes", &self.attributes())
            .finish()
    }
}

/// The resource of a finished span: the program that it is from.
#[derive(Clone, Copy)]
pub struct FinishedResource<'a>(pub(super) Entry<'a>);

impl<'a> FinishedResource<'a> {
    /// Returns the attributes.
    #[must_use]
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes::new(find(self.0.head, 1).unwrap_or_default(), 1)
    }

    /// Returns the schema URL of the attributes; empty if there is none.
    #[must_use]
    pub fn schema_url(&self) -> &'a str {
        text(find(self.0.tail, 3))
    }
}

impl fmt::Debug for FinishedResource<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FinishedResource")
            .field("attributes", &self.attributes())
            .field("schema_url", &self.schema_url())
            .finish()
    }
}
