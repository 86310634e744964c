//! Arguments and fields.

use spandrel_core::hosted::trace::Tracer;
use spandrel_core::instrument;

use super::traced;

#[derive(Debug)]
struct Point {
    x: u8,
}

struct Shy;

#[instrument(tracer = tracer, skip(shy))]
#[expect(clippy::too_many_arguments, reason = "they are what is tested")]
fn all(
    tracer: &Tracer,
    truth: bool,
    number: i64,
    small: &u32,
    ratio: f64,
    text: &str,
    owned: String,
    maybe: Option<u32>,
    Point { x }: Point,
    (left, _right): (u8, u8),
    points: &[Point],
    r#type: char,
    shy: Shy,
    _unused: u8,
) {
    let _ = (
        tracer, truth, number, small, ratio, text, owned, maybe, x, left, points, r#type, shy,
    );
}

#[test]
fn arguments_are_recorded_as_what_they_are_or_by_debug() {
    traced(
        |tracer| {
            let points = [Point { x: 1 }];
            all(
                tracer,
                true,
                -3,
                &7,
                0.5,
                "a",
                "b".into(),
                Some(2),
                Point { x: 9 },
                (4, 5),
                &points,
                'c',
                Shy,
                0,
            );
        },
        r#"all truth=true number=-3 small=7 ratio=0.5 text="a" owned="b" maybe=2 x=9 left=4 points="[Point { x: 1 }]" type="'c'""#,
    );
}

#[instrument(tracer = tracer, fields(
    order.items = items.len(),
    "first item" = %items[0],
    ?items,
    card = "(hidden)",
    twice = card.len() * 2,
    id
))]
fn described(tracer: &Tracer, items: &[&str], card: &str, id: u16) {
    let _ = (tracer, items, card, id);
}

#[test]
fn fields_are_expressions_over_arguments_and_replace_those_of_their_names() {
    traced(
        |tracer| described(tracer, &["soup", "ice"], "4711", 3),
        r#"described order.items=2 first item="soup" items="[\"soup\", \"ice\"]" card="(hidden)" twice=8 id=3"#,
    );
}

#[instrument(tracer = tracer, skip_all, fields(n = { calls.push(1); 1 }))]
fn counting(tracer: &Tracer, calls: &mut Vec<u8>) {
    let _ = (tracer, calls);
}

#[test]
fn nothing_is_computed_for_a_span_that_is_not_recorded() {
    let mut calls = Vec::new();
    counting(&Tracer::disabled(), &mut calls);
    assert!(calls.is_empty());
    traced(|tracer| counting(tracer, &mut calls), "counting n=1");
    assert_eq!(calls, [1]);
}
