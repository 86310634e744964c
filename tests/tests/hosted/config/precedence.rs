//! Code before environment before default, variable by variable.

use std::collections::BTreeSet;

use super::*;
use spandrel_core::env::{LogLevel, Propagators, VARIABLES};
use spandrel_core::sampler::{AlwaysOff, Description, ParentBased};

/// What of the settings a variable decides.
type Shows = fn(&Settings) -> String;

/// A variable with a value, and what shows: by default, from the variable, from [`full`].
const TABLE: &[(&str, &str, Shows, [&str; 3])] = &[
    (
        "OTEL_EXPORTER_OTLP_PROTOCOL",
        "http/json",
        |s| format!("{:?}", s.protocol),
        ["HttpProtobuf", "HttpJson", "HttpJson"],
    ),
    (
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "none",
        |s| format!("{:?}", s.compression),
        ["Gzip", "None", "None"],
    ),
    (
        "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
        "2500",
        |s| format!("{:?}", s.request_timeout()),
        ["Some(10s)", "Some(2.5s)", "Some(3s)"],
    ),
    (
        "OTEL_BSP_EXPORT_TIMEOUT",
        "1500",
        |s| format!("{:?}", s.request_timeout()),
        ["Some(10s)", "Some(1.5s)", "Some(3s)"],
    ),
    (
        "OTEL_EXPORTER_OTLP_HEADERS",
        "a=b%20c",
        |s| format!("{:?}", s.headers),
        ["[]", "[(\"a\", \"b c\")]", "[(\"x-code\", \"1\")]"],
    ),
    (
        "OTEL_EXPORTER_OTLP_CERTIFICATE",
        "env-ca.pem",
        |s| format!("{:?}", s.certificate),
        ["None", "Some(\"env-ca.pem\")", "Some(\"code-ca.pem\")"],
    ),
    (
        "OTEL_TRACES_SAMPLER",
        "always_off",
        |s| format!("{:?}", s.sampler),
        [
            "ParentBased{root:AlwaysOnSampler,",
            "AlwaysOffSampler",
            "ParentBased{root:TraceIdRatioBased{0.5},",
        ],
    ),
    (
        "OTEL_BSP_SCHEDULE_DELAY",
        "0",
        |s| format!("{:?}", s.exporter.batch.scheduled_delay),
        ["5s", "0ns", "70ms"],
    ),
    (
        "OTEL_BSP_MAX_QUEUE_SIZE",
        "9000",
        |s| s.max_queue_size.to_string(),
        ["2048", "9000", "700"],
    ),
    (
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "90",
        |s| s.exporter.batch.max_export_batch_size.to_string(),
        ["512", "90", "70"],
    ),
    (
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT",
        "9",
        |s| s.limits.attribute_count.to_string(),
        ["128", "9", "7"],
    ),
    (
        "OTEL_ATTRIBUTE_COUNT_LIMIT",
        "70000",
        |s| s.limits.attribute_per_link_count.to_string(),
        ["128", "65535", "128"],
    ),
    (
        "OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT",
        "4",
        |s| s.limits.attribute_per_event_count.to_string(),
        ["128", "4", "128"],
    ),
    (
        "OTEL_LINK_ATTRIBUTE_COUNT_LIMIT",
        "4",
        |s| s.limits.attribute_per_link_count.to_string(),
        ["128", "4", "128"],
    ),
    (
        "OTEL_SPAN_EVENT_COUNT_LIMIT",
        "0",
        |s| s.limits.event_count.to_string(),
        ["128", "0", "128"],
    ),
    (
        "OTEL_SPAN_LINK_COUNT_LIMIT",
        "3",
        |s| s.limits.link_count.to_string(),
        ["128", "3", "128"],
    ),
    (
        "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "80",
        |s| s.limits.value.length.to_string(),
        ["4294967295", "80", "4294967295"],
    ),
    (
        "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT",
        "60",
        |s| s.limits.value.length.to_string(),
        ["4294967295", "60", "4294967295"],
    ),
    (
        "OTEL_RESOURCE_ATTRIBUTES",
        "team=e%20nv,service.version=0",
        |s| {
            format!(
                "{:?}",
                ["team", "service.version"].map(|k| s.resource.text(k))
            )
        },
        [
            "[None, None]",
            "[Some(\"e nv\"), Some(\"0\")]",
            "[Some(\"storage\"), Some(\"1.2.3\")]",
        ],
    ),
    (
        "OTEL_LOG_LEVEL",
        "error",
        |s| format!("{:?}", s.log_level),
        ["None", "Some(Error)", "Some(Error)"],
    ),
    (
        "OTEL_PROPAGATORS",
        "none",
        |s| s.propagators.is_empty().to_string(),
        ["false", "true", "false"],
    ),
];

