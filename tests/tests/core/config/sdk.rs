//! The settings of the SDK: spec C-001 to C-033.

use super::*;

#[test]
fn c_003_durations_of_zero_are_zero_and_timeouts_of_zero_are_infinite() {
    let env = read_clean(&[
        ("OTEL_BSP_SCHEDULE_DELAY", "0"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "0"),
    ]);
    assert_eq!(env.schedule_delay, Some(Duration::ZERO));
    assert_eq!(env.export_timeout, Some(Timeout::Infinite));
}

#[test]
fn c_004_propagators_are_read_when_the_sdk_is_disabled() {
    let env = read_clean(&[("OTEL_SDK_DISABLED", "true"), (PROPAGATORS, "tracecontext")]);
    assert_eq!(env.sdk_disabled, Some(true));
    assert_eq!(env.propagators, Some(Propagators::TRACE_CONTEXT));
}

fn attributes_of(text: &str) -> Option<Vec<(String, String)>> {
    let (env, diagnostics) = read(&[(RESOURCE, text)]);
    assert_eq!(env.resource_attributes.is_some(), diagnostics.is_empty());
    let read = env.resource_attributes?.iter();
    Some(
        read.map(|(key, value)| (key.to_string(), value.to_string()))
            .collect(),
    )
}

#[test]
fn c_005_the_service_name_beats_the_one_among_the_attributes() {
    let resource = (RESOURCE, "service.name=b,region=eu");
    let env = read_clean(&[("OTEL_SERVICE_NAME", "a b%20"), resource]);
    assert_eq!(env.service_name, Some("a b%20"), "taken as written");
    let left: Vec<_> = env.resource_attributes.unwrap().iter().collect();
    assert!(matches!(left.as_slice(), [(key, _)] if *key == "region"));

    let env = read_clean(&[resource]);
    assert_eq!(env.resource_attributes.unwrap().iter().count(), 2);
}

#[test]
fn c_006_keys_and_values_of_resource_attributes_are_decoded() {
    assert_eq!(
        attributes_of("a%3Db=c%2Cd,ü=%C3%A9+%ff").unwrap(),
        owned(&[("a=b", "c,d"), ("ü", "é+\u{fffd}")])
    );
}

#[test]
fn c_007_any_error_discards_all_resource_attributes() {
    for text in ["a=1,b", "a=1,=2", "a=1,b=%zz", "%z=1,a=1", "a=1,,b=2"] {
        assert_eq!(attributes_of(text), None, "{text}");
    }
    read_with(
        &[(RESOURCE, "a=1,b")],
        "OTEL_RESOURCE_ATTRIBUTES: \"a=1,b\" has a pair without '='; using none of it",
    );
}

#[test]
fn c_009_blanks_and_a_trailing_comma_do_not_count() {
    assert_eq!(
        attributes_of(" a = 1 ,\tb=2, ").unwrap(),
        owned(&[("a", "1"), ("b", "2")])
    );
}

#[test]
fn c_011_log_levels() {
    for (text, level) in [
        ("error", LogLevel::Error),
        ("WARN", LogLevel::Warn),
        ("info", LogLevel::Info),
        ("debug", LogLevel::Debug),
        ("trace", LogLevel::Trace),
        ("none", LogLevel::None),
        ("off", LogLevel::None),
    ] {
        assert_eq!(
            read_clean(&[("OTEL_LOG_LEVEL", text)]).log_level,
            Some(level)
        );
    }
    assert_eq!(LogLevel::default(), LogLevel::Info);
    assert!(LogLevel::Error < LogLevel::Warn);
    let variables = [("OTEL_LOG_LEVEL", "loud")];
    assert_eq!(kinds(&read(&variables).1), [DiagnosticKind::Unknown]);
}

fn propagators_of(text: &str) -> (Option<Propagators>, Vec<DiagnosticKind>) {
    let (env, diagnostics) = read(&[(PROPAGATORS, text)]);
    (env.propagators, kinds(&diagnostics))
}

