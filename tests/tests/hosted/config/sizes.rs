//! Sizes, limits in time, and what is passed on to the exporter.

use super::*;
use spandrel_core::backoff::Jitter;
use spandrel_core::buffer::RECORD_HEADER_BYTES;
use spandrel_core::exporter::ExporterConfig;

#[test]
fn the_defaults_are_the_documented_ones() {
    let settings = alone(&Config::default());
    assert_eq!(settings.buffer_bytes, 2 * 1024 * 1024);
    assert_eq!(settings.shard_bytes, 256 * 1024);
    assert_eq!(settings.max_span_bytes, 16 * 1024);
    assert_eq!(settings.shutdown_timeout, Duration::from_secs(5));
    assert_eq!(settings.when_full, WhenFull::DropNewest);
    assert_eq!(settings.limits, SpanLimits::DEFAULT);
    assert!(settings.set_global);
    assert!(!settings.use_environment_proxy && !settings.allow_plaintext_credentials);
    assert!(!settings.refuse_plaintext_credentials);
    let mut expected = ExporterConfig::DEFAULT.with_seed(settings.exporter.seed);
    expected.batch.max_batch_bytes = 1024 * 1024;
    expected.export_timeout = Duration::from_secs(10);
    assert_eq!(settings.exporter, expected);
    assert_eq!(settings.concurrent_exports, 1);
}

// spec A-024
#[test]
fn a_024_concurrent_exports_are_bounded_and_only_for_a_collector() {
    use spandrel_core::hosted::config::{MAX_CONCURRENT_EXPORTS, SettingsError};
    let with = |concurrent_exports, endpoint: &str| Config {
        concurrent_exports,
        endpoint: endpoint.into(),
        ..Config::default()
    };
    assert_eq!(MAX_CONCURRENT_EXPORTS, 32);
    for asked in [1, 4, 32] {
        assert_eq!(alone(&with(asked, "here:1")).concurrent_exports, asked);
        assert_eq!(alone(&with(asked, "")).concurrent_exports, 1);
    }
    for asked in [0, 33, u32::MAX] {
        let error = with(asked, "here:1").resolve_with(|_| None).err();
        assert_eq!(error, Some(SettingsError::ConcurrentExports(asked)));
    }
}

#[test]
fn every_field_of_code_arrives() {
    let backoff = BackoffConfig {
        jitter: Jitter::None,
        ..BackoffConfig::DEFAULT
    };
    let config = Config {
        gzip_level: Some(9),
        backoff: Some(backoff),
        breaker: Some(BreakerConfig::adaptive()),
        when_open: WhenOpen::Drop,
        on_too_large: OnTooLarge::Split,
        when_full: WhenFull::DropOldest,
        max_batch_age: Some(Duration::ZERO),
        max_request_bytes: Some(100_000),
        buffer_bytes: Some(1_000_000),
        shard_bytes: Some(50_000),
        max_span_bytes: Some(2_000),
        shutdown_timeout: Duration::from_millis(1),
        use_environment_proxy: true,
        allow_plaintext_credentials: true,
        set_global: false,
        ..full()
    };
    let settings = alone(&config);
    let exporter = settings.exporter;
    assert_eq!(exporter.backoff, backoff);
    assert_eq!(exporter.breaker, BreakerConfig::adaptive());
    assert_eq!(exporter.when_open, WhenOpen::Drop);
    assert_eq!(exporter.on_too_large, OnTooLarge::Split);
    assert_eq!(exporter.max_batch_age, Duration::ZERO);
    assert_eq!(exporter.max_request_bytes, 100_000);
    // A batch by bytes never needs more than one request.
    assert_eq!(exporter.batch.max_batch_bytes, 100_000);
    assert_eq!(exporter.batch.max_export_batch_size, 70);
    assert_eq!(settings.when_full, WhenFull::DropOldest);
    assert_eq!(settings.gzip_level, Some(9));
    assert_eq!(settings.max_queue_size, 700);
    assert_eq!(
        [
            settings.buffer_bytes,
            settings.shard_bytes,
            settings.max_span_bytes
        ],
        [1_000_000, 50_000, 2_000]
    );
    assert_eq!(settings.shutdown_timeout, Duration::from_millis(1));
    assert!(settings.use_environment_proxy && settings.allow_plaintext_credentials);
    assert!(!settings.set_global);
    assert_eq!(
        settings.resource.text("deployment.environment.name"),
        Some("staging")
    );
}