#[test]
fn code_beats_environment_beats_default() {
    for (variable, value, shows, [default, from_env, from_code]) in TABLE {
        let variables = [(*variable, *value)];
        for (config, variables, expected) in [
            (Config::default(), &[][..], default),
            (Config::default(), &variables[..], from_env),
            (full(), &variables[..], from_code),
        ] {
            let shown = shows(&with(&config, variables));
            // The descriptions of composed samplers go on.
            assert!(shown.starts_with(expected), "{variable}: {shown}");
        }
    }
}

/// The variables that nothing in [`full`] overrides.
const NOT_OVERRIDDEN: [&str; 5] = [
    "OTEL_CONFIG_FILE",
    "OTEL_LOG_LEVEL",
    "OTEL_RESOURCE_ATTRIBUTES",
    "OTEL_SDK_DISABLED",
    "OTEL_TRACES_EXPORTER",
];

/// What `config` says when each variable but [`NOT_OVERRIDDEN`] has a bad value.
fn said_of_bad_values(config: &Config) -> Vec<String> {
    let bad = |name: &str| (!NOT_OVERRIDDEN.contains(&name)).then(|| "\u{1}%zz".into());
    config.resolve_with(bad).unwrap().diagnostics
}

/// The variables that `sentences` call not used.
fn not_used(sentences: &[String]) -> BTreeSet<&str> {
    let not_used = |sentence: &'_ String| sentence.contains(": not used, because ");
    let said = sentences.iter().filter(|it| not_used(it));
    said.filter_map(|sentence| sentence.split(": ").next())
        .collect()
}

#[test]
fn x127_a_variable_that_code_overrides_is_named_and_its_value_is_not_judged() {
    let diagnostics = said_of_bad_values(&full());
    let named = not_used(&diagnostics);
    let all: BTreeSet<_> = VARIABLES.iter().copied().collect();
    let expected: BTreeSet<_> = NOT_OVERRIDDEN.into();
    assert_eq!(named, &all - &expected);
    assert_eq!(diagnostics.len(), named.len(), "{diagnostics:?}");
    let told = |start: &str| {
        let mut found = diagnostics.iter().filter(|it| it.starts_with(start));
        found.next().unwrap().as_str()
    };
    assert_eq!(
        told("OTEL_BSP_MAX_QUEUE_SIZE"),
        "OTEL_BSP_MAX_QUEUE_SIZE: not used, because `max_queue_size` is set in code or by a preset \
         of `Config`; leave it out there to use the variable"
    );
    assert_eq!(
        told("OTEL_EXPORTER_OTLP_HEADERS"),
        "OTEL_EXPORTER_OTLP_HEADERS: not used, because headers are set in code, and they replace \
         all of these; add what is missing there"
    );
}

#[test]
fn x127_what_a_preset_sets_is_not_silently_beaten_for_the_operator() {
    let config = Config::production("shop", "https://collector.example");
    let variables = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "50000"),
        ("OTEL_TRACES_SAMPLER", "always_on"),
        ("OTEL_SERVICE_NAME", "shop-eu"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://agent:4318"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=staging,team=storage",
        ),
    ];
    let settings = with(&config, &variables);
    assert_eq!(settings.max_queue_size, 8192);
    let said = &settings.diagnostics;
    assert_eq!(
        not_used(said),
        variables.map(|(name, _)| name).into(),
        "{said:?}"
    );
    assert!(said.iter().any(|it| it.starts_with(
        "OTEL_RESOURCE_ATTRIBUTES: deployment.environment.name: not used, because `environment` "
    )));
    assert_eq!(settings.resource.text("team"), Some("storage"));

    // What the sentence advises works.
    let open = Config {
        service_name: String::new(),
        endpoint: String::new(),
        environment: None,
        sample_rate: None,
        max_queue_size: None,
        ..config
    };
    let settings = with(&open, &variables);
    assert_eq!(settings.diagnostics, Vec::<String>::new());
    assert_eq!(settings.max_queue_size, 50_000);
    assert!(matches!(&settings.target, Target::Otlp { url, .. } if url.contains("//agent:4318/")));
}

