//! [Detectors](ResourceDetector): what finds out where the process runs.

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::string::String;
use std::sync::Arc;
use std::vec::Vec;

use super::machine::Machine;
use super::{HostedResource, MergeError, ResourceBuilder};

/// Finds attributes of the process, its machine or its platform, once, at the start.
///
/// A detector must be quick, because `init` waits for it: no network without a short time limit. One
/// that finds nothing returns an empty resource. One that panics is reported and finds nothing.
///
/// Set it in [`Config::resource_detectors`](crate::hosted::config::Config::resource_detectors).
///
/// <https://opentelemetry.io/docs/specs/otel/resource/sdk/#detecting-resource-information-from-the-environment>
///
/// ```
/// use spandrel_core::hosted::resource::{HostedResource, ResourceBuilder, ResourceDetector};
///
/// struct Rack;
///
/// impl ResourceDetector for Rack {
///     fn name(&self) -> &str {
///         "rack"
///     }
///
///     fn detect(&self) -> HostedResource {
///         match std::env::var("RACK") {
///             Ok(rack) => ResourceBuilder::empty().attribute("datacentre.rack", rack).build(),
///             Err(_) => HostedResource::empty(),
///         }
///     }
/// }
/// ```
pub trait ResourceDetector: Send + Sync {
    /// Returns its name, by which the operator selects it: `snake_case`, and no other detector's.
    fn name(&self) -> &str;

    /// Returns what it has found.
    fn detect(&self) -> HostedResource;
}

/// The detectors that Spandrel has, by name.
///
/// | name | attributes | by default |
/// |---|---|---|
/// | `service` | `service.name`, made of the executable's name, and a random `service.instance.id` | yes |
/// | `host` | `host.name`, `host.arch`, `host.id`, `os.type`, `os.version` | yes |
/// | `process` | `process.pid`, `process.executable.name`, `process.owner`, `process.runtime.*` | yes |
/// | `process_command` | `process.command`, `process.command_line`, which may hold secrets | no |
/// | `container` | `container.id` | no |
/// | `kubernetes` | `k8s.pod.*`, `k8s.namespace.name`, `k8s.node.name` and the like, of variables that a manifest fills by the downward API | no |
///
/// `telemetry.sdk.*` does not depend on a selection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BuiltinDetector {
    /// `service`.
    Service,
    /// `host`. The id is the machine's, and is left out within a container.
    Host,
    /// `process`.
    Process,
    /// `process_command`.
    ProcessCommand,
    /// `container`.
    Container,
    /// `kubernetes`. A value is taken from the first of three variables that is set: the attribute's
    /// name in capitals (`K8S_POD_NAME`), without its prefix (`POD_NAME`), and as the OpenTelemetry
    /// operator has it (`OTEL_RESOURCE_ATTRIBUTES_POD_NAME`).
    Kubernetes,
}

impl BuiltinDetector {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Service,
        Self::Host,
        Self::Process,
        Self::ProcessCommand,
        Self::Container,
        Self::Kubernetes,
    ];

    const fn word(self) -> &'static str {
        match self {
            Self::Service => "service",
            Self::Host => "host",
            Self::Process => "process",
            Self::ProcessCommand => "process_command",
            Self::Container => "container",
            Self::Kubernetes => "kubernetes",
        }
    }

    const fn is_default(self) -> bool {
        matches!(self, Self::Service | Self::Host | Self::Process)
    }

    fn detect_on(self, machine: &Machine<'_>) -> HostedResource {
        let attributes = match self {
            Self::Service => machine.service(),
            Self::Host => machine.host(),
            Self::Process => machine.process(),
            Self::ProcessCommand => machine.process_command(),
            Self::Container => machine.container(),
            Self::Kubernetes => machine.kubernetes(),
        };
        let mut builder = ResourceBuilder::empty().schema_url(super::SCHEMA_URL);
        for (key, value) in attributes {
            builder = builder.attribute(key, value);
        }
        builder.build()
    }
}

impl ResourceDetector for BuiltinDetector {
    fn name(&self) -> &str {
        self.word()
    }

    fn detect(&self) -> HostedResource {
        self.detect_on(&Machine::this())
    }
}

