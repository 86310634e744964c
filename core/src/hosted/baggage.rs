//! Baggage: names and values that travel with a request, through this process and to the next ones.
//!
//! [`Baggage`] is immutable and lives in the [`Context`]. Whatever is started, entered or sent under
//! that context sees it; [`BaggagePropagator`] moves it in and out of requests, within the limits of
//! the [format](crate::baggage). A name is any text here; one that the format has no room for is not
//! sent, and reported.
//!
//! Baggage goes to every service that the program calls, other companies' included, and anyone can
//! send it. Keep no secret in it, and trust nothing that came with a request.
//!
//! <https://opentelemetry.io/docs/specs/otel/baggage/api/>
//!
//! ```
//! use spandrel_core::hosted::baggage::Baggage;
//!
//! let _guard = Baggage::current().with("tenant", "acme").attach();
//! assert_eq!(Baggage::current().get("tenant"), Some("acme"));
//! ```

use core::fmt::{self, Write as _};
use core::ops::ControlFlow;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use crate::baggage::{BAGGAGE, Reader, Writer};
use crate::hosted::current::{self, Context, ContextKey, Guard};
use crate::hosted::diagnostics::{self, Kind, Severity};
use crate::hosted::propagation::ContextPropagator;
use crate::propagation::{Getter, Setter};

static KEY: ContextKey<Baggage> = ContextKey::new("baggage");
static EMPTY: Baggage = Baggage::new();

/// Names with a value each, and metadata or none. Cloning it allocates nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Baggage {
    entries: Option<Arc<[Entry]>>,
}

/// Name, value and metadata, one behind the other.
#[derive(Clone, PartialEq, Eq)]
struct Entry {
    text: Arc<str>,
    name: usize,
    value: usize,
}

impl Entry {
    fn new(name: &str, value: &dyn fmt::Display, metadata: &str) -> Self {
        let mut text = String::from(name);
        // A string takes everything.
        let _ = write!(text, "{value}");
        let end = text.len();
        text.push_str(metadata);
        Self {
            text: text.into(),
            name: name.len(),
            value: end,
        }
    }

    fn name(&self) -> &str {
        self.text.get(..self.name).unwrap_or_default()
    }

    fn value(&self) -> &str {
        self.text.get(self.name..self.value).unwrap_or_default()
    }

    fn metadata(&self) -> &str {
        self.text.get(self.value..).unwrap_or_default()
    }
}

impl Baggage {
    /// Baggage without entries.
    #[must_use]
    pub const fn new() -> Self {
        Self { entries: None }
    }

    /// The baggage that is current on this thread.
    #[must_use]
    pub fn current() -> Self {
        current::current().map_or_else(Self::new, |context| context.baggage().clone())
    }

    /// Makes this baggage current on this thread, in place of what is current, until the guard is
    /// dropped. The span stays.
    pub fn attach(self) -> Guard {
        let context = current::current().unwrap_or_default();
        current::attach(context.with_baggage(self))
    }

    /// Returns the value of `name`; case counts.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(Entry::value)
    }

    /// Returns the metadata of `name`, the properties behind its value; empty for none.
    #[must_use]
    pub fn metadata(&self, name: &str) -> Option<&str> {
        self.find(name).map(Entry::metadata)
    }

    /// This baggage with `value` under `name`, in place of the value and the metadata that are there.
    /// An empty name changes nothing.
    #[must_use]
    pub fn with(&self, name: &str, value: impl fmt::Display) -> Self {
        self.with_metadata(name, value, "")
    }

    /// As [`Baggage::with`], with metadata, which is sent behind the value as it is.
    #[must_use]
    pub fn with_metadata(&self, name: &str, value: impl fmt::Display, metadata: &str) -> Self {
        let mut entries = self.entries().to_vec();
        put(&mut entries, Entry::new(name, &value, metadata));
        entries.into()
    }

    /// This baggage without an entry `name`.
    #[must_use]
    pub fn without(&self, name: &str) -> Self {
        let others = self.entries().iter().filter(|entry| entry.name() != name);
        others.cloned().collect::<Vec<_>>().into()
    }

    /// The entries as name, value and metadata, in the order in which the names were set first.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str, &str)> {
        let entries = self.entries().iter();
        entries.map(|entry| (entry.name(), entry.value(), entry.metadata()))
    }

    /// The number of entries.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries().len()
    }

    /// Returns true if there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_none()
    }

    fn entries(&self) -> &[Entry] {
        self.entries.as_deref().unwrap_or_default()
    }

    fn find(&self, name: &str) -> Option<&Entry> {
        self.entries().iter().find(|entry| entry.name() == name)
    }
}