#[test]
fn a_variable_that_says_what_code_says_is_not_worth_a_sentence() {
    let config = Config {
        protocol: Some(Protocol::HttpProtobuf),
        compression: Some(Compression::Gzip),
        timeout: Some(Duration::from_secs(10)),
        scheduled_delay: Some(Duration::from_secs(5)),
        export_timeout: Some(Duration::from_secs(30)),
        max_export_batch_size: Some(512),
        certificate: Some("ca.pem".into()),
        ..Config::production("shop", "https://collector.example")
    };
    let same = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", " 8192 "),
        ("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.1"),
        ("OTEL_SERVICE_NAME", "shop"),
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector.example/"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=production",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10000"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "ca.pem"),
        ("OTEL_BSP_SCHEDULE_DELAY", "5000"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "30000"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512"),
    ];
    assert_eq!(with(&config, &same).diagnostics, Vec::<String>::new());
}

#[test]
fn code_that_sets_nothing_overrides_no_variable() {
    let diagnostics = said_of_bad_values(&Config::default());
    assert_eq!(not_used(&diagnostics), BTreeSet::new());
    assert!(diagnostics.len() > 10, "{diagnostics:?}");
}

#[test]
fn the_environment_can_disable_and_never_enable() {
    let enabled = |config: &Config, value| {
        let settings = with(config, &[("OTEL_SDK_DISABLED", value)]);
        (settings.enabled, settings.diagnostics.len())
    };
    let on = Config::development("x");
    assert_eq!(enabled(&on, "TRUE"), (false, 0));
    assert_eq!(enabled(&on, "false"), (true, 0));
    // Only the word itself is true (spec B-008).
    assert_eq!(enabled(&on, "1"), (true, 1));
    assert_eq!(enabled(&Config::default(), "false"), (false, 0));
}

#[test]
fn disabled_keeps_the_propagators_of_the_environment() {
    let variables = [("OTEL_SDK_DISABLED", "true"), ("OTEL_LOG_LEVEL", "debug")];
    let settings = with(&Config::development("x"), &variables);
    assert!(!settings.is_recording());
    assert_eq!(settings.propagators, Propagators::default());
    assert_eq!(settings.log_level, Some(LogLevel::Debug));
}

#[test]
fn without_the_environment_no_variable_is_looked_up() {
    let config = Config {
        enabled: true,
        read_environment: false,
        ..Config::default()
    };
    let settings = config
        .resolve_with(|name| -> Option<String> { panic!("{name} was looked up") })
        .unwrap();
    assert!(settings.is_recording());
    assert_eq!(settings.target, Target::Stdout { immediate: false });
}

#[test]
fn an_empty_variable_is_unset() {
    let empty: Vec<_> = VARIABLES.iter().map(|name| (*name, "")).collect();
    let settings = with(&Config::development("x"), &empty);
    assert_eq!(settings.diagnostics, Vec::<String>::new());
    assert_eq!(settings.target, Target::Stdout { immediate: false });
}

#[test]
fn the_name_of_the_service_has_four_sources() {
    let name = |config: &Config, variables: &[(&str, &str)]| {
        let settings = with(config, variables);
        settings.resource.text("service.name").map(String::from)
    };
    let list = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=list");
    let variable = ("OTEL_SERVICE_NAME", "variable");
    let none = Config::default();
    let detected = name(&none, &[]).unwrap();
    assert!(detected.starts_with("unknown_service:"), "{detected}");
    assert_eq!(name(&none, &[list]).unwrap(), "list");
    assert_eq!(name(&none, &[list, variable]).unwrap(), "variable");
    assert_eq!(name(&full(), &[list, variable]).unwrap(), "code");
    let twice = Config {
        resource_attributes: [("service.name".into(), "attribute".into())].into(),
        ..full()
    };
    assert_eq!(name(&twice, &[]).unwrap(), "code");
    let only = Config {
        service_name: String::new(),
        ..twice
    };
    assert_eq!(name(&only, &[variable]).unwrap(), "attribute");
}

#[test]
fn the_presets_set_name_environment_and_sample_rate() {
    let development = alone(&Config::development("dev"));
    let production = alone(&Config::production("prod", "collector.example:4318"));
    let shown = |s: &Settings| {
        let environment = s.resource.text("deployment.environment.name");
        format!("{} {:?} {}", s.is_recording(), environment, DescribedBy(s))
    };
    assert_eq!(shown(&development), "true Some(\"development\") {1}");
    assert_eq!(shown(&production), "true Some(\"production\") {0.1}");
    assert_eq!(development.target, Target::Stdout { immediate: false });
    assert!(matches!(&production.target, Target::Otlp { url, .. }
        if url == "https://collector.example:4318/v1/traces"));
    assert!(!alone(&Config::default()).is_recording());
}