/// Detectors, and the selection among them.
#[derive(Clone, Copy)]
pub(in crate::hosted) struct Detection<'a> {
    /// The application's.
    pub(in crate::hosted) own: &'a [Arc<dyn ResourceDetector>],
    /// The names that are selected; `None` for the defaults and all of the application's.
    pub(in crate::hosted) names: Option<&'a [&'a str]>,
}

impl Detection<'_> {
    pub(super) const DEFAULT: Self = Self {
        own: &[],
        names: None,
    };

    /// What the selected detectors find, in their order; the last one wins. The application's come
    /// after the built-in ones. `note` gets a sentence for everything that went wrong.
    pub(in crate::hosted) fn run(self, note: &mut dyn FnMut(String)) -> HostedResource {
        let selected = self.select(note);
        let mut found = HostedResource::empty();
        for Known { name, detector } in selected {
            let Some(resource) = guarded(|| detector.detect()) else {
                note(std::format!(
                    "resource_detectors: {name} panicked; going on without what it would find"
                ));
                continue;
            };
            let (merged, conflict) = found.merged(resource);
            found = merged;
            if let Some(MergeError { old, new }) = conflict {
                note(std::format!(
                    "resource_detectors: {name} follows the schema {new}, and the others {old}; \
                     sending the attributes of both without a schema URL"
                ));
            }
        }
        found
    }

    fn select(&self, note: &mut dyn FnMut(String)) -> Vec<Known<'_>> {
        let mut known: Vec<Known<'_>> = Vec::new();
        for detector in &BUILTIN {
            known.push(Known {
                name: detector.word().into(),
                detector,
            });
        }
        for (number, detector) in (1..).zip(self.own) {
            let detector = &**detector;
            let Some(name) = name_of(detector) else {
                note(std::format!(
                    "resource_detectors: detector {number} panicked in name; leaving it out"
                ));
                continue;
            };
            if known.iter().any(|other| other.name == name) {
                note(std::format!(
                    "resource_detectors: the name {name:?} is taken; leaving that detector out"
                ));
                continue;
            }
            known.push(Known { name, detector });
        }
        let is_default = |place: usize| {
            let builtin = BUILTIN.get(place);
            builtin.is_none_or(|builtin| builtin.is_default())
        };
        let mut wanted = std::vec![self.names.is_none(); known.len()];
        for (place, wanted) in wanted.iter_mut().enumerate() {
            *wanted &= is_default(place);
        }
        for name in self.names.into_iter().flatten() {
            match *name {
                "none" => wanted.fill(false),
                "all" => {
                    // What may show a secret is named on purpose.
                    for (place, wanted) in wanted.iter_mut().enumerate() {
                        *wanted |= BUILTIN.get(place) != Some(&BuiltinDetector::ProcessCommand);
                    }
                }
                name => match known.iter().position(|detector| detector.name == name) {
                    Some(place) => wanted[place] = true,
                    None => note(unknown(name, &known)),
                },
            }
        }
        let mut wanted = wanted.into_iter();
        known.retain(|_| wanted.next().unwrap_or_default());
        known
    }
}

static BUILTIN: [BuiltinDetector; 6] = BuiltinDetector::ALL;

/// A detector, and its name, which was asked for once: it is code of the application.
struct Known<'a> {
    name: String,
    detector: &'a dyn ResourceDetector,
}

/// The name of a detector; `None` if it panics.
pub(in crate::hosted) fn name_of(detector: &dyn ResourceDetector) -> Option<String> {
    guarded(|| String::from(detector.name()))
}

/// Runs code of the application; `None` if it panics.
fn guarded<T>(work: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Some(done),
        Err(panic) => {
            // What was thrown may panic itself when it is dropped.
            if let Err(again) = catch_unwind(AssertUnwindSafe(|| drop(panic))) {
                core::mem::forget(again);
            }
            None
        }
    }
}

