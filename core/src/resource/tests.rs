use super::*;
use std::vec;
use std::vec::Vec;

#[test]
fn equal_scopes_share_a_number_and_different_ones_do_not() {
    let mut registry = Registry::new([0; 512], &Resource::default()).unwrap();
    let a = registry.scope(&InstrumentationScope::new("a")).unwrap();
    let b = registry.scope(&InstrumentationScope::new("b")).unwrap();
    let a2 = registry
        .scope(&InstrumentationScope::new("a").with_version("2"))
        .unwrap();
    assert_eq!([a, b, a2], [ScopeId(0), ScopeId(1), ScopeId(2)]);
    assert_eq!(registry.scope(&InstrumentationScope::new("b")), Ok(b));
    assert_eq!(registry.scopes(), 3);
    assert_eq!(registry.view().scope(b).head, b"\x0a\x03\x0a\x01b");
    assert_eq!(registry.view().scope(ScopeId(9)).head, b"");
}

#[test]
fn a_known_scope_is_found_in_a_full_registry() {
    let attributes = [
        KeyValue::new("k", "text"),
        KeyValue::new("k", 1_i64),
        KeyValue::new("list", &["a", "b"][..]),
    ];
    let full = InstrumentationScope {
        name: "orders",
        version: "1.2",
        schema_url: "u",
        attributes: &attributes,
    };
    let scopes = [
        InstrumentationScope::default(),
        InstrumentationScope::new("orders"),
        InstrumentationScope::new("orders").with_version("1.2"),
        InstrumentationScope::new("").with_version("orders"),
        full,
    ];
    let mut roomy = Registry::new([0; 512], &Resource::default()).unwrap();
    for scope in &scopes {
        roomy.scope(scope).unwrap();
    }
    let mut tight = vec![0; roomy.used_bytes()];
    let mut tight = Registry::new(&mut tight[..], &Resource::default()).unwrap();
    let ids: Vec<_> = scopes.iter().map(|s| tight.scope(s).unwrap()).collect();
    assert_eq!(tight.used_bytes(), roomy.used_bytes());
    for (scope, id) in scopes.iter().zip(ids) {
        assert_eq!(tight.scope(scope), Ok(id));
    }
    for new in [
        InstrumentationScope::new("order"),
        InstrumentationScope::new("orders").with_version("1.3"),
        InstrumentationScope {
            schema_url: "v",
            ..full
        },
        InstrumentationScope {
            attributes: &attributes[..2],
            ..full
        },
        InstrumentationScope {
            attributes: &attributes[1..],
            name: "order",
            ..full
        },
    ] {
        let found = tight.scope(&new);
        assert!(
            matches!(found, Err(RegistryError::Full { .. })),
            "{found:?}"
        );
    }
}

#[test]
fn an_entry_that_does_not_fit_changes_nothing() {
    let mut registry = Registry::new([0; 16], &Resource::default()).unwrap();
    let used = registry.used_bytes();
    let error = registry.scope(&InstrumentationScope::new("a name that is too long"));
    assert!(
        matches!(error, Err(RegistryError::Full { missing: 17.. })),
        "{error:?}"
    );
    assert_eq!((registry.used_bytes(), registry.scopes()), (used, 0));
    registry.scope(&InstrumentationScope::new("a")).unwrap();
}

#[test]
fn a_repeated_resource_key_keeps_its_last_value_and_an_empty_key_is_ignored() {
    let attributes = [
        KeyValue::new("k", 1_i64),
        KeyValue::new("", 2_i64),
        KeyValue::new("k", 0_i64),
    ];
    let resource = Resource {
        attributes: &attributes,
        schema_url: "u",
    };
    let registry = Registry::new([0; 64], &resource).unwrap();
    let entry = registry.view().resource();
    assert_eq!(entry.head, b"\x0a\x09\x0a\x07\x0a\x01k\x12\x02\x18\x00");
    assert_eq!(entry.tail, b"\x1a\x01u");
}