#[test]
fn c_012_propagators_are_a_set_and_others_are_skipped_aloud() {
    use DiagnosticKind::{NoPropagatorLeft, UnknownPropagator, UnsupportedPropagator};
    use PropagatorName::{B3, B3Multi, Baggage, TraceContext};
    let of = |names: &[PropagatorName]| {
        let found = names
            .iter()
            .fold(Propagators::NONE, |set, name| set.with(*name));
        assert_eq!(found.iter().collect::<Vec<_>>(), names);
        Some(found)
    };
    let all = of(&[TraceContext, Baggage]);
    assert_eq!(all, Some(Propagators::default()));
    assert_eq!(propagators_of("tracecontext,baggage"), (all, vec![]));
    assert_eq!(
        propagators_of(" TraceContext ,tracecontext,BAGGAGE,baggage,"),
        (all, vec![])
    );
    let texts = [Propagators::default(), Propagators::NONE].map(|it| it.to_string());
    assert_eq!(texts, ["tracecontext,baggage", "none"]);
    let [b3, b3_first] = [of(&[B3Multi, B3]), of(&[B3, TraceContext])];
    assert_eq!(propagators_of("b3multi,b3,b3multi"), (b3, vec![]));
    assert_eq!(
        propagators_of("b3,nonsense,tracecontext"),
        (b3_first, vec![UnknownPropagator])
    );
    let trace_context = Some(Propagators::TRACE_CONTEXT);
    assert_eq!(
        propagators_of("xray,tracecontext"),
        (trace_context, vec![UnsupportedPropagator])
    );
    assert_eq!(
        propagators_of("jaeger"),
        (None, vec![UnsupportedPropagator, NoPropagatorLeft])
    );
}

#[test]
fn c_013_none_wins_over_other_propagators() {
    let none = Some(Propagators::NONE);
    assert_eq!(propagators_of("none"), (none, vec![]));
    assert_eq!(propagators_of("none,none"), (none, vec![]));
    assert_eq!(
        propagators_of("tracecontext,none"),
        (none, vec![DiagnosticKind::NoneAmongOthers])
    );
}

// C.3 Sampler

#[test]
fn c_014_every_sampler_name() {
    for (text, sampler) in [
        ("always_on", SamplerChoice::AlwaysOn),
        ("always_off", SamplerChoice::AlwaysOff),
        ("traceidratio", SamplerChoice::TraceIdRatio(1.0)),
        ("parentbased_always_on", SamplerChoice::ParentBasedAlwaysOn),
        (
            "PARENTBASED_ALWAYS_OFF",
            SamplerChoice::ParentBasedAlwaysOff,
        ),
        (
            "parentbased_traceidratio",
            SamplerChoice::ParentBasedTraceIdRatio(1.0),
        ),
        ("probability", SamplerChoice::Probability(1.0)),
        (
            "parentbased_probability",
            SamplerChoice::ParentBasedProbability(1.0),
        ),
        ("rate_limited", SamplerChoice::RateLimited(100)),
        (
            "parentbased_rate_limited",
            SamplerChoice::ParentBasedRateLimited(100),
        ),
    ] {
        assert_eq!(read_clean(&[(SAMPLER, text)]).sampler, Some(sampler));
    }
    for (text, kind) in [
        ("jaeger_remote", DiagnosticKind::Unsupported),
        ("parentbased_jaeger_remote", DiagnosticKind::Unsupported),
        ("xray", DiagnosticKind::Unsupported),
        ("sometimes", DiagnosticKind::Unknown),
    ] {
        let (env, diagnostics) = read(&[(SAMPLER, text), (SAMPLER_ARG, "0.5")]);
        assert_eq!(env.sampler, None);
        assert_eq!(kinds(&diagnostics), [kind], "the argument adds nothing");
    }
}

#[test]
fn c_015_the_argument_is_a_ratio_of_a_ratio_sampler() {
    for (text, ratio) in [("0", 0.0), ("0.1", 0.1), ("1", 1.0), (" 2.5e-1 ", 0.25)] {
        let env = read_clean(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, text)]);
        assert_eq!(env.sampler, Some(SamplerChoice::TraceIdRatio(ratio)));
        let env = read_clean(&[(SAMPLER, "parentbased_traceidratio"), (SAMPLER_ARG, text)]);
        assert_eq!(
            env.sampler,
            Some(SamplerChoice::ParentBasedTraceIdRatio(ratio))
        );
    }
    for text in ["1.5", "abc", "-0.1", "+0.5", "nan", "inf", "1,0"] {
        let (env, diagnostics) = read(&[(SAMPLER, "traceidratio"), (SAMPLER_ARG, text)]);
        assert_eq!(
            env.sampler,
            Some(SamplerChoice::TraceIdRatio(1.0)),
            "{text}"
        );
        assert_eq!(kinds(&diagnostics), [DiagnosticKind::NotARatio], "{text}");
    }
    read_with(
        &[(SAMPLER, "traceidratio"), (SAMPLER_ARG, "1.5")],
        "OTEL_TRACES_SAMPLER_ARG: \"1.5\" is not a number from 0 to 1; using the default 1.0",
    );
}

