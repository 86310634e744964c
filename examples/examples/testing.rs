//! Testing code that records spans: capture, look, compare, and read what an assertion says.
//!
//! ```text
//! cargo run --example testing
//! ```

use std::panic::{catch_unwind, set_hook};
use std::time::Duration;

use spandrel_core::hosted::testing::Capture;
use spandrel_core::hosted::trace::Tracer;
use spandrel_core::span::SpanKind;
use spandrel_examples::println;

/// The code under test. It gets its tracer from outside; `spandrel_core::hosted::trace::tracer` would
/// be the process's.
fn place_order(tracer: &Tracer, items: i64) {
    let order = tracer.span("order.place").kind(SpanKind::Server);
    order.in_scope(|order| {
        order.set_attribute("order.items", items);
        tracer.start("stock.take").end();
        let mut charge = tracer.span("payment.charge").kind(SpanKind::Client).start();
        if items > 2 {
            charge.set_error("declined");
        }
    });
}

fn main() {
    // A pipeline of this test's own: no collector, no thread, nothing that other tests could see.
    let capture = Capture::new();
    place_order(&capture.tracer("shop"), 3);

    let spans = capture.spans();
    println!("captured {} spans:\n\n{}", spans.len(), spans.tree());

    spans.one("order.place").assert_attribute("order.items", 3);
    spans.assert_tree(
        "
        order.place (server) order.items=3
        ├─ stock.take
        └─ payment.charge (client) ✗ declined
        ",
    );
    // Times are exact with a clock that stands still until the test moves it.
    let clock = capture.virtual_clock();
    let tracer = capture.tracer("shop");
    capture.reset();
    tracer.span("mail.send").in_scope(|_| {
        clock.advance(Duration::from_millis(5));
        let connect = tracer.start("smtp.connect");
        clock.advance(Duration::from_millis(20));
        connect.end();
    });
    let mails = capture.spans();
    println!("with a virtual clock:\n\n{}", mails.tree().with_offsets());
    assert_eq!(mails.one("mail.send").duration(), Duration::from_millis(25));

    println!("the assertions hold; this is what one says that fails:\n");

    // A test would not catch it.
    set_hook(Box::new(|panic| {
        let text = panic.payload().downcast_ref::<String>();
        println!("{}", text.map_or("", String::as_str));
    }));
    let _ = catch_unwind(|| drop(spans.one("payment.refund").clone()));
    let _ = catch_unwind(|| {
        spans.assert_tree(
            "
            order.place (server) order.items=3
            ├─ stock.take
            └─ payment.charge (client)
            ",
        );
    });
}
