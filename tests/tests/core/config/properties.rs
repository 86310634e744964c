//! What holds for every input: no panic, bounded work, no secrets (faults G1-G4).

use std::cell::Cell;

use proptest::prelude::*;

use super::*;

/// Everything that can be printed about a configuration.
fn everything_said(env: &EnvConfig<'_>, diagnostics: &Diagnostics<'_>) -> String {
    let sentences: Vec<_> = diagnostics.iter().map(ToString::to_string).collect();
    format!("{env:?}\n{diagnostics:?}\n{}", sentences.join("\n"))
}

/// Text that is nearly right more often than chance would make it.
fn value() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~]{0,8}",
        any::<String>(),
        proptest::sample::select(vec![
            "http://",
            "https://",
            "localhost",
            "[::1]",
            ":4318",
            "/v1/traces",
            "@",
            "?",
            "#",
            "=",
            ",",
            ";",
            "%",
            "%41",
            "%0d%0a",
            "%ff",
            "\r\n",
            "\t",
            "-",
            "+",
            "1",
            "65536",
            "0.5",
            "true",
            "gzip",
            "none",
            "tracecontext",
            "traceidratio",
            "service.name",
        ])
        .prop_map(String::from),
    ];
    proptest::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn no_input_panics_and_all_output_is_bounded_and_safe(
        values in proptest::collection::vec(proptest::option::of(value()), VARIABLES.len())
    ) {
        let lookups = Cell::new(0);
        let (env, diagnostics) = env::from_lookup(|name| {
            lookups.set(lookups.get() + 1);
            let place = VARIABLES.iter().position(|known| *known == name).unwrap();
            values[place].as_deref()
        });
        prop_assert!(lookups.get() <= 3 * VARIABLES.len());

        if let Some(endpoint) = env.endpoint {
            let url = url(endpoint);
            prop_assert!(url.bytes().all(|b| b.is_ascii_graphic()));
            prop_assert!(target(endpoint).starts_with('/'));
            prop_assert_ne!(endpoint.port(), 0);
            // What is written reads as the same place.
            let mut ignored = Diagnostics::new();
            let again = Endpoint::parse_exact(&url, &mut ignored).unwrap();
            prop_assert_eq!(again.port(), endpoint.port());
            prop_assert_eq!(again.host(), endpoint.host());
            prop_assert_eq!(super::url(again), url.clone());
        }
        if let Some(headers) = env.headers {
            let read = pairs(headers);
            prop_assert!(read.len() <= MAX_HEADERS);
            for (place, (key, value)) in read.iter().enumerate() {
                prop_assert!(!key.is_empty() && key.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(value.bytes().all(|b| (0x20..0x7f).contains(&b)));
                prop_assert!(read[..place].iter().all(|(k, _)| !k.eq_ignore_ascii_case(key)));
            }
        }
        if let Some(attributes) = env.resource_attributes {
            for (key, value) in attributes {
                let mut room = vec![0; value.encoded().len()];
                let bytes: Vec<_> = value.bytes().collect();
                prop_assert_eq!(value.write_to(&mut room), Some(bytes.as_slice()));
                prop_assert_eq!(value.to_string(), String::from_utf8_lossy(&bytes));
                prop_assert!(key.bytes().next().is_some());
            }
        }
        if let Some(SamplerChoice::TraceIdRatio(ratio)
            | SamplerChoice::ParentBasedTraceIdRatio(ratio)
            | SamplerChoice::Probability(ratio)
            | SamplerChoice::ParentBasedProbability(ratio)) = env.sampler
        {
            prop_assert!((0.0..=1.0).contains(&ratio));
        }
        let queue = env.max_queue_size.unwrap_or(env::DEFAULT_MAX_QUEUE_SIZE);
        prop_assert!(queue > 0);
        prop_assert!(env.max_export_batch_size.is_none_or(|batch| (1..=queue).contains(&batch)));
        prop_assert_eq!(env.client_key.is_some(), env.client_certificate.is_some());

        prop_assert!(diagnostics.len() <= 16);
        for diagnostic in &diagnostics {
            let sentence = diagnostic.to_string();
            prop_assert!(!sentence.contains(char::is_control), "{sentence:?}");
            prop_assert!(sentence.starts_with(diagnostic.variable()));
            prop_assert!(sentence.chars().count() < 1300, "{sentence}");
        }
    }

    #[test]
    fn g4_no_header_value_is_ever_shown(
        before in proptest::collection::vec("[a-z]{1,4}=[ -+--~]{0,6}", 0..3),
        start in "[a-z:;][a-z:; ]{0,5}(=[ -+--~é\r\n\t]{0,6})?",
        end in "=?[ -+--~é\r\n\t]{0,6}",
        remote in any::<bool>(),
    ) {
        let text = [before, vec![format!("{start} Hunter2{end}")]].concat().join(",");
        let endpoint = if remote { "http://c" } else { "https://c" };
        for name in [HEADERS, TRACES_HEADERS] {
            let (env, diagnostics) = read(&[(name, text.as_str()), (ENDPOINT, endpoint)]);
            let said = everything_said(&env, &diagnostics);
            prop_assert!(!said.contains("Hunter2"), "{said}");
        }
    }

    #[test]
    fn g4_no_credentials_of_a_url_are_ever_shown(
        scheme in "(http|https|ftp|HTTP)(://|:/|:)",
        user in "[ -~]{0,6}",
        password in "[ -~é\r\n]{0,6}",
        tail in "[ -~]{0,12}",
    ) {
        for text in [
            format!("{scheme}{user}:{password}Hunter2@{tail}"),
            format!("{scheme}c/p?key={password}Hunter2{tail}"),
        ] {
            for name in [ENDPOINT, TRACES_ENDPOINT] {
                let (env, diagnostics) = read(&[(name, text.as_str())]);
                let said = everything_said(&env, &diagnostics);
                prop_assert!(!said.contains("Hunter2"), "{text}: {said}");
            }
            let mut diagnostics = Diagnostics::new();
            let endpoint = Endpoint::parse_programmatic(&text, &mut diagnostics);
            let said = format!("{endpoint:?} {diagnostics:?}");
            prop_assert!(!said.contains("Hunter2"), "{text}: {said}");
            if let Err(error) = endpoint {
                prop_assert!(!error.to_string().contains("Hunter2"));
            }
        }
    }
}

/// Hundreds of kilobytes in every variable: linear work finishes at once, quadratic work would not.
#[test]
fn hostile_lengths_are_read_in_linear_time() {
    for piece in [
        ",",
        "a=1,",
        "a",
        "%41",
        "b3,",
        "=",
        "http://",
        "é",
        "k=%41%42,K=1,",
    ] {
        let text = piece.repeat(1 << 16);
        let (env, diagnostics) = env::from_lookup(|_| Some(&text));
        assert!(diagnostics.len() <= 16);
        assert!(env.headers.unwrap().iter().count() <= MAX_HEADERS);
        assert!(diagnostics.iter().all(|d| d.to_string().len() < 2000));
    }
}
