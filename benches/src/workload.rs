//! The work that all contestants do.

/// Ten keys of 20 characters.
pub const TEN_KEYS: [&str; 10] = [
    "app.checkout.basket0",
    "app.checkout.basket1",
    "app.checkout.basket2",
    "app.checkout.basket3",
    "app.checkout.basket4",
    "app.checkout.basket5",
    "app.checkout.basket6",
    "app.checkout.basket7",
    "app.checkout.basket8",
    "app.checkout.basket9",
];

/// Ten values of 20 characters.
pub const TEN_VALUES: [&str; 10] = [
    "abcdefghijklmnopqrs0",
    "bcdefghijklmnopqrst1",
    "cdefghijklmnopqrstu2",
    "defghijklmnopqrstuv3",
    "efghijklmnopqrstuvw4",
    "fghijklmnopqrstuvwx5",
    "ghijklmnopqrstuvwxy6",
    "hijklmnopqrstuvwxyz7",
    "ijklmnopqrstuvwxyza8",
    "jklmnopqrstuvwxyzab9",
];

/// Spans of one trace of the end-to-end runs: a root and its children, four attributes each.
pub const SPANS_PER_TRACE: u64 = 10;

const ROUTES: [&str; 8] = [
    "/orders",
    "/orders/{id}",
    "/baskets/{id}",
    "/payments",
    "/users/{id}/addresses",
    "/search",
    "/health",
    "/invoices/{id}/lines",
];

/// The attributes of one span: a text, a whole number, a real number, a truth value. They vary as
/// those of a service do, without a call to a generator.
#[inline]
#[must_use]
pub fn values(trace: u64, span: u64) -> (&'static str, i64, f64, bool) {
    let mixed = (trace * SPANS_PER_TRACE + span).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    let route = ROUTES[(mixed & 7) as usize];
    let rows = ((mixed >> 3) % 5000) as i64;
    let load = ((mixed >> 8) % 400) as f64 / 4.0;
    (route, rows, load, mixed & 0x100 == 0)
}