fn unknown(name: &str, known: &[Known<'_>]) -> String {
    let names: Vec<&str> = known.iter().map(|known| known.name.as_str()).collect();
    let shown: Cow<'_, str> = name.chars().take(40).collect();
    std::format!(
        "OTEL_EXPERIMENTAL_RESOURCE_DETECTORS: there is no detector {shown:?}, only {}, all and none; \
         going on without it",
        names.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Own(&'static str, fn() -> HostedResource);

    impl ResourceDetector for Own {
        fn name(&self) -> &str {
            self.0
        }

        fn detect(&self) -> HostedResource {
            (self.1)()
        }
    }

    fn rack() -> HostedResource {
        ResourceBuilder::empty()
            .attribute("rack", "7")
            .attribute("host.name", "of the rack")
            .build()
    }

    fn run(
        own: &[Arc<dyn ResourceDetector>],
        names: Option<&[&str]>,
    ) -> (HostedResource, Vec<String>) {
        let mut notes = Vec::new();
        let found = Detection { own, names }.run(&mut |note| notes.push(note));
        (found, notes)
    }

    fn own(name: &'static str, detect: fn() -> HostedResource) -> Arc<dyn ResourceDetector> {
        Arc::new(Own(name, detect))
    }

    // spec G-007, spec G-009
    #[test]
    fn detectors_are_selected_by_name_and_the_last_one_wins() {
        let rack = [own("rack", rack)];
        let (found, notes) = run(&rack, None);
        assert_eq!(found.text("rack"), Some("7"));
        assert_eq!(found.text("host.name"), Some("of the rack"));
        assert!(found.get("process.pid").is_some() && found.get("process.command").is_none());
        assert_eq!(found.schema_url(), super::super::SCHEMA_URL);
        assert!(notes.is_empty(), "{notes:?}");

        let (found, _) = run(&rack, Some(&["process"]));
        assert!(found.get("process.pid").is_some());
        assert!(found.get("rack").is_none() && found.get("host.name").is_none());

        let (found, _) = run(&rack, Some(&["rack", "process_command"]));
        assert!(found.get("process.command").is_some() && found.get("process.pid").is_none());

        let (found, _) = run(&rack, Some(&["all"]));
        assert!(found.get("rack").is_some() && found.get("process.command").is_none());
        assert_eq!(run(&rack, Some(&["none"])).0, HostedResource::empty());
        assert_eq!(run(&[], Some(&[])).0, HostedResource::empty());
    }

    #[test]
    fn a_detector_that_does_not_exist_fails_or_has_a_taken_name_is_said() {
        let (found, notes) = run(&[], Some(&["hsot", "process"]));
        assert!(found.get("process.pid").is_some());
        assert_eq!(notes.len(), 1);
        assert!(
            notes[0].contains("\"hsot\", only service, host, process,"),
            "{notes:?}"
        );

        let broken = own("broken", || {
            std::panic::resume_unwind(std::boxed::Box::new("broken"))
        });
        let taken = own("host", rack);
        let (found, notes) = run(&[broken, taken], None);
        assert!(found.get("process.pid").is_some() && found.get("rack").is_none());
        assert!(notes[0].contains("\"host\" is taken"), "{notes:?}");
        assert!(notes[1].contains("broken panicked"), "{notes:?}");
    }

    // spec D-111
    /// Panics when it is dropped.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("a bomb");
            }
        }
    }

    #[test]
    fn x220_a_detector_that_panics_in_any_method_is_said_and_left_out() {
        struct Broken(bool);

        impl ResourceDetector for Broken {
            fn name(&self) -> &str {
                if self.0 {
                    std::panic::panic_any(Bomb)
                }
                "broken"
            }

            fn detect(&self) -> HostedResource {
                std::panic::panic_any(Bomb)
            }
        }

        let own = [
            Arc::new(Broken(true)) as Arc<dyn ResourceDetector>,
            Arc::new(Broken(false)),
            own("rack", rack),
        ];
        let (found, notes) = run(&own, Some(&["rack", "broken"]));
        assert_eq!(found.text("rack"), Some("7"));
        assert_eq!(
            notes,
            [
                "resource_detectors: detector 1 panicked in name; leaving it out",
                "resource_detectors: broken panicked; going on without what it would find",
            ]
        );
        let config = crate::hosted::config::Config {
            resource_detectors: own.to_vec(),
            ..Default::default()
        };
        let shown = std::format!("{config:?}");
        assert!(
            shown.contains(r#"["(panicked)", "broken", "rack"]"#),
            "{shown}"
        );
    }

    #[test]
    fn schemas_that_differ_are_said() {
        let other = own("other", || {
            ResourceBuilder::empty()
                .schema_url("https://example.com/1")
                .attribute("a", 1)
                .build()
        });
        let (found, notes) = run(&[other], None);
        assert_eq!(found.schema_url(), "");
        assert!(found.get("a").is_some() && found.get("host.name").is_some());
        assert!(notes[0].contains("https://example.com/1"), "{notes:?}");
    }
}
