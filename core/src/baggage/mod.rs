//! [W3C Baggage]: names and values of the program's own that travel with a request, in the header
//! `baggage`.
//!
//! ```text
//!   baggage: tenant=acme,user=Am%C3%A9lie;source=login
//!            └─ member ─┘     └ value ──┘ └ metadata ┘     value: percent-coded UTF-8
//! ```
//!
//! [`Reader`] and [`Writer`] work without a heap: the reader passes members that borrow from the
//! header, and the writer appends to any [`fmt::Write`](core::fmt::Write). Programs with `std` use
//! `hosted::baggage`, which owns its entries and travels in the context.
//!
//! Anyone can send the header, so reading and writing have the same limits:
//!
//! | limit | | beyond it |
//! |---|---|---|
//! | [`MAX_MEMBERS`] | 64 members | a member is left out |
//! | [`MAX_BYTES`] | 8192 bytes, of all headers together | whole members are left out, and no byte more is read |
//! | [`MAX_MEMBER_BYTES`] | 4096 bytes | the member is left out |
//!
//! | received | becomes |
//! |---|---|
//! | a member that breaks the grammar, such as a key that is no token | is skipped; the others stay |
//! | blanks around keys, values and members; empty members | are ignored |
//! | `%` without two hexadecimal digits behind it, `+` | stays as it is |
//! | octets that are not UTF-8, percent-coded | U+FFFD |
//!
//! [W3C Baggage]: https://www.w3.org/TR/baggage/
//!
//! ```
//! use spandrel_core::baggage::{Reader, Writer};
//!
//! let mut reader = Reader::new();
//! let mut user = String::new();
//! reader.read("tenant=acme, user=Am%C3%A9lie;source=login", |member| {
//!     if member.key() == "user" {
//!         user = member.value().to_string();
//!     }
//! });
//! assert_eq!((user.as_str(), reader.left_out()), ("Amélie", 0));
//!
//! let mut writer = Writer::new(String::new());
//! assert!(writer.add("user", &user, "source=login"));
//! assert!(!writer.add("no token", "", ""));
//! assert_eq!(writer.into_inner(), "user=Am%C3%A9lie;source=login");
//! ```

mod grammar;
mod read;
mod write;

pub use grammar::is_key;
pub use read::{DecodedValue, Member, Reader};
pub use write::Writer;

/// The name of the [header](https://www.w3.org/TR/baggage/#header-name).
pub const BAGGAGE: &str = "baggage";
/// The most members that are read or written.
pub const MAX_MEMBERS: usize = 64;
/// The most bytes that are read or written, commas included.
pub const MAX_BYTES: usize = 8192;
/// The most bytes of one member.
pub const MAX_MEMBER_BYTES: usize = 4096;
