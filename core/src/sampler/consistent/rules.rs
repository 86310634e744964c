//! The first rule that matches decides.

use core::fmt;

use super::composite::{ComposableSampler, Described, IntentParameters, SamplingIntent};
use crate::attribute::Value;
use crate::context::SpanKind;

/// What a [`Rule`] asks of a span. Attributes are those given at its start.
#[derive(Clone, Copy)]
pub enum Condition<'c> {
    /// Every span.
    Any,
    /// The span has this name.
    Name(&'c str),
    /// Its name begins so.
    NamePrefix(&'c str),
    /// It is of this kind.
    Kind(SpanKind),
    /// It has this attribute with this value.
    Attribute(&'c str, Value<'c>),
    /// It has this attribute, whatever its value.
    HasAttribute(&'c str),
    /// Its tracer has this name.
    Scope(&'c str),
    /// It has no parent.
    Root,
    /// Its parent is in another process.
    RemoteParent,
    /// Its parent is in this process.
    LocalParent,
    /// All of these match.
    All(&'c [Condition<'c>]),
    /// One of these matches.
    AnyOf(&'c [Condition<'c>]),
    /// This does not match.
    Not(&'c Condition<'c>),
    /// This function returns true.
    Matching(&'c (dyn Fn(&IntentParameters<'_>) -> bool + Send + Sync)),
}

impl Condition<'_> {
    /// Returns true if the span is as asked.
    #[must_use]
    pub fn matches(&self, parameters: &IntentParameters<'_>) -> bool {
        let parent = parameters.parent().span_context;
        let attributes = parameters.attributes();
        match *self {
            Self::Any => true,
            Self::Name(name) => parameters.name() == name,
            Self::NamePrefix(prefix) => parameters.name().starts_with(prefix),
            Self::Kind(kind) => parameters.kind() == kind,
            Self::Attribute(key, value) => attributes
                .iter()
                .any(|attribute| attribute.key == key && attribute.value == value),
            Self::HasAttribute(key) => attributes.iter().any(|attribute| attribute.key == key),
            Self::Scope(name) => parameters.scope().is_some_and(|scope| scope.name == name),
            Self::Root => !parent.is_valid(),
            Self::RemoteParent => parent.is_valid() && parent.is_remote(),
            Self::LocalParent => parent.is_valid() && !parent.is_remote(),
            Self::All(conditions) => conditions.iter().all(|it| it.matches(parameters)),
            Self::AnyOf(conditions) => conditions.iter().any(|it| it.matches(parameters)),
            Self::Not(condition) => !condition.matches(parameters),
            Self::Matching(function) => function(parameters),
        }
    }
}

impl fmt::Debug for Condition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Name(name) => write!(f, "name={name:?}"),
            Self::NamePrefix(prefix) => write!(f, "name^={prefix:?}"),
            Self::Kind(kind) => write!(f, "kind={kind:?}"),
            Self::Attribute(key, value) => write!(f, "{key}={value:?}"),
            Self::HasAttribute(key) => write!(f, "has {key}"),
            Self::Scope(name) => write!(f, "scope={name:?}"),
            Self::Root => f.write_str("root"),
            Self::RemoteParent => f.write_str("remote parent"),
            Self::LocalParent => f.write_str("local parent"),
            Self::All(conditions) => write!(f, "all of {conditions:?}"),
            Self::AnyOf(conditions) => write!(f, "any of {conditions:?}"),
            Self::Not(condition) => write!(f, "not {condition:?}"),
            Self::Matching(_) => f.write_str("function"),
        }
    }
}

/// A condition, and the part that decides about the spans that match it.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'c, C> {
    condition: Condition<'c>,
    sampler: C,
}

impl<'c, C: ComposableSampler> Rule<'c, C> {
    /// `sampler` decides about spans that match `condition`.
    #[must_use]
    pub const fn new(condition: Condition<'c>, sampler: C) -> Self {
        Self { condition, sampler }
    }
}

/// The first rule that matches decides about a span; one that matches no rule is dropped.
///
/// `L` is an array, a slice or a vector of [`Rule`]s. Parts of several types go in as
/// `&dyn ComposableSampler`, or on a host as `Box<dyn ComposableSampler + Send + Sync>`.
#[derive(Clone, Copy, Debug)]
pub struct ComposableRuleBased<L> {
    rules: L,
}

impl<L: Rules> ComposableRuleBased<L> {
    /// Asks `rules` in their order.
    #[must_use]
    pub const fn new(rules: L) -> Self {
        Self { rules }
    }
}

/// A list of [`Rule`]s; implemented for all that can be viewed as a slice of them.
pub trait Rules: sealed::Sealed {
    #[doc(hidden)]
    fn intent<'a>(&'a self, parameters: &IntentParameters<'a>) -> SamplingIntent<'a>;
    #[doc(hidden)]
    fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;
    #[doc(hidden)]
    fn shut_down(&self);
}

mod sealed {
    pub trait Sealed {}
}

macro_rules! impl_rules {
    ($($(#[$attribute:meta])* [$($generics:tt)*] $list:ty),+ $(,)?) => {$(
        $(#[$attribute])*
        impl<'c, C: ComposableSampler, $($generics)*> sealed::Sealed for $list {}

        $(#[$attribute])*
        impl<'c, C: ComposableSampler, $($generics)*> Rules for $list {
            fn intent<'a>(&'a self, parameters: &IntentParameters<'a>) -> SamplingIntent<'a> {
                first_intent(self, parameters)
            }

            fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                describe_all(self, f)
            }

            fn shut_down(&self) {
                for rule in self.iter() {
                    rule.sampler.shutdown();
                }
            }
        }
    )+};
}

impl_rules!(
    [const N: usize] [Rule<'c, C>; N],
    [] &[Rule<'c, C>],
    #[cfg(feature = "std")]
    [] std::vec::Vec<Rule<'c, C>>,
);

fn first_intent<'a, C: ComposableSampler>(
    rules: &'a [Rule<'_, C>],
    parameters: &IntentParameters<'a>,
) -> SamplingIntent<'a> {
    rules
        .iter()
        .find(|rule| rule.condition.matches(parameters))
        .map_or(SamplingIntent::DROP, |rule| {
            rule.sampler.sampling_intent(parameters)
        })
}

fn describe_all<C: ComposableSampler>(
    rules: &[Rule<'_, C>],
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    f.write_str("ComposableRuleBased{")?;
    for (i, rule) in rules.iter().enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(
            f,
            "{comma}({:?}:{})",
            rule.condition,
            Described(&rule.sampler)
        )?;
    }
    f.write_str("}")
}

impl<L: Rules> ComposableSampler for ComposableRuleBased<L> {
    fn sampling_intent<'a>(&'a self, parameters: &IntentParameters<'a>) -> SamplingIntent<'a> {
        self.rules.intent(parameters)
    }

    fn description(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.rules.describe(f)
    }

    fn shutdown(&self) {
        self.rules.shut_down();
    }
}
