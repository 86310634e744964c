//! The attributes of this process: its `Resource`.
//!
//! An attribute has four sources, and the last one that provides it wins:
//!
//! ```text
//! detected  <  OTEL_RESOURCE_ATTRIBUTES  <  OTEL_SERVICE_NAME  <  explicit code
//! ```
//!
//! [Detectors](ResourceDetector) find the weakest: some of Spandrel's [own](BuiltinDetector), unless
//! `OTEL_EXPERIMENTAL_RESOURCE_DETECTORS` or code selects others by name, and an application's. By
//! default none of them reads the command line, which may carry secrets, the network, or a privileged
//! file. An attribute that cannot be found is left out, which is no error.
//!
//! <https://opentelemetry.io/docs/specs/otel/resource/sdk/>
//!
//! ```
//! use spandrel_core::hosted::resource::ResourceBuilder;
//!
//! let resource = ResourceBuilder::detect()
//!     .environment([("service.name", "from-env"), ("team", "storage")])
//!     .service_name("checkout")
//!     .build();
//! assert_eq!(resource.text("service.name"), Some("checkout"));
//! assert_eq!(resource.text("team"), Some("storage"));
//! assert_eq!(resource.text("telemetry.sdk.name"), Some("spandrel"));
//! ```

mod detector;
mod machine;

pub use detector::{BuiltinDetector, ResourceDetector};
pub(in crate::hosted) use detector::{Detection, name_of};

use core::fmt;
use std::borrow::{Cow, ToOwned};
use std::string::String;
use std::vec::Vec;

use crate::attribute::{KeyValue, Value};

/// The schema URL of the semantic conventions that the detected attributes follow.
pub const SCHEMA_URL: &str = "https://opentelemetry.io/schemas/1.44.0";

/// The value of a resource attribute, owned.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ResourceValue {
    /// Text.
    String(Cow<'static, str>),
    /// An integer.
    I64(i64),
    /// A boolean.
    Bool(bool),
    /// A double.
    F64(f64),
}

impl ResourceValue {
    /// The value, borrowed.
    #[must_use]
    pub fn as_value(&self) -> Value<'_> {
        match self {
            Self::String(text) => Value::String(text),
            &Self::I64(number) => Value::I64(number),
            &Self::Bool(flag) => Value::Bool(flag),
            &Self::F64(number) => Value::F64(number),
        }
    }
}

macro_rules! resource_value_from {
    ($($source:ty => |$v:ident| $target:expr;)*) => {$(
        impl From<$source> for ResourceValue {
            fn from($v: $source) -> Self {
                $target
            }
        }
    )*};
}

resource_value_from! {
    &str => |v| Self::String(Cow::Owned(v.to_owned()));
    String => |v| Self::String(Cow::Owned(v));
    Cow<'static, str> => |v| Self::String(v);
    i64 => |v| Self::I64(v);
    i32 => |v| Self::I64(v.into());
    u32 => |v| Self::I64(v.into());
    bool => |v| Self::Bool(v);
    f64 => |v| Self::F64(v);
}

/// The sources of an attribute, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
    Fallback,
    Detected,
    Environment,
    ServiceNameVariable,
    Code,
}

#[derive(Clone, Debug)]
struct Attribute {
    key: Cow<'static, str>,
    value: ResourceValue,
    source: Source,
}

/// Collects the attributes of a [`HostedResource`]. Between sources the order of the calls does not
/// matter; within one source the last call for a key wins.
#[derive(Clone, Debug)]
pub struct ResourceBuilder {
    attributes: Vec<Attribute>,
    schema_url: Cow<'static, str>,
}

