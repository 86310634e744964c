//! Totals over the queued records, as far as they came in by runs.

use crate::resource::ScopeId;

/// Totals over adjacent records, collected while they were written, so that sending them needs no
/// second pass.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Totals {
    pub(crate) records: u32,
    /// Bytes of all bodies, each with the tag and the length of a field.
    pub(crate) field_bytes: usize,
    /// The scope of all records; `None` if there are several.
    pub(crate) scope: Option<ScopeId>,
    /// All records have wall-clock times.
    pub(crate) dated: bool,
}

impl Totals {
    pub(crate) const NONE: Self = Self {
        records: 0,
        field_bytes: 0,
        scope: None,
        dated: false,
    };
}
