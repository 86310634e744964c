//! Baggage as values, and what its propagator leaves out.

use spandrel_core::hosted::baggage::{self, Baggage, BaggagePropagator};
use spandrel_core::hosted::current::Context;
use spandrel_core::hosted::propagation::ContextPropagator as _;

use crate::propagation::{Headers, received, value};

#[test]
fn baggage_is_immutable_and_the_last_value_of_a_name_counts() {
    let none = Baggage::new();
    let one = none.with("tenant", "acme");
    let two = one
        .with_metadata("user", "Amélie", "source=login")
        .with("Tenant", 2);
    let changed = two.with("user", "Anna");
    assert!(none.is_empty() && none.get("tenant").is_none());
    assert_eq!((one.len(), one.metadata("tenant")), (1, Some("")));
    assert_eq!(two.metadata("user"), Some("source=login"));
    let entries: Vec<_> = changed.iter().collect();
    assert_eq!(
        entries,
        [
            ("tenant", "acme", ""),
            ("user", "Anna", ""),
            ("Tenant", "2", "")
        ]
    );
    assert_eq!(changed.without("user").without("nobody").len(), 2);
    assert_eq!(one.without("tenant"), none);
    assert_eq!(one.with("", "nothing"), one);
    let collected: Baggage = [("a", 1), ("b", 2), ("a", 3)].into_iter().collect();
    assert_eq!(
        collected.iter().collect::<Vec<_>>(),
        [("a", "3", ""), ("b", "2", "")]
    );
    assert_eq!(
        format!("{changed:?}"),
        r#"Baggage ["tenant", "user", "Tenant"]"#
    );
    let context = Context::new().with_baggage(one.clone());
    assert_eq!(context.baggage(), &one);
    assert_eq!(context.with_baggage(Baggage::new()), Context::new());
    let headers = received(&[("baggage", "a=1,a=2"), ("baggage", "a=3,b=4")]);
    let found = BaggagePropagator.extract_into(&context, &headers);
    assert_eq!(
        found.baggage().iter().collect::<Vec<_>>(),
        [("a", "3", ""), ("b", "4", "")]
    );
}

/// Spec E-045, E-046.
#[test]
fn what_is_left_out_is_counted() {
    let before = baggage::left_out();
    let many: Vec<String> = (0..70).map(|n| format!("k{n}=v")).collect();
    let headers = received(&[("baggage", &(many.join(",") + ",malformed"))]);
    let context = BaggagePropagator.extract_into(&Context::new(), &headers);
    assert_eq!(context.baggage().len(), 64);
    assert!(
        baggage::left_out() >= before + 7,
        "6 over the limit, and one that is none"
    );
    let full = context
        .baggage()
        .with("one more", "bad name")
        .with("k64", "over");
    let mut out = Headers::new();
    BaggagePropagator.inject_from(&context.with_baggage(full), &mut out);
    assert_eq!(value(&out, "baggage").unwrap().split(',').count(), 64);
    assert!(baggage::left_out() >= before + 9);
    let mut none = Headers::new();
    let bad = Baggage::new().with("bad name", 1);
    BaggagePropagator.inject_from(&Context::new().with_baggage(bad), &mut none);
    assert!(none.is_empty(), "an empty header is not sent");
}
