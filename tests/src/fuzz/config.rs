//! Any values of the `OTEL_*` variables: no panic, bounded and safe output, values in range.

use std::fmt::Write as _;

use spandrel_core::env::{self, Endpoint, MAX_HEADERS, SamplerChoice, VARIABLES};

/// Reads each line of `data` as a variable: `NAME=value`, or else the number of the variable as
/// one character (from `0` on) and its value, which a fuzzer finds more easily.
///
/// # Panics
///
/// When a rule is broken.
pub fn run(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut values: Vec<Option<&str>> = vec![None; VARIABLES.len()];
    for line in text.split('\n') {
        let named = line.split_once('=').and_then(|(name, value)| {
            let place = VARIABLES.iter().position(|known| *known == name)?;
            Some((place, value))
        });
        if let Some((place, value)) = named {
            values[place] = Some(value);
            continue;
        }
        let mut chars = line.chars();
        let number = chars.next().map_or(0, |c| (c as usize).wrapping_sub(48));
        values[number % VARIABLES.len()] = Some(chars.as_str());
    }
    let (env, diagnostics) = env::from_lookup(|name| {
        let place = VARIABLES.iter().position(|known| *known == name);
        place.and_then(|place| values[place])
    });
    if let Some(endpoint) = env.endpoint {
        check_endpoint(endpoint);
    }
    let headers: Vec<(String, String)> = env.headers.map_or_else(Vec::new, |headers| {
        let pairs = headers.iter();
        pairs
            .map(|(key, value)| (key.to_string(), value.to_string()))
            .collect()
    });
    assert!(headers.len() <= MAX_HEADERS);
    for (key, value) in &headers {
        assert!(!key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic()));
        assert!(
            value.bytes().all(|b| (0x20..0x7f).contains(&b)),
            "{value:?}"
        );
    }
    let mut attributes = String::new();
    for (key, value) in env.resource_attributes.iter().flat_map(|list| list.iter()) {
        let _ = write!(attributes, "{key}={value}");
    }
    if let Some(
        SamplerChoice::TraceIdRatio(ratio)
        | SamplerChoice::ParentBasedTraceIdRatio(ratio)
        | SamplerChoice::Probability(ratio)
        | SamplerChoice::ParentBasedProbability(ratio),
    ) = env.sampler
    {
        assert!((0.0..=1.0).contains(&ratio));
    }
    let queue = env.max_queue_size.unwrap_or(env::DEFAULT_MAX_QUEUE_SIZE);
    assert!(queue > 0);
    assert!(
        env.max_export_batch_size
            .is_none_or(|batch| (1..=queue).contains(&batch))
    );
    assert_eq!(env.client_key.is_some(), env.client_certificate.is_some());
    for diagnostic in &diagnostics {
        let sentence = diagnostic.to_string();
        assert!(!sentence.contains(char::is_control), "{sentence:?}");
        assert!(sentence.chars().count() < 1300, "{sentence}");
    }
    let _ = format!("{env:?}{diagnostics:?}");
}

/// What is written reads as the same place.
fn check_endpoint(endpoint: Endpoint<'_>) {
    let url = |endpoint: Endpoint<'_>| {
        let mut url = String::new();
        endpoint.write_url(&mut url).expect("text takes anything");
        url
    };
    let written = url(endpoint);
    assert!(written.bytes().all(|b| b.is_ascii_graphic()), "{written:?}");
    assert_ne!(endpoint.port(), 0);
    let mut ignored = env::Diagnostics::new();
    let again = Endpoint::parse_exact(&written, &mut ignored).expect("what was written");
    assert_eq!(
        (again.host(), again.port()),
        (endpoint.host(), endpoint.port())
    );
    assert_eq!(url(again), written);
}