#[test]
fn c_015_the_argument_is_a_rate_of_a_sampler_that_limits_it() {
    for (name, of) in [
        ("rate_limited", SamplerChoice::RateLimited as fn(u32) -> _),
        (
            "parentbased_rate_limited",
            SamplerChoice::ParentBasedRateLimited,
        ),
    ] {
        for (text, rate) in [("1", 1), (" 50 ", 50), ("4294967295", u32::MAX)] {
            let env = read_clean(&[(SAMPLER, name), (SAMPLER_ARG, text)]);
            assert_eq!(env.sampler, Some(of(rate)));
        }
        for text in ["0", "0.5", "-1", "4294967296", "many"] {
            let (env, diagnostics) = read(&[(SAMPLER, name), (SAMPLER_ARG, text)]);
            assert_eq!(env.sampler, Some(of(100)), "{text}");
            assert_eq!(kinds(&diagnostics), [DiagnosticKind::NotARate], "{text}");
        }
    }
    read_with(
        &[(SAMPLER, "rate_limited"), (SAMPLER_ARG, "0.5")],
        "OTEL_TRACES_SAMPLER_ARG: \"0.5\" is not a whole number of spans or traces a second; using \
         the default 100",
    );
}

#[test]
fn c_015_an_argument_without_a_ratio_sampler_is_ignored_aloud() {
    for (sampler, expected) in [("", None), ("always_off", Some(SamplerChoice::AlwaysOff))] {
        let (env, diagnostics) = read(&[(SAMPLER, sampler), (SAMPLER_ARG, "0.5")]);
        assert_eq!(env.sampler, expected);
        assert_eq!(kinds(&diagnostics), [DiagnosticKind::UnusedSamplerArg]);
    }
}

// C.4 Batches

#[test]
fn c_018_to_c_021_the_batch_processor() {
    let env = read_clean(&[
        ("OTEL_BSP_SCHEDULE_DELAY", "1000"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "2000"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "300"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "300"),
    ]);
    assert_eq!(env.schedule_delay, Some(Duration::from_secs(1)));
    assert_eq!(
        env.export_timeout,
        Some(Timeout::After(Duration::from_secs(2)))
    );
    assert_eq!(env.max_queue_size, Some(300));
    assert_eq!(env.max_export_batch_size, Some(300));
    for name in ["OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE"] {
        let (env, diagnostics) = read(&[(name, "0")]);
        assert_eq!(
            (env.max_queue_size, env.max_export_batch_size),
            (None, None)
        );
        assert_eq!(kinds(&diagnostics), [DiagnosticKind::Zero]);
    }
    read_with(
        &[("OTEL_BSP_MAX_QUEUE_SIZE", "0")],
        "OTEL_BSP_MAX_QUEUE_SIZE: \"0\" is not more than zero; using the default 2048",
    );
}

#[test]
fn c_022_g3_a_batch_that_is_larger_than_the_queue_shrinks() {
    let env = read_with(
        &[
            ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
            ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "512"),
        ],
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: \"512\" is more than the queue of 100 holds; using 100",
    );
    assert_eq!(env.max_export_batch_size, Some(100));

    // Against the default queue of 2,048.
    let variables = [("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "3000")];
    assert_eq!(read(&variables).0.max_export_batch_size, Some(512));

    assert_eq!(env::batch_size_within(None, 100), 100);
    assert_eq!(env::batch_size_within(None, 2048), 512);
    assert_eq!(env::batch_size_within(Some(2048), 2048), 2048);
}

// C.5 Limits

#[test]
fn c_023_to_c_030_limits_fall_back_to_the_general_ones() {
    let env = read_clean(&[
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "3"),
    ]);
    assert_eq!(env.attribute_value_length_limit, Some(5));
    assert_eq!(env.span_attribute_value_length_limit, Some(5));
    assert_eq!(env.attribute_count_limit, Some(3));
    assert_eq!(env.span_attribute_count_limit, Some(3));
    assert_eq!(env.event_attribute_count_limit, Some(3));
    assert_eq!(env.link_attribute_count_limit, Some(3));
    assert_eq!(env.span_event_count_limit, None);
    assert_eq!(env.span_link_count_limit, None);

    let env = read_clean(&[
        ("OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "5"),
        ("OTEL_ATTRIBUTE_COUNT_LIMIT", "3"),
        ("OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT", "0"),
        ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "1"),
        ("OTEL_SPAN_EVENT_COUNT_LIMIT", "2"),
        ("OTEL_SPAN_LINK_COUNT_LIMIT", "4"),
        ("OTEL_EVENT_ATTRIBUTE_COUNT_LIMIT", "6"),
        ("OTEL_LINK_ATTRIBUTE_COUNT_LIMIT", "7"),
    ]);
    assert_eq!(
        env.span_attribute_value_length_limit,
        Some(0),
        "zero is valid"
    );
    assert_eq!(env.span_attribute_count_limit, Some(1));
    assert_eq!(env.span_event_count_limit, Some(2));
    assert_eq!(env.span_link_count_limit, Some(4));
    assert_eq!(env.event_attribute_count_limit, Some(6));
    assert_eq!(env.link_attribute_count_limit, Some(7));
}

