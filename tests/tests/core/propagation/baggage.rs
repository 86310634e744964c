//! The header `baggage`: the cases of the W3C's test suite and of its text, as facts in a table, and
//! what no table can show.

use std::cell::Cell;
use std::ops::ControlFlow;

use proptest::prelude::*;
use spandrel_core::baggage::{MAX_BYTES, MAX_MEMBER_BYTES, MAX_MEMBERS, Reader, Writer, is_key};
use spandrel_core::propagation::Getter;
use spandrel_tests::fuzz::baggage::{check_reading, check_writing};

type Member<'a> = (&'a str, &'a str, &'a str);

/// Headers of one request, and the members in them. Spec E-041 to E-045, E-048, E-049.
const READ: &[(&[&str], &[Member<'_>])] = &[
    (&["SomeKey=SomeValue"], &[("SomeKey", "SomeValue", "")]),
    (
        &["SomeKey=SomeValue;SomeProp"],
        &[("SomeKey", "SomeValue", "SomeProp")],
    ),
    (
        &["SomeKey=SomeValue;SomeProp;AnotherProp=x"],
        &[("SomeKey", "SomeValue", "SomeProp;AnotherProp=x")],
    ),
    (
        &["SomeKey=SomeValue;SomeProp,SomeKey2=SomeValue2;ValueProp=PropVal"],
        &[
            ("SomeKey", "SomeValue", "SomeProp"),
            ("SomeKey2", "SomeValue2", "ValueProp=PropVal"),
        ],
    ),
    (
        &[
            "SomeKey \t = \t SomeValue \t ; \t SomeProp \t , \t SomeKey2 \t = \t SomeValue2 \t ; \t ValueProp \t = \t PropVal",
        ],
        &[
            ("SomeKey", "SomeValue", "SomeProp"),
            ("SomeKey2", "SomeValue2", "ValueProp \t = \t PropVal"),
        ],
    ),
    // Several headers are one list.
    (
        &["alpha=beta", "gamma=delta"],
        &[("alpha", "beta", ""), ("gamma", "delta", "")],
    ),
    // Values may hold `=`, and metadata too.
    (
        &["SomeKey=SomeValue=equals"],
        &[("SomeKey", "SomeValue=equals", "")],
    ),
    (&["k=a=b;p=c=d"], &[("k", "a=b", "p=c=d")]),
    (
        &["SomeKey=%09%20%22%27%3B%3Dasdf%21%40%23%24%25%5E%26%2A%28%29"],
        &[("SomeKey", "\t \"';=asdf!@#$%^&*()", "")],
    ),
    // The examples of the recommendation.
    (
        &["key1=value1;property1;property2, key2 = value2, key3=value3; propertyKey=propertyValue"],
        &[
            ("key1", "value1", "property1;property2"),
            ("key2", "value2", ""),
            ("key3", "value3", "propertyKey=propertyValue"),
        ],
    ),
    (
        &["userId=alice,serverNode=DF%2028,isProduction=false"],
        &[
            ("userId", "alice", ""),
            ("serverNode", "DF 28", ""),
            ("isProduction", "false", ""),
        ],
    ),
    (
        &["userId=Am%C3%A9lie,serverNode=DF%2028,isProduction=false"],
        &[
            ("userId", "Amélie", ""),
            ("serverNode", "DF 28", ""),
            ("isProduction", "false", ""),
        ],
    ),
    // Only values are coded; `+` is no blank.
    (&["ke%20y=a+b;p=%20"], &[("ke%20y", "a+b", "p=%20")]),
    // No UTF-8, and no coding.
    (
        &["a=%C3%28,b=%ff,c=%E2%82,d=%zz,e=%,f=%4,g=%4g1"],
        &[
            ("a", "\u{fffd}(", ""),
            ("b", "\u{fffd}", ""),
            ("c", "\u{fffd}", ""),
            ("d", "%zz", ""),
            ("e", "%", ""),
            ("f", "%4", ""),
            ("g", "%4g1", ""),
        ],
    ),
    // Case counts.
    (&["a=1,A=2"], &[("a", "1", ""), ("A", "2", "")]),
    // An empty value is one; empty members are none.
    (&["k=", "", ",,k2=,"], &[("k", "", ""), ("k2", "", "")]),
    // What breaks the grammar goes, and the rest stays.
    (&["a=1,b,c=3"], &[("a", "1", ""), ("c", "3", "")]),
    (
        &["=1,a b=2,\"c\"=3,d=4 5,e=\"6\",f=é,é=7,g=8;\u{1}p,h\\=9,i=\\,j=10"],
        &[("j", "10", "")],
    ),
];

fn read(headers: &[&str]) -> (Vec<(String, String, String)>, Reader) {
    let mut reader = Reader::new();
    let mut found = Vec::new();
    for header in headers {
        reader.read(header, |member| {
            found.push((
                member.key().to_owned(),
                member.value().to_string(),
                member.metadata().to_owned(),
            ));
        });
    }
    (found, reader)
}

#[test]
fn baggage_is_read_as_the_recommendation_says() {
    for (headers, expected) in READ {
        let (found, reader) = read(headers);
        let found: Vec<Member<'_>> = found
            .iter()
            .map(|(key, value, metadata)| (key.as_str(), value.as_str(), metadata.as_str()))
            .collect();
        assert_eq!(found, *expected, "{headers:?}");
        assert_eq!(reader.left_out(), 0, "{headers:?}");
        check_reading(headers);
    }
}

#[test]
fn members_that_break_the_grammar_are_counted() {
    let (found, reader) = read(&["a=1,b,c d=2,,e=\"3\""]);
    assert_eq!(
        (found.len(), reader.malformed(), reader.left_out()),
        (1, 3, 0)
    );
}

/// Spec E-044, E-045.
#[test]
fn baggage_is_written_so_that_nothing_is_changed() {
    let rows = [
        (("k", "plain", ""), "k=plain"),
        (("k", "Amélie", ""), "k=Am%C3%A9lie"),
        (("k", "DF 28", ""), "k=DF%2028"),
        (("k", "100%", ""), "k=100%25"),
        (("k", "a=b+c", " p1;p2=x "), "k=a=b+c;p1;p2=x"),
        (
            ("k", "\t \"';=asdf!@#$%^&*()", ""),
            "k=%09%20%22'%3B=asdf!@#$%25^&*()",
        ),
        (("k", ",;\\\r\nx: y", ""), "k=%2C%3B%5C%0D%0Ax:%20y"),
        (("k", "", ""), "k="),
    ];
    for ((key, value, metadata), text) in rows {
        let mut writer = Writer::new(String::new());
        assert!(writer.is_empty() && writer.add(key, value, metadata));
        assert_eq!(writer.into_inner(), text);
    }
}

/// Spec E-045.
#[test]
fn what_would_break_the_header_is_left_out_and_counted() {
    let mut writer = Writer::new(String::new());
    let bad_keys = [
        "", "a b", "a=b", "a,b", "a;b", "é", "a\r\nb", "\"a\"", "a/b",
    ];
    for key in bad_keys {
        assert!(!is_key(key) && !writer.add(key, "v", ""), "{key:?}");
    }
    for metadata in ["p,other=1", "p\r\nx: y", "é", "\0"] {
        assert!(!writer.add("k", "v", metadata), "{metadata:?}");
    }
    assert_eq!(writer.left_out() as usize, bad_keys.len() + 4);
    assert!(writer.is_empty() && writer.add("k", "v", ""));
    assert_eq!(writer.into_inner(), "k=v");
}

/// 64 members that fill 8192 bytes exactly.
fn full_header() -> String {
    let mut members: Vec<String> = (0..64)
        .map(|n| format!("k{n:02}={}", "v".repeat(123)))
        .collect();
    members[63].push('v');
    let header = members.join(",");
    assert_eq!(header.len(), MAX_BYTES);
    header
}

/// Spec E-046.
#[test]
fn everything_within_the_limits_is_read_and_written() {
    let header = full_header();
    let (found, reader) = read(&[&header]);
    assert_eq!((found.len(), reader.left_out()), (MAX_MEMBERS, 0));
    assert_eq!(reader.bytes_read(), MAX_BYTES);
    let mut writer = Writer::new(String::new());
    for (key, value, metadata) in &found {
        assert!(writer.add(key, value, metadata));
    }
    assert_eq!(writer.into_inner(), header);
    let longest = format!("k={}", "v".repeat(MAX_MEMBER_BYTES - 2));
    let (found, reader) = read(&[&longest]);
    assert_eq!((found.len(), reader.left_out()), (1, 0));
    let mut writer = Writer::new(String::new());
    assert!(writer.add("k", &found[0].1, ""));
    assert_eq!(writer.into_inner(), longest);
}

/// Spec E-046.
#[test]
fn what_is_over_a_limit_is_left_out_whole_and_counted() {
    // A member too many.
    let many: Vec<String> = (0..66).map(|n| format!("k{n}=v")).collect();
    let (found, reader) = read(&[&many.join(",")]);
    assert_eq!((found.len(), reader.left_out()), (MAX_MEMBERS, 2));
    assert_eq!(found[63].0, "k63");
    let mut writer = Writer::new(String::new());
    let written = many
        .iter()
        .filter(|key| writer.add(&key[..2], "v", ""))
        .count();
    assert_eq!((written, writer.left_out()), (MAX_MEMBERS, 2));

    // A byte too many, in the last member; and a member behind the last byte.
    for behind in ["v", ",x=1", "v,x=1,y=2"] {
        let (found, reader) = read(&[&(full_header() + behind)]);
        let whole = if behind.starts_with(',') { 64 } else { 63 };
        assert_eq!((found.len(), reader.left_out()), (whole, 1), "{behind}");
    }
    let (found, reader) = read(&[&full_header(), "x=1"]);
    assert_eq!(
        (found.len(), reader.left_out()),
        (64, 1),
        "headers share the limit"
    );

    // A member that is too long does not hide the others.
    let long = format!("big={},small=1", "v".repeat(MAX_MEMBER_BYTES - 3));
    let (found, reader) = read(&[&long]);
    assert_eq!((found.len(), reader.left_out()), (1, 1));
    let mut writer = Writer::new(String::new());
    assert!(!writer.add("big", &"v".repeat(MAX_MEMBER_BYTES - 3), ""));
    assert!(
        !writer.add("big", &"é".repeat(MAX_MEMBER_BYTES / 6 + 1), ""),
        "coded, it is three times as long"
    );
    assert!(writer.add("small", "1", ""));
    assert_eq!(writer.into_inner(), "small=1");

    let mut small = Writer::with_room(String::new(), 10);
    assert!(small.add("a", "12345678", ""));
    assert!(!small.add("b", "", ""), "the comma has no room");
}

/// A megabyte from a stranger costs no more than 8 KiB.
#[test]
fn the_work_on_a_hostile_header_is_bounded() {
    let megabyte = |text: &str| text.repeat((1 << 20) / text.len());
    for header in [
        megabyte("k=v,"),
        megabyte(","),
        megabyte("x"),
        megabyte("k=%41,"),
        megabyte(" \t"),
        megabyte("=,"),
        megabyte("é,"),
        format!("k={}", megabyte("v")),
        format!("k=v;{}", megabyte("p;")),
    ] {
        let mut reader = Reader::new();
        let mut visited = 0;
        for _ in 0..3 {
            reader.read(&header, |_| visited += 1);
        }
        assert_eq!(reader.bytes_read(), MAX_BYTES);
        assert!(visited <= MAX_MEMBERS && reader.left_out() > 0 && reader.is_full());
        // What is behind the limit is not looked at: nothing there changes the outcome.
        let (head, _) = header.as_bytes().split_at(MAX_BYTES + 1);
        let head = String::from_utf8_lossy(head);
        let (short, whole) = (read(&[&head]), read(&[&header]));
        assert_eq!(short.0, whole.0);
    }
}

/// Empty headers without end are not all asked for.
#[test]
fn the_number_of_headers_is_bounded() {
    struct Endless(Cell<usize>);
    impl Getter for Endless {
        fn get(&self, _: &str) -> Option<&str> {
            Some("")
        }
        fn get_all<'a>(&'a self, _: &str, visit: &mut dyn FnMut(&'a str) -> ControlFlow<()>) {
            while visit("").is_continue() {
                self.0.set(self.0.get() + 1);
            }
        }
        fn keys<'a>(&'a self, _: &mut dyn FnMut(&'a str)) {}
    }
    use spandrel_core::hosted::current::Context;
    use spandrel_core::hosted::propagation::{BaggagePropagator, ContextPropagator as _};
    let endless = Endless(Cell::new(0));
    let context = BaggagePropagator.extract_into(&Context::new(), &endless);
    assert!(context.baggage().is_empty());
    assert!(endless.0.get() <= MAX_BYTES, "{}", endless.0.get());
}

fn nearly_a_header() -> impl Strategy<Value = String> {
    let member = prop_oneof![
        8 => "[ \t]{0,2}[a-z!%]{0,3}[ \t]{0,1}=[ -~]{0,12}",
        4 => "[a-c]=(%[0-9a-fA-F]{2}){0,6}[a-z]{0,3}(;[a-z=;]{0,8})?",
        1 => "[ -~é\u{1}]{0,20}",
        1 => (3000..5000_usize).prop_map(|len| format!("a={}", "v".repeat(len))),
    ];
    prop::collection::vec(member, 0..80).prop_map(|members| members.join(","))
}

/// Mostly short, and sometimes so long that a limit is near.
fn any_value() -> impl Strategy<Value = String> {
    prop_oneof![
        20 => "\\PC{0,8}",
        1 => (600..900_usize).prop_map(|len| "é ".repeat(len)),
        1 => (4000..4100_usize).prop_map(|len| "v".repeat(len)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// Parse against the naive model; what was parsed is written and parsed again.
    #[test]
    fn reading_is_what_the_plainest_reading_finds(
        headers in prop::collection::vec(nearly_a_header(), 1..4),
    ) {
        let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
        check_reading(&headers);
    }

    #[test]
    fn any_text_is_written_and_read_as_itself(
        entries in prop::collection::vec(("[a-z]{0,3}é?", any_value(), "[ -~]{0,6}"), 0..70),
    ) {
        check_writing(&entries);
    }
}