#[test]
fn no_two_pipelines_share_a_seed() {
    let seed = || alone(&Config::default()).exporter.seed;
    assert_ne!(seed(), seed());
}

#[test]
fn a_batch_larger_than_the_queue_is_cut_and_reported() {
    const QUEUE: &str = "OTEL_BSP_MAX_QUEUE_SIZE";
    const BATCH: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    type Row = (
        Option<u32>,
        Option<u32>,
        &'static [(&'static str, &'static str)],
        u32,
        Option<&'static str>,
    );
    // Queue and batch in code, variables, the batch used, what is reported.
    let rows: &[Row] = &[
        (None, None, &[(QUEUE, "100")], 100, None),
        (Some(100), None, &[], 100, None),
        (Some(10_000), None, &[(BATCH, "4096")], 4096, None),
        (
            Some(100),
            Some(200),
            &[],
            100,
            Some("max_export_batch_size: 200 is more than the queue of 100 holds; using 100"),
        ),
        (
            None,
            Some(9_000),
            &[(BATCH, "9000")],
            512,
            Some("max_export_batch_size: 9000 is more than the queue of 2048 holds; using 512"),
        ),
        (
            Some(100),
            None,
            &[(BATCH, "200")],
            100,
            Some(
                "OTEL_BSP_MAX_EXPORT_BATCH_SIZE: \"200\" is more than the queue of 100 holds; \
                 using 100",
            ),
        ),
    ];
    for (queue, batch, variables, used, reported) in rows {
        let config = Config {
            max_queue_size: *queue,
            max_export_batch_size: *batch,
            ..Config::default()
        };
        let settings = with(&config, variables);
        assert_eq!(settings.exporter.batch.max_export_batch_size, *used);
        let reported: Vec<_> = reported.iter().copied().collect();
        assert_eq!(settings.diagnostics, reported);
    }
}

#[test]
fn a_request_may_take_the_smaller_of_the_two_limits() {
    let seconds = |s| Some(Duration::from_secs(s));
    // The timeout and the export timeout in code, the limit of a request, whether it is reported.
    for (timeout, export, expected, reported) in [
        (None, None, seconds(10), false),
        (seconds(20), None, seconds(20), false),
        (seconds(60), None, seconds(30), true),
        (seconds(60), seconds(90), seconds(60), false),
        (None, seconds(4), seconds(4), false),
        (seconds(5), seconds(4), seconds(4), true),
        (seconds(0), None, seconds(30), true),
        (seconds(0), seconds(0), None, false),
        (seconds(5), seconds(0), seconds(5), false),
    ] {
        let config = Config {
            timeout,
            export_timeout: export,
            ..Config::default()
        };
        let settings = with(&config, &[]);
        assert_eq!(
            settings.request_timeout(),
            expected,
            "{timeout:?} {export:?}"
        );
        assert_eq!(settings.diagnostics.len(), usize::from(reported));
        assert_eq!(settings.exporter.backoff, BackoffConfig::DEFAULT);
    }
    let zero = [
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "0"),
        ("OTEL_BSP_EXPORT_TIMEOUT", "0"),
    ];
    assert_eq!(with(&Config::default(), &zero).request_timeout(), None);
}

#[test]
fn every_area_must_hold_one_span() {
    let needed = 1_000 + RECORD_HEADER_BYTES;
    let exact = Config {
        max_span_bytes: Some(1_000),
        buffer_bytes: Some(needed),
        shard_bytes: Some(needed),
        max_request_bytes: Some(needed),
        ..Config::default()
    };
    assert_eq!(alone(&exact).buffer_bytes, needed);
    type Shrink = fn(&mut Config) -> &mut Option<usize>;
    let areas: [(&str, Shrink); 3] = [
        ("buffer_bytes", |c| &mut c.buffer_bytes),
        ("shard_bytes", |c| &mut c.shard_bytes),
        ("max_request_bytes", |c| &mut c.max_request_bytes),
    ];
    for (field, area) in areas {
        let mut config = exact.clone();
        *area(&mut config) = Some(needed - 1);
        let bytes = needed - 1;
        assert_eq!(
            error(&config),
            SettingsError::SpanTooLarge {
                field,
                bytes,
                needed
            }
        );
    }
    let endless = Config {
        max_span_bytes: Some(usize::MAX),
        ..Config::default()
    };
    assert!(matches!(
        error(&endless),
        SettingsError::SpanTooLarge { .. }
    ));
}
