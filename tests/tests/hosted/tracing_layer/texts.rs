//! Long texts in the fields of spans and events.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};

use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use tracing::{error, info_span};

use super::rig::{Rig, attributes, int};

#[test]
fn x90_a_logged_error_of_any_length_leaves_room_for_the_rest() {
    let rig = Rig::layer(|layer| layer.with_error_events_as_status(true));
    let long = "x".repeat(1 << 20);
    let spans = rig.trace(|| {
        let span = info_span!("owner", query = %long, code = tracing::field::Empty);
        span.in_scope(|| {
            error!(error = %long, "refused");
            error!("{long}");
        });
        span.record("code", 500);
    });
    let span = spans.named("owner");
    let found = attributes(&span.attributes);
    assert_eq!(found["code"], int(500));
    assert!(found.contains_key("query"));
    let status = span.status.as_ref().unwrap();
    assert_eq!(status.code(), StatusCode::Error);
    assert!(long.starts_with(&status.message) && status.message.len() > 100);
    assert_eq!(span.events.len(), 2);
    for event in &span.events {
        assert!(attributes(&event.attributes).contains_key("level"));
    }
    assert_eq!(span.dropped_attributes_count + span.dropped_events_count, 0);
}

/// Prints for ever, unless it is stopped.
struct Endless<'a>(&'a AtomicUsize);

impl fmt::Debug for Endless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        loop {
            self.0.fetch_add(1, Ordering::Relaxed);
            f.write_str("0123456789abcdef")?;
        }
    }
}

impl fmt::Display for Endless<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// Each of many sources is as long.
impl std::error::Error for Endless<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        static PARTS: AtomicUsize = AtomicUsize::new(0);
        static SOURCE: Endless<'static> = Endless(&PARTS);
        Some(&SOURCE)
    }
}

#[test]
fn x91_a_field_is_formatted_no_further_than_it_can_be_stored() {
    static PARTS: AtomicUsize = AtomicUsize::new(0);
    static ENDLESS: Endless<'static> = Endless(&PARTS);
    let rig = Rig::new();
    let spans = rig.trace(|| {
        let span = info_span!("owner", state = ?ENDLESS, after = 1);
        let error: &(dyn std::error::Error + 'static) = &ENDLESS;
        span.in_scope(|| error!(error, after = 2));
    });
    let span = spans.named("owner");
    let found = attributes(&span.attributes);
    assert_eq!(found["after"], int(1));
    assert!(found.contains_key("state"));
    assert_eq!(attributes(&span.events[0].attributes)["after"], int(2));
    // Once for the span, once for the event: 16 KiB each.
    let parts = PARTS.load(Ordering::Relaxed);
    assert!((1000..4100).contains(&parts), "{parts}");
}
