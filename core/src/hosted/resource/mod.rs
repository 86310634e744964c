//! The attributes of this process: its `Resource`.
//!
//! An attribute has four sources, and the last one that provides it wins:
//!
//! ```text
//! detected  <  OTEL_RESOURCE_ATTRIBUTES  <  OTEL_SERVICE_NAME  <  explicit code
//! ```
//!
//! Detection reads the executable's path, the host name and the process id. It reads neither the
//! command line, which may carry secrets, nor the network, nor any privileged file. An attribute
//! that cannot be found is left out, which is no error.
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

use std::borrow::{Cow, ToOwned};
use std::string::String;
use std::vec::Vec;

use super::rng::{self, ThreadRng};
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
    bool => |v| Self::Bool(v);
    f64 => |v| Self::F64(v);
}

/// The sources of an attribute, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Source {
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

    /// A builder with the detected attributes of this process and the SDK's own. Takes a few
    /// microseconds.
    #[must_use]
    pub fn detect() -> Self {
        let mut builder = Self::empty();
        builder.schema_url = Cow::Borrowed(SCHEMA_URL);
        let executable = executable_name();
        let service = match &executable {
            Some(name) => Cow::Owned(std::format!("unknown_service:{name}")),
            None => Cow::Borrowed("unknown_service"),
        };
        let texts = [
            ("service.name", Some(service)),
            (
                "service.instance.id",
                Some(Cow::Owned(rng::uuid_v4(&mut ThreadRng))),
            ),
            ("host.name", host_name().map(Cow::Owned)),
            ("host.arch", host_arch().map(Cow::Borrowed)),
            ("os.type", Some(Cow::Borrowed(os_type()))),
            ("process.executable.name", executable.map(Cow::Owned)),
            ("process.runtime.name", Some(Cow::Borrowed("rust"))),
            (
                "process.runtime.version",
                option_env!("SPANDREL_RUSTC_VERSION").map(Cow::Borrowed),
            ),
            ("telemetry.sdk.name", Some(Cow::Borrowed("spandrel"))),
            ("telemetry.sdk.language", Some(Cow::Borrowed("rust"))),
            (
                "telemetry.sdk.version",
                Some(Cow::Borrowed(env!("CARGO_PKG_VERSION"))),
            ),
        ];
        for (key, text) in texts {
            if let Some(text) = text {
                let value = ResourceValue::String(text);
                builder.put(Cow::Borrowed(key), value, Source::Detected);
            }
        }
        let pid = ResourceValue::I64(std::process::id().into());
        builder.put(Cow::Borrowed("process.pid"), pid, Source::Detected);
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

/// The file name of the running program, without its folder.
fn executable_name() -> Option<String> {
    let path = std::env::current_exe()
        .ok()
        .or_else(|| std::env::args_os().next().map(Into::into))?;
    let name = path.file_name()?.to_string_lossy();
    // Linux marks a program whose file was replaced while it runs.
    let name = name.strip_suffix(" (deleted)").unwrap_or(&name);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn host_name() -> Option<String> {
    let read = |path| std::fs::read_to_string(path).ok();
    let text = read("/proc/sys/kernel/hostname")
        .or_else(|| read("/etc/hostname"))
        .or_else(|| std::env::var("HOSTNAME").ok())?;
    let name = text.trim();
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn host_name() -> Option<String> {
    let name = gethostname::gethostname().to_string_lossy().into_owned();
    (!name.is_empty()).then_some(name)
}

/// The semantic conventions' word for the architecture, if they have one.
fn host_arch() -> Option<&'static str> {
    arch_word(std::env::consts::ARCH)
}

fn arch_word(arch: &str) -> Option<&'static str> {
    Some(match arch {
        "x86_64" => "amd64",
        "x86" => "x86",
        "aarch64" | "arm64ec" => "arm64",
        "arm" => "arm32",
        "powerpc64" => "ppc64",
        "powerpc" => "ppc32",
        "s390x" => "s390x",
        _ => return None,
    })
}

/// The semantic conventions' word for the operating system.
fn os_type() -> &'static str {
    os_word(std::env::consts::OS)
}

fn os_word(os: &'static str) -> &'static str {
    match os {
        "macos" | "ios" | "tvos" | "watchos" | "visionos" => "darwin",
        "android" => "linux",
        "dragonfly" => "dragonflybsd",
        "illumos" => "solaris",
        other => other,
    }
}

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

    #[test]
    fn words_follow_the_conventions() {
        assert_eq!(arch_word("x86_64"), Some("amd64"));
        assert_eq!(arch_word("aarch64"), Some("arm64"));
        assert_eq!(arch_word("arm"), Some("arm32"));
        assert_eq!(arch_word("riscv64"), None);
        assert_eq!(os_word("macos"), "darwin");
        assert_eq!(os_word("dragonfly"), "dragonflybsd");
        assert_eq!(os_word("windows"), "windows");
    }
}