#[test]
fn c_026_a_bad_limit_falls_back_to_the_general_one_too() {
    let env = read_with(
        &[
            ("OTEL_ATTRIBUTE_COUNT_LIMIT", "3"),
            ("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "-1"),
        ],
        "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT: \"-1\" is less than zero; \
         using OTEL_ATTRIBUTE_COUNT_LIMIT if that is set, else the default 128",
    );
    assert_eq!(env.span_attribute_count_limit, Some(3));
}

#[test]
fn c_031_the_depth_limit_has_no_variable() {
    assert!(!VARIABLES.iter().any(|name| name.contains("DEPTH")));
}

// C.6 Exporters

#[test]
fn c_032_c_033_exporters() {
    let name = "OTEL_TRACES_EXPORTER";
    for (text, exporter) in [
        ("otlp", TracesExporter::Otlp),
        ("console", TracesExporter::Console),
        ("otlp/stdout", TracesExporter::OtlpStdout),
        ("None", TracesExporter::None),
    ] {
        assert_eq!(read_clean(&[(name, text)]).traces_exporter, Some(exporter));
    }
    for (text, kind) in [
        ("zipkin", DiagnosticKind::Unsupported),
        ("logging", DiagnosticKind::Unknown),
    ] {
        let (env, diagnostics) = read(&[(name, text)]);
        assert_eq!(env.traces_exporter, None);
        assert_eq!(kinds(&diagnostics), [kind]);
    }
}

// spec C-032
#[test]
fn c_032_exporters_are_a_list_and_others_are_skipped_aloud() {
    use TracesExporter::{Console, None as Nowhere, Otlp, OtlpStdout};
    const UNKNOWN: DiagnosticKind = DiagnosticKind::UnknownExporter;
    /// The text, the first exporter, the others, and what is wrong.
    type Row = (
        &'static str,
        Option<TracesExporter>,
        &'static [TracesExporter],
        &'static [DiagnosticKind],
    );
    let rows: &[Row] = &[
        ("otlp,console", Some(Otlp), &[Console], &[]),
        (" Console , OTLP ", Some(Otlp), &[Console], &[]),
        ("console,otlp/stdout", Some(Console), &[OtlpStdout], &[]),
        (
            "console,otlp/stdout,otlp",
            Some(Otlp),
            &[OtlpStdout, Console],
            &[],
        ),
        ("otlp,otlp,,console,console,", Some(Otlp), &[Console], &[]),
        ("otlp,zipkin,loki", Some(Otlp), &[], &[UNKNOWN, UNKNOWN]),
        ("none,", Some(Nowhere), &[], &[]),
        (
            "otlp,none",
            Some(Otlp),
            &[],
            &[DiagnosticKind::NoneAmongExporters],
        ),
        (
            "none,console",
            Some(Console),
            &[],
            &[DiagnosticKind::NoneAmongExporters],
        ),
        (
            "a,b",
            None,
            &[],
            &[UNKNOWN, UNKNOWN, DiagnosticKind::Unknown],
        ),
        (",", None, &[], &[DiagnosticKind::Unknown]),
    ];
    for (text, first, further, said) in rows {
        let (env, diagnostics) = read(&[("OTEL_TRACES_EXPORTER", *text)]);
        assert_eq!(env.traces_exporter, *first, "{text}");
        assert_eq!(
            env.further_exporters.iter().collect::<Vec<_>>(),
            *further,
            "{text}"
        );
        assert_eq!(kinds(&diagnostics), *said, "{text}");
    }
}

#[test]
fn c_034_a_configuration_file_is_not_ignored_in_silence() {
    read_with(
        &[("OTEL_CONFIG_FILE", "/otel.yaml")],
        "OTEL_CONFIG_FILE: \"/otel.yaml\" is not read, configuration files are not supported; \
         using the variables",
    );
}