/// The last value of a name counts.
fn put(entries: &mut Vec<Entry>, new: Entry) {
    if new.name().is_empty() {
        return;
    }
    match entries.iter_mut().find(|entry| entry.name() == new.name()) {
        Some(entry) => *entry = new,
        None => entries.push(new),
    }
}

impl From<Vec<Entry>> for Baggage {
    fn from(entries: Vec<Entry>) -> Self {
        Self {
            entries: (!entries.is_empty()).then(|| entries.into()),
        }
    }
}

/// Names and values; the last value of a name counts.
impl<N: AsRef<str>, V: fmt::Display> FromIterator<(N, V)> for Baggage {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let mut entries = Vec::new();
        for (name, value) in pairs {
            put(&mut entries, Entry::new(name.as_ref(), &value, ""));
        }
        entries.into()
    }
}

/// Shows the names only: values may be somebody's data.
impl fmt::Debug for Baggage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Baggage ")?;
        f.debug_list().entries(self.iter().map(|it| it.0)).finish()
    }
}

impl Context {
    /// Returns the baggage; empty if there is none.
    #[must_use]
    pub fn baggage(&self) -> &Baggage {
        self.value(&KEY).unwrap_or(&EMPTY)
    }

    /// This context with `baggage` in place of its own.
    #[must_use]
    pub fn with_baggage(&self, baggage: Baggage) -> Self {
        match baggage.is_empty() {
            true => self.without_value(&KEY),
            false => self.with_value(&KEY, baggage),
        }
    }
}

/// Moves baggage into and out of carriers: the header `baggage` of
/// [W3C Baggage](https://www.w3.org/TR/baggage/).
///
/// What is over a [limit](crate::baggage) is left out whole, in both directions. That is reported
/// once, and counted in [`left_out`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BaggagePropagator;

impl ContextPropagator for BaggagePropagator {
    fn inject_from(&self, context: &Context, carrier: &mut dyn Setter) {
        let baggage = context.baggage();
        if baggage.is_empty() {
            return;
        }
        let mut writer = Writer::new(String::new());
        for (name, value, metadata) in baggage.iter() {
            writer.add(name, value, metadata);
        }
        note("outgoing", writer.left_out());
        if !writer.is_empty() {
            carrier.set(BAGGAGE, &writer.into_inner());
        }
    }

    fn extract_into(&self, context: &Context, carrier: &dyn Getter) -> Context {
        let mut reader = Reader::new();
        let mut entries = Vec::new();
        carrier.get_all(BAGGAGE, &mut |header| {
            reader.read(header, |member| {
                let value = member.value();
                put(
                    &mut entries,
                    match value.as_plain() {
                        Some(plain) => Entry::new(member.key(), &plain, member.metadata()),
                        None => Entry::new(member.key(), &value, member.metadata()),
                    },
                );
            });
            match reader.is_full() {
                true => ControlFlow::Break(()),
                false => ControlFlow::Continue(()),
            }
        });
        note(
            "incoming",
            reader.left_out().saturating_add(reader.malformed()),
        );
        match entries.is_empty() {
            true => context.clone(),
            false => context.with_baggage(entries.into()),
        }
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str)) {
        visit(BAGGAGE);
    }
}

static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

/// Returns the number of entries that this process has left out so far: members of incoming requests
/// that were over a limit or not valid, and entries that could not be sent.
#[must_use]
pub fn left_out() -> u64 {
    LEFT_OUT.load(Ordering::Relaxed)
}

fn note(direction: &str, members: u32) {
    if members > 0 {
        count(direction, members);
    }
}

#[cold]
fn count(direction: &str, members: u32) {
    static SAID: AtomicBool = AtomicBool::new(false);
    LEFT_OUT.fetch_add(members.into(), Ordering::Relaxed);
    if !SAID.swap(true, Ordering::Relaxed) {
        diagnostics::report(
            Kind::Baggage,
            Severity::Warn,
            format_args!(
                "{members} entries of {direction} baggage left out: not valid, or over the limit of \
                 {} members, {} bytes in all or {} bytes each; this is said once, and \
                 baggage::left_out() counts them",
                crate::baggage::MAX_MEMBERS,
                crate::baggage::MAX_BYTES,
                crate::baggage::MAX_MEMBER_BYTES,
            ),
        );
    }
}
