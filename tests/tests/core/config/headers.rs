//! Headers: spec B-022 to B-030, A-029, faults G1 and G2.

use super::*;

#[test]
fn b_022_blanks_around_the_parts_do_not_count() {
    let (headers, problems) = headers_of(" a = 1 ,\tb\t=2\t,, ");
    assert_eq!(headers, owned(&[("a", "1"), ("b", "2")]));
    assert_eq!(problems, []);
}

#[test]
fn b_023_g1_only_the_first_equals_sign_separates() {
    assert_eq!(
        headers_of("api-key=YWJj==").0,
        owned(&[("api-key", "YWJj==")])
    );
}

#[test]
fn b_024_values_are_percent_decoded_and_a_plus_is_a_plus() {
    let (headers, problems) = headers_of("Authorization=Basic%20AAA,p=a+b,c=a%2Cb%3B%3d,e=");
    let expected = [
        ("Authorization", "Basic AAA"),
        ("p", "a+b"),
        ("c", "a,b;="),
        ("e", ""),
    ];
    assert_eq!(headers, owned(&expected));
    assert_eq!(problems, []);
}

#[test]
fn b_025_keys_are_tokens_and_not_decoded() {
    let (headers, problems) = headers_of("a%20b=1,a b=2,a:b=3,é=4");
    assert_eq!(headers, owned(&[("a%20b", "1")]));
    assert_eq!(problems, [HeaderProblemKind::BadKey; 3]);
}

#[test]
fn b_026_raw_spaces_in_a_value_are_accepted() {
    assert_eq!(
        headers_of("Authorization=Basic AAA").0,
        headers_of("Authorization=Basic%20AAA").0
    );
}

#[test]
fn b_027_g1_a_value_that_no_header_can_carry_is_left_out() {
    for value in [
        "%ff",
        "%0d%0aX:y",
        "a%0Ab",
        "a\r\nX: y",
        "%00",
        "é",
        "%C3%A9",
        "a\tb",
        "%7f",
        "a\n",
    ] {
        let text = format!("k={value},b=2");
        let (headers, problems) = headers_of(&text);
        assert_eq!(headers, owned(&[("b", "2")]), "{value:?}");
        assert_eq!(problems, [HeaderProblemKind::BadValue], "{value:?}");
    }
}

#[test]
fn b_028_a_malformed_member_is_left_out_and_the_rest_stays() {
    for (member, problem) in [
        ("novalue", HeaderProblemKind::NoEqualsSign),
        ("=v", HeaderProblemKind::EmptyKey),
        ("k=%zz", HeaderProblemKind::BadPercent),
        ("k=%", HeaderProblemKind::BadPercent),
        ("k=v;metadata=1", HeaderProblemKind::Metadata),
    ] {
        let text = format!("{member},b=2");
        let (headers, problems) = headers_of(&text);
        assert_eq!(headers, owned(&[("b", "2")]), "{member}");
        assert_eq!(problems, [problem], "{member}");
    }
    read_with(
        &[(HEADERS, "b=2,k=%zz")],
        "OTEL_EXPORTER_OTLP_HEADERS: member 2 (\"k\") has a '%' without two hexadecimal digits, \
         write %25 for '%'; leaving it out",
    );
}

#[test]
fn b_029_g1_the_last_of_equal_keys_wins() {
    let (headers, problems) = headers_of("a=1,B=2,A=3");
    assert_eq!(headers, owned(&[("B", "2"), ("A", "3")]));
    assert_eq!(problems, []);
}

#[test]
fn a_029_headers_of_the_protocol_cannot_be_set_but_the_user_agent_can() {
    let (headers, problems) = headers_of("Content-Type=x,HOST=y,content-length=1,User-Agent=me");
    assert_eq!(headers, owned(&[("User-Agent", "me")]));
    assert_eq!(problems, [HeaderProblemKind::Reserved; 3]);
}

#[test]
fn b_030_debug_output_has_keys_and_no_values() {
    let env = read_clean(&[(HEADERS, "api-key=hunter2")]);
    let shown = format!("{env:?} {:?}", env.headers.unwrap().iter());
    assert!(shown.contains("api-key") && !shown.contains("hunter2"));
    let (_, value) = env.headers.unwrap().iter().next().unwrap();
    assert!(!format!("{value:?}").contains("hunter2"));
}

#[test]
fn g2_headers_in_clear_text_are_noticed_unless_they_stay_on_the_machine() {
    for (endpoint, noticed) in [
        ("http://c:4318", true),
        ("https://c:4318", false),
        ("http://localhost:4318", false),
        ("http://127.0.0.1:4318", false),
        ("http://[::1]:4318", false),
    ] {
        let (env, diagnostics) = read(&[(ENDPOINT, endpoint), (HEADERS, "k=v")]);
        let expected: &[_] = if noticed {
            &[DiagnosticKind::HeadersInClear]
        } else {
            &[]
        };
        assert_eq!(kinds(&diagnostics), expected, "{endpoint}");
        assert_eq!(env.endpoint.unwrap().is_plaintext_remote(), noticed);
    }
    read_clean(&[(ENDPOINT, "http://c:4318")]);
    read_clean(&[(HEADERS, "k=v")]);
}