impl ResourceBuilder {
    /// A builder without any attributes, not even the SDK's own.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            attributes: Vec::new(),
            schema_url: Cow::Borrowed(""),
        }
    }

    /// A builder with what the [detectors](BuiltinDetector) find that run by default, and with the
    /// SDK's own attributes. Takes less than a tenth of a millisecond.
    #[must_use]
    pub fn detect() -> Self {
        Self::detected(Detection::DEFAULT.run(&mut drop))
    }

    /// A builder with what detectors have found, and with the SDK's own attributes.
    pub(in crate::hosted) fn detected(found: HostedResource) -> Self {
        let mut builder = Self {
            attributes: Vec::new(),
            schema_url: found.schema_url,
        };
        for (key, value) in found.attributes {
            builder.put(key, value, Source::Detected);
        }
        let sdk = [
            ("telemetry.sdk.name", "spandrel"),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        for (key, text) in sdk {
            let value = ResourceValue::String(Cow::Borrowed(text));
            builder.put(Cow::Borrowed(key), value, Source::Detected);
        }
        // Whatever is detected, a resource has a service name.
        builder.put(
            Cow::Borrowed("service.name"),
            ResourceValue::String(Cow::Borrowed("unknown_service")),
            Source::Fallback,
        );
        builder
    }

    /// Adds the pairs of `OTEL_RESOURCE_ATTRIBUTES`, already decoded.
    #[must_use]
    pub fn environment<K: AsRef<str>, V: AsRef<str>>(
        mut self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        for (key, value) in pairs {
            let key = Cow::Owned(key.as_ref().to_owned());
            self.put(key, value.as_ref().into(), Source::Environment);
        }
        self
    }

    /// Adds the value of `OTEL_SERVICE_NAME`; empty means unset.
    #[must_use]
    pub fn service_name_variable(mut self, name: &str) -> Self {
        if !name.is_empty() {
            let key = Cow::Borrowed("service.name");
            self.put(key, name.into(), Source::ServiceNameVariable);
        }
        self
    }

    /// Sets the name of the service in code; empty means unset.
    #[must_use]
    pub fn service_name(self, name: &str) -> Self {
        if name.is_empty() {
            return self;
        }
        self.attribute("service.name", name)
    }

    /// Sets the version of the service in code; empty means unset.
    #[must_use]
    pub fn service_version(self, version: &str) -> Self {
        if version.is_empty() {
            return self;
        }
        self.attribute("service.version", version)
    }

    /// Sets an attribute in code. It replaces all other sources, also with an empty value.
    #[must_use]
    pub fn attribute(
        mut self,
        key: impl Into<Cow<'static, str>>,
        value: impl Into<ResourceValue>,
    ) -> Self {
        self.put(key.into(), value.into(), Source::Code);
        self
    }

    /// Replaces the schema URL, for attributes that follow another version of the conventions.
    #[must_use]
    pub fn schema_url(mut self, url: impl Into<Cow<'static, str>>) -> Self {
        self.schema_url = url.into();
        self
    }

    /// The finished resource.
    #[must_use]
    pub fn build(self) -> HostedResource {
        HostedResource {
            attributes: self
                .attributes
                .into_iter()
                .map(|attribute| (attribute.key, attribute.value))
                .collect(),
            schema_url: self.schema_url,
        }
    }

    // A stronger or equal source replaces the value, a weaker one is ignored. Empty keys are not
    // valid (spec D-049).
    fn put(&mut self, key: Cow<'static, str>, value: ResourceValue, source: Source) {
        if key.is_empty() {
            return;
        }
        match self
            .attributes
            .iter_mut()
            .find(|attribute| attribute.key == key)
        {
            Some(attribute) if attribute.source <= source => {
                attribute.value = value;
                attribute.source = source;
            }
            Some(_) => {}
            None => self.attributes.push(Attribute { key, value, source }),
        }
    }
}

/// The attributes of a process and the schema that they follow.
#[derive(Clone, Debug, PartialEq)]
pub struct HostedResource {
    attributes: Vec<(Cow<'static, str>, ResourceValue)>,
    schema_url: Cow<'static, str>,
}

impl HostedResource {
    /// A resource without attributes and without a schema URL.
    #[must_use]
    pub const fn empty() -> Self {
        Self {
            attributes: Vec::new(),
            schema_url: Cow::Borrowed(""),
        }
    }

    /// Merges two resources: of a key that both have, `updating` wins, also with an empty value.
    ///
    /// The schema URL is the one that either has.
    ///
    /// <https://opentelemetry.io/docs/specs/otel/resource/sdk/#merge>
    ///
    /// # Errors
    ///
    /// Both have a schema URL, and they differ: then the attributes do not mean the same.
    ///
    /// ```
    /// use spandrel_core::hosted::resource::ResourceBuilder;
    ///
    /// let old = ResourceBuilder::empty().attribute("team", "storage").attribute("rack", 7).build();
    /// let updating = ResourceBuilder::empty().attribute("team", "").build();
    /// let merged = old.merge(&updating)?;
    /// assert_eq!(merged.text("team"), Some(""));
    /// assert!(merged.get("rack").is_some());
    /// # Ok::<(), spandrel_core::hosted::resource::MergeError>(())
    /// ```
    pub fn merge(&self, updating: &Self) -> Result<Self, MergeError> {
        match self.clone().merged(updating.clone()) {
            (merged, None) => Ok(merged),
            (_, Some(conflict)) => Err(conflict),
        }
    }

    /// As [`merge`](Self::merge); with schema URLs that differ, the result has none.
    fn merged(mut self, updating: Self) -> (Self, Option<MergeError>) {
        for (key, value) in updating.attributes {
            match self.attributes.iter_mut().find(|(known, _)| *known == key) {
                Some((_, old)) => *old = value,
                None => self.attributes.push((key, value)),
            }
        }
        let mut conflict = None;
        if self.schema_url.is_empty() {
            self.schema_url = updating.schema_url;
        } else if !updating.schema_url.is_empty() && updating.schema_url != self.schema_url {
            conflict = Some(MergeError {
                old: core::mem::take(&mut self.schema_url).into_owned(),
                new: updating.schema_url.into_owned(),
            });
        }
        (self, conflict)
    }

    /// The attributes; every key occurs once.
    pub fn attributes(&self) -> impl Iterator<Item = KeyValue<'_>> {
        self.attributes.iter().map(|(key, value)| KeyValue {
            key,
            value: value.as_value(),
        })
    }

