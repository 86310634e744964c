//! The check against small repositories: each kind of fault is seen, and nothing else.

use super::citations::{Citation, Kind, citations, documents_named, ids_of_name, tests};
use super::{FAULTS, File, INVARIANTS, Repository, SPECIFICATION, Source, violations};
use crate::scanner::tokens_and_comments;

const HEADER: &str = "| id | what | status | test |\n|---|---|---|---|\n";

fn file(path: &str, text: &str) -> File {
    File {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

/// A repository in which all is well.
fn orderly() -> Repository {
    let tables = [
        (
            SPECIFICATION,
            "| A-005 | a | met | `one` |\n| A-006 | b | decided | `one` |\n",
        ),
        (
            FAULTS,
            "| S20 | c | partial: no network | `s20_a_herd` |\n| P1 | d | not met: no store | |\n",
        ),
        (
            INVARIANTS,
            "| I34 | e | met | `one`, `two` |\n\n## Rules\n\n| id | rule | status | test |\n|---|---|---|---|\n| R7 | f | met | `two` |\n",
        ),
    ];
    Repository {
        sources: vec![
            Source::new(file(
                "core/src/lib.rs",
                "//! A rule in words; see README.md.\n// spec A-005, A-006; fault S20\nfn f() {}\n",
            )),
            Source::new(file(
                "tests/tests/a.rs",
                "/// Also faults S20 and P1, invariant I34, rule R7.\n#[test]\nfn one() {}\n\
                 #[tokio::test(flavor = \"current_thread\")]\n#[should_panic]\npub async fn two() {}\n\
                 proptest! {\n#[test]\nfn s20_a_herd(n in 0..3) {}\n}\n",
            )),
        ],
        tables: tables
            .map(|(path, rows)| file(path, &format!("{HEADER}{rows}")))
            .to_vec(),
        documents: vec!["README.md".to_owned(), "benches/RESULTS.md".to_owned()],
    }
}

/// What is found when `text` is one more file.
fn with_source(path: &str, text: &str) -> Vec<String> {
    let mut repository = orderly();
    repository.sources.push(Source::new(file(path, text)));
    violations(&repository)
}

/// What is found when `row` is one more row of the table at `path`.
fn with_row(path: &str, row: &str) -> Vec<String> {
    let mut repository = orderly();
    for table in repository.tables.iter_mut().filter(|it| it.path == path) {
        table.text.push_str(row);
    }
    violations(&repository)
}

#[track_caller]
fn is_one(found: &[String], expected: &str) {
    assert_eq!(found, [expected]);
}

#[test]
fn an_orderly_repository_passes() {
    assert_eq!(violations(&orderly()), [""; 0]);
}

#[test]
fn an_id_without_a_row_is_named_with_its_place() {
    for (comment, cited) in [
        ("// spec A-007", "spec A-007"),
        ("// See B-001.", "spec B-001"),
        ("/* spec A-005 and\nA-099 */", "spec A-099"),
        ("// fault S21", "fault S21"),
        ("// faults S20, P1 and N3", "fault N3"),
        ("// Faults S20-S23 and others", "fault S23"),
        ("// invariant I35", "invariant I35"),
        ("// invariants I34 to I36", "invariant I36"),
        ("// the ring's rule R1", "rule R1"),
        ("let x = 1; // fault S99", "fault S99"),
    ] {
        for path in ["core/src/a.rs", "tests/src/a.rs", "fuzz/a.rs"] {
            let found = with_source(path, &format!("\n{comment}\nfn f() {{}}"));
            let line = 2 + comment.matches('\n').count();
            is_one(&found, &format!("{path}:{line}: `{cited}` has no row"));
        }
    }
}

#[test]
fn a_citation_that_goes_on_in_the_next_line_is_read() {
    let found = with_source(
        "tests/src/a.rs",
        "// as fault\n// S98 says, and\n// fault S20,\n// S97",
    );
    assert_eq!(
        found,
        [
            "tests/src/a.rs:2: `fault S98` has no row",
            "tests/src/a.rs:4: `fault S97` has no row"
        ]
    );
}

#[test]
fn a_test_that_begins_with_an_id_needs_its_row() {
    for (name, id) in [
        ("s21_a", "S21"),
        ("s20_s22_a", "S22"),
        ("p1_to_p5_a", "P5"),
        ("i35_a", "I35"),
        ("a_007_a", "A-007"),
        ("a_005_s98_a", "S98"),
    ] {
        let path = "transport-std/tests/a.rs";
        let found = with_source(path, &format!("#[test]\nfn {name}() {{}}"));
        is_one(
            &found,
            &format!("{path}:2: the test `{name}` begins with `{id}`, which has no row"),
        );
    }
    for fine in [
        "#[test] fn s20_a() {}",
        "#[test] fn i34_i34_a() {}",
        "#[test] fn x1_is_no_letter_of_an_id() {}",
        "#[test] fn a_small_word() {}",
        "fn s21_is_no_test() {}",
    ] {
        assert_eq!(with_source("core/src/a.rs", fine), [""; 0], "{fine}");
    }
}

#[test]
fn a_claim_without_a_test_is_found() {
    for status in ["met", "decided", "partial: half"] {
        let word = status.split(':').next().unwrap_or("");
        let found = with_row(FAULTS, &format!("| S1 | x | {status} | |\n"));
        is_one(
            &found,
            &format!("{FAULTS}:5: `S1` is `{word}` without a test"),
        );
    }
}

#[test]
fn a_test_that_does_not_exist_is_found() {
    for status in ["met", "not met: why"] {
        for missing in ["nowhere", "f"] {
            let found = with_row(
                FAULTS,
                &format!("| S1 | x | {status} | `one`, `{missing}` |\n"),
            );
            is_one(
                &found,
                &format!("{FAULTS}:5: `S1` names `{missing}`, which is no test"),
            );
        }
    }
}

#[test]
fn a_second_row_of_an_id_is_found() {
    let found = with_row(FAULTS, "| S20 | x | met | `one` |\n");
    is_one(&found, &format!("{FAULTS}:5: `S20` has two rows"));
    // A fault and an invariant may share theirs.
    assert_eq!(with_row(FAULTS, "| I34 | x | met | `one` |\n"), [""; 0]);
}

#[test]
fn a_status_that_says_nothing_is_found() {
    for (status, problem) in [
        ("", "has the unknown status ``"),
        ("done", "has the unknown status `done`"),
        ("met-ish", "has the unknown status `met-ish`"),
        ("not met", "is `not met` without a reason"),
        ("not met: ", "is `not met` without a reason"),
        ("partial", "is `partial` and does not say what is missing"),
    ] {
        let found = with_row(
            SPECIFICATION,
            &format!("| A-001 | x | {status} | `one` |\n"),
        );
        is_one(&found, &format!("{SPECIFICATION}:5: `A-001` {problem}"));
    }
}

#[test]
fn a_table_that_is_missing_is_named() {
    let mut repository = orderly();
    repository.tables.retain(|table| table.path != INVARIANTS);
    let found = violations(&repository);
    let expected = format!("{INVARIANTS}: there is no such table");
    assert!(found.contains(&expected), "{found:?}");
}

#[test]
fn public_documentation_cites_nothing() {
    for (doc, problem) in [
        ("/// See spec A-005.", "cites `spec A-005`: say it in words"),
        ("/// Sent (A-005).", "cites `spec A-005`: say it in words"),
        ("//! Of fault S20.", "cites `fault S20`: say it in words"),
        (
            "/** Of\n * invariant I34. */",
            "cites `invariant I34`: say it in words",
        ),
        ("/*! By rule R7. */", "cites `rule R7`: say it in words"),
        ("/// The one (I34).", "has `(I34`: say it in words"),
        ("/// The Checklist's.", "says \"checklist\""),
        (
            "/// In the fault\n/// catalogue.",
            "says \"fault catalogue\"",
        ),
        ("/// A design rule.", "says \"design rule\""),
        ("/// design promise 1", "says \"design promise\""),
        ("#[doc = \"by a checklist\"]", "says \"checklist\""),
        (
            "#![doc = concat!(\"a\", \"fault S20\")]",
            "cites `fault S20`: say it in words",
        ),
        (
            "#[cfg_attr(unix, doc = \"rule R7\")]",
            "cites `rule R7`: say it in words",
        ),
    ] {
        let text = format!("fn g() {{}}\n\n{doc}\npub fn f() {{}}\n");
        for folder in super::PUBLISHED {
            let found = with_source(&format!("{folder}a.rs"), &text);
            let found: Vec<_> = found.iter().filter(|it| it.contains(problem)).collect();
            let [line] = found[..] else {
                panic!("{doc:?} gives {found:?}");
            };
            assert!(
                line.contains("a.rs:3: ") || line.contains("a.rs:4: "),
                "{line}"
            );
        }
        // Tests and unpublished packages may, though not what nobody can look up.
        for path in [
            "core/src/json/tests.rs",
            "core/tests/a.rs",
            "examples/src/a.rs",
        ] {
            assert_eq!(with_source(path, &text), [""; 0], "{doc}");
        }
    }
}

#[test]
fn comments_and_tests_of_a_published_package_may_cite() {
    for fine in [
        "fn f() {} // fault S20, the one of the checklist",
        "//// rule R7\nfn f() {}",
        "#[cfg(test)]\nmod tests {\n//! rule R7\n/// Fault S20.\n#[test]\nfn a() {}\n// I34\n}\nfn f() {}",
        "fn f() {}\n#[cfg(test)]\nmod tests {\n/// Fault S20.\nfn a() {}\n}\n",
        "fn f() { g(\"/// rule R7\") }",
        "/// The invariant is kept; a rule of Rust\nfn f() {}",
        "/// Cortex-M0 (M0), I64, `C0` and HTTP (H1)\nfn f() {}",
    ] {
        assert_eq!(with_source("core/src/a.rs", fine), [""; 0], "{fine}");
    }
}

#[test]
fn a_document_that_is_not_there_is_named_wherever_it_is() {
    let name = format!("design{}", ".md");
    for text in [
        format!("// See {name}."),
        format!("/// `{name}` section 4"),
        format!("const A: &str = include_str!(\"../{name}\");"),
    ] {
        for path in ["core/src/a.rs", "benches/src/a.rs"] {
            let found = with_source(path, &format!("\n{text}\n"));
            is_one(&found, &format!("{path}:2: there is no `{name}`"));
        }
    }
    for fine in [
        "// `RESULTS.md` and ../../README.md and benches/RESULTS.md",
        "// https://example.com/nowhere/else.md and *.md",
        "// a.mdx is another kind",
    ] {
        assert_eq!(with_source("core/src/a.rs", fine), [""; 0], "{fine}");
    }
    let moved = format!("other/README{}", ".md");
    let found = with_source("core/src/a.rs", &format!("// {moved}"));
    is_one(&found, &format!("core/src/a.rs:1: there is no `{moved}`"));
}

#[test]
fn lists_and_ranges_are_read_and_other_words_are_not() {
    let cited = |text: &str| {
        let (_, comments) = tokens_and_comments(&format!("// {text}"));
        let found = citations(&comments);
        let found = found.iter().map(Citation::to_string);
        found.collect::<Vec<_>>().join(" ")
    };
    for (text, expected) in [
        (
            "spec A-036, A-039 to A-044",
            "`spec A-036` `spec A-039` `spec A-044`",
        ),
        ("B-015..B-017", "`spec B-015` `spec B-017`"),
        ("faults G1-G4 and `S2`", "`fault G1` `fault G4` `fault S2`"),
        (
            "fault C2, invariants I3 and I4",
            "`fault C2` `invariant I3` `invariant I4`",
        ),
        ("fault I1 but invariant I1", "`fault I1` `invariant I1`"),
        ("spec Z-001", "`spec Z-001`"),
        ("an M0 and an I64; a fault of C2; rules of R1", ""),
        ("RFC-A-001, XA-001, A-0011, J-001", ""),
        ("é-001 fault é", ""),
    ] {
        assert_eq!(cited(text), expected, "{text}");
    }
    let place = Citation {
        kind: Kind::Rule,
        id: "R7".to_owned(),
        line: 3,
    };
    let (_, comments) = tokens_and_comments("fn f() {}\n\n/* rule R7 */");
    assert_eq!(citations(&comments), [place]);
}

#[test]
fn names_and_tests_are_read() {
    assert_eq!(ids_of_name("s16_s17_answers"), ["S16", "S17"]);
    assert_eq!(ids_of_name("s13_to_s17_bad"), ["S13", "S17"]);
    assert_eq!(ids_of_name("b_002_c_002_empty"), ["B-002", "C-002"]);
    assert_eq!(ids_of_name("b_023_g1_only"), ["B-023", "G1"]);
    assert_eq!(ids_of_name("a_001"), ["A-001"]);
    assert_eq!(ids_of_name("s1_a_429_is_alive"), ["S1"]);
    assert_eq!(ids_of_name("to_the_end_s1"), [""; 0]);
    assert_eq!(ids_of_name("é1_s1"), [""; 0]);
    let source = "#[cfg(test)] fn a() {} #[test] #[should_panic] fn b() {} \
        #[test_case(1)] fn c() {} #[tokio::test] async fn d() {} \
        // #[test] fn e() {}\n const F: &str = \"#[test] fn f() {}\"; fn g() {}";
    let (tokens, _) = tokens_and_comments(source);
    let names: Vec<_> = tests(&tokens).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, ["b", "d"]);
    assert_eq!(documents_named("// a/../b"), []);
}
