use super::*;
use std::string::ToString;

fn th(ratio: f64, precision: u32) -> std::string::String {
    Threshold::from_ratio_with_precision(ratio, precision)
        .unwrap()
        .to_string()
}

/// The table of the specification, for one in N with precision 3, 4 and 5.
#[test]
fn thresholds_are_those_of_the_specification() {
    let rows = [
        (1.0, ["0", "0", "0"]),
        (2.0, ["8", "8", "8"]),
        (3.0, ["aab", "aaab", "aaaab"]),
        (4.0, ["c", "c", "c"]),
        (5.0, ["ccd", "cccd", "ccccd"]),
        (8.0, ["e", "e", "e"]),
        (10.0, ["e66", "e666", "e6666"]),
        (16.0, ["f", "f", "f"]),
        (100.0, ["fd71", "fd70a", "fd70a4"]),
        (1e3, ["ffbe7", "ffbe77", "ffbe76d"]),
        (1e4, ["fff972", "fff9724", "fff97247"]),
        (1e5, ["ffff584", "ffff583a", "ffff583a5"]),
        (1e6, ["ffffef4", "ffffef39", "ffffef391"]),
    ];
    for (n, expected) in rows {
        let ratio = 1.0 / n;
        assert_eq!([3, 4, 5].map(|precision| th(ratio, precision)), expected);
    }
}

#[test]
fn leading_zeros_stay_and_the_ends_are_closed() {
    let rows = [
        (0.75, "4"),
        (0.9, "199a"),
        (0.95, "0ccd"),
        (0.968_75, "08"),
        (0.99, "028f"),
        (0.999, "0042"),
        (0.9999, "0007"),
        (0.99999, "0001"),
        (0.999_999, "0"),
        (0.3, "b333"),
        (0.7, "4ccd"),
        (0.05, "f3333"),
        (1e-9, "fffffffbb48"),
        ((-56_f64).exp2(), "ffffffffffffff"),
    ];
    for (ratio, expected) in rows {
        assert_eq!(th(ratio, 4), expected, "{ratio}");
    }
    assert_eq!(th(0.5, 0), "8");
    assert_eq!(th(0.1, u32::MAX).len(), 14);
    let none = [
        0.0,
        -0.0,
        -0.5,
        (-57_f64).exp2(),
        1.0_f64.next_up(),
        2.0,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
    ];
    for ratio in none {
        assert_eq!(Threshold::from_ratio(ratio), None, "{ratio}");
    }
    // Between two whole numbers above 2^52 a half could be rounded to the wrong side.
    let odd = (1_u64 << 52 | 1) as f64 / ALL as f64;
    let exact = Threshold::from_ratio_with_precision(odd, 14).unwrap();
    assert_eq!(ALL - exact.bits(), 1 << 52 | 1);
}

#[test]
fn what_is_no_threshold_is_refused() {
    let rows = [
        ("c", Ok(0xc0_0000_0000_0000)),
        ("08", Ok(0x08_0000_0000_0000)),
        ("0", Ok(0)),
        ("00000000000000", Ok(0)),
        ("ffffffffffffff", Ok(ALL - 1)),
        ("", Err(ParseSamplingValueError::Length)),
        ("000000000000000", Err(ParseSamplingValueError::Length)),
        ("C", Err(ParseSamplingValueError::Digit)),
        ("g", Err(ParseSamplingValueError::Digit)),
        ("+1", Err(ParseSamplingValueError::Digit)),
    ];
    for (text, expected) in rows {
        let parsed = text.parse::<Threshold>().map(Threshold::bits);
        assert_eq!(parsed, expected, "{text:?}");
    }
    for bits in [0, 1, 0x08 << 48, ALL - 1] {
        let threshold = Threshold::from_bits(bits).unwrap();
        assert_eq!(threshold.to_string().parse(), Ok(threshold));
    }
    assert_eq!(Threshold::from_bits(ALL), None);
}

#[test]
fn randomness_has_fourteen_digits_and_comes_from_the_end_of_the_id() {
    let id = "ffffffffffffffffffc0000000000001".parse().unwrap();
    let randomness = Randomness::of_trace_id(id);
    assert_eq!(randomness.to_string(), "c0000000000001");
    assert_eq!("c0000000000001".parse(), Ok(randomness));
    for text in ["c000000000001", "c00000000000001", "C0000000000001", ""] {
        assert!(text.parse::<Randomness>().is_err(), "{text}");
    }
}

#[test]
fn a_trace_is_kept_from_its_threshold_on() {
    let randomness: Randomness = "6e6d1a75832a2f".parse().unwrap();
    for (text, kept) in [
        ("0", true),
        ("6e6d1a75832a2f", true),
        ("6e6d1a75832a3", false),
        ("ffffffffffffff", false),
    ] {
        let threshold: Threshold = text.parse().unwrap();
        assert_eq!(threshold.keeps(randomness), kept, "{text}");
    }
}