    /// The value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&ResourceValue> {
        self.attributes
            .iter()
            .find_map(|(k, value)| (k == key).then_some(value))
    }

    /// The value of `key`, if it is text.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        match self.get(key)? {
            ResourceValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The schema URL; empty if none applies.
    #[must_use]
    pub fn schema_url(&self) -> &str {
        &self.schema_url
    }
}

/// Two resources follow different schemas, so their attributes do not mean the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MergeError {
    /// The schema URL of the resource that was to be updated.
    pub old: String,
    /// The schema URL of the resource that updates it.
    pub new: String,
}

impl fmt::Display for MergeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "two resources with the schemas {} and {} cannot be merged; leave one of the schema URLs \
             empty if the attributes mean the same",
            self.old, self.new
        )
    }
}

impl core::error::Error for MergeError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stronger_source_wins_in_any_order_of_calls() {
        let code_first = ResourceBuilder::empty()
            .service_name("code")
            .service_name_variable("variable")
            .environment([("service.name", "list"), ("only", "list")])
            .build();
        assert_eq!(code_first.text("service.name"), Some("code"));
        assert_eq!(code_first.text("only"), Some("list"));

        let variable = ResourceBuilder::detect()
            .service_name_variable("variable")
            .environment([("service.name", "list")])
            .service_name("")
            .build();
        assert_eq!(variable.text("service.name"), Some("variable"));

        let list = ResourceBuilder::detect()
            .environment([("service.name", "first"), ("service.name", "list")])
            .service_name_variable("")
            .build();
        assert_eq!(list.text("service.name"), Some("list"));
    }

    #[test]
    fn an_explicit_empty_value_wins_and_an_empty_key_is_ignored() {
        let resource = ResourceBuilder::detect()
            .attribute("host.name", "")
            .attribute("", "nothing")
            .build();
        assert_eq!(resource.text("host.name"), Some(""));
        assert_eq!(resource.get(""), None);
    }

    #[test]
    fn detection_names_the_process_and_the_sdk() {
        let resource = ResourceBuilder::detect().build();
        let name = resource.text("service.name").unwrap();
        let executable = resource.text("process.executable.name").unwrap();
        assert_eq!(name, std::format!("unknown_service:{executable}"));
        assert!(!executable.contains('/'));
        assert_eq!(
            resource.get("process.pid"),
            Some(&ResourceValue::I64(std::process::id().into()))
        );
        assert_eq!(resource.text("telemetry.sdk.name"), Some("spandrel"));
        assert_eq!(resource.text("telemetry.sdk.language"), Some("rust"));
        assert_eq!(resource.text("process.runtime.name"), Some("rust"));
        let version = resource.text("process.runtime.version").unwrap();
        assert!(version.starts_with("1."), "{version}");
        assert_eq!(resource.schema_url(), SCHEMA_URL);
        #[cfg(target_os = "linux")]
        {
            assert_eq!(resource.text("os.type"), Some("linux"));
            assert!(!resource.text("host.name").unwrap().contains('\n'));
        }
    }

    // spec D-109, spec D-111
    #[test]
    fn a_merge_takes_the_newer_value_and_the_schema_that_there_is() {
        let resource = |schema: &'static str, value: &'static str| {
            ResourceBuilder::empty()
                .schema_url(schema)
                .attribute("both", value)
                .attribute(value, true)
                .build()
        };
        for (old, new, expected) in [
            ("", "", ""),
            ("a", "", "a"),
            ("", "b", "b"),
            ("a", "a", "a"),
        ] {
            let merged = resource(old, "old").merge(&resource(new, "new")).unwrap();
            assert_eq!(merged.schema_url(), expected);
            assert_eq!(merged.text("both"), Some("new"));
            assert!(merged.get("old").is_some() && merged.get("new").is_some());
        }
        let error = resource("a", "old")
            .merge(&resource("b", "new"))
            .unwrap_err();
        assert_eq!((&*error.old, &*error.new), ("a", "b"));
        assert!(std::format!("{error}").contains("schemas a and b"));
        let one = resource("a", "old");
        assert_eq!(one.merge(&HostedResource::empty()).unwrap(), one);
        assert_eq!(HostedResource::empty().merge(&one).unwrap(), one);
    }

    #[test]
    fn the_command_line_is_not_collected() {
        let resource = ResourceBuilder::detect().build();
        for key in resource.attributes().map(|attribute| attribute.key) {
            assert!(!key.starts_with("process.command"), "{key}");
        }
    }

    #[test]
    fn every_key_occurs_once_and_two_processes_differ() {
        let build = || {
            ResourceBuilder::detect()
                .attribute("host.name", "x")
                .build()
        };
        let (one, two) = (build(), build());
        let mut keys: Vec<_> = one.attributes().map(|attribute| attribute.key).collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
        let id = "service.instance.id";
        assert_ne!(one.text(id), two.text(id));
    }
}