/// The ratio in the description of a sampler.
struct DescribedBy<'a>(&'a Settings);

impl core::fmt::Display for DescribedBy<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let text = format!("{:?}", self.0.sampler);
        let ratio = text.split("TraceIdRatioBased").nth(1).unwrap_or_default();
        f.write_str(ratio.split_inclusive('}').next().unwrap_or_default())
    }
}

#[test]
fn a_sample_rate_out_of_range_is_cut_and_reported() {
    for (rate, expected, reported) in [
        (0.0, "{0}", None),
        (
            1.5,
            "{1}",
            Some("sample_rate: 1.5 is not a number from 0 to 1; using 1"),
        ),
        (
            -0.5,
            "{0}",
            Some("sample_rate: -0.5 is not a number from 0 to 1; using 0"),
        ),
        (
            f64::NAN,
            "{0}",
            Some("sample_rate: NaN is not a number from 0 to 1; using 0"),
        ),
    ] {
        let config = Config {
            sample_rate: Some(rate),
            ..Config::default()
        };
        let settings = with(&config, &[("OTEL_TRACES_SAMPLER", "no such sampler")]);
        assert_eq!(DescribedBy(&settings).to_string(), expected);
        // The variable is not judged.
        let [unused, said @ ..] = &settings.diagnostics[..] else {
            panic!("{:?}", settings.diagnostics)
        };
        assert!(unused.starts_with("OTEL_TRACES_SAMPLER: not used, because `sample_rate`"));
        let reported: Vec<_> = reported.into_iter().collect();
        assert_eq!(said, reported);
    }
}

#[test]
fn a_sampler_in_code_beats_the_rate_and_is_asked() {
    let config = Config {
        sampler: Some(Arc::new(ParentBased::new(AlwaysOff))),
        ..Config::production("x", "")
    };
    let settings = alone(&config);
    assert_eq!(
        format!("{:?}", settings.sampler),
        Description(&ParentBased::new(AlwaysOff)).to_string()
    );
    let sampled = |sampler: &HostedSampler| {
        let scratch = spandrel_core::sampler::SamplingScratch::new();
        let id = "5b8efff798038103d269b633813fc60c".parse().unwrap();
        let parameters = spandrel_core::sampler::SamplingParameters::new(id, "x", &scratch);
        sampler.should_sample(&parameters).decision.is_sampled()
    };
    assert!(!sampled(&settings.sampler));
    assert!(sampled(&HostedSampler::default()));
}

#[test]
fn the_environment_names_every_sampler() {
    for (name, argument, description) in [
        ("always_on", "", "AlwaysOnSampler"),
        ("always_off", "", "AlwaysOffSampler"),
        ("traceidratio", "0.25", "TraceIdRatioBased{0.25}"),
        (
            "parentbased_always_on",
            "",
            "ParentBased{root:AlwaysOnSampler,",
        ),
        (
            "parentbased_always_off",
            "",
            "ParentBased{root:AlwaysOffSampler,",
        ),
        (
            "parentbased_traceidratio",
            "0.75",
            "ParentBased{root:TraceIdRatioBased{0.75},",
        ),
        ("probability", "0.25", "ProbabilitySampler{0.25}"),
        ("probability", "0", "AlwaysOffSampler"),
        (
            "parentbased_probability",
            "0.75",
            "ParentBased{root:ProbabilitySampler{0.75},",
        ),
        (
            "parentbased_probability",
            "0",
            "ParentBased{root:AlwaysOffSampler,",
        ),
        ("rate_limited", "7", "RateLimited{7/s,AlwaysOnSampler}"),
        (
            "parentbased_rate_limited",
            "",
            "ParentBased{root:RateLimited{100/s,AlwaysOnSampler},",
        ),
    ] {
        let variables = [
            ("OTEL_TRACES_SAMPLER", name),
            ("OTEL_TRACES_SAMPLER_ARG", argument),
        ];
        let shown = format!("{:?}", with(&Config::default(), &variables).sampler);
        assert!(shown.starts_with(description), "{name}: {shown}");
    }
}
