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
