//! The bytes that an encoder sees at a time.

use std::boxed::Box;
use std::vec;

/// The bytes of history and block together. A power of two.
pub(super) const CAPACITY: usize = 128 * 1024;
/// Padding behind them, so that eight or sixteen bytes can be read at every place.
const SLACK: usize = 64;
/// History, block and padding.
pub(super) type Window = [u8; CAPACITY + SLACK];

/// Zeros that never were on the stack.
pub(super) fn boxed<const N: usize>() -> Box<[u8; N]> {
    let zeros = vec![0; N].into_boxed_slice();
    zeros.try_into().unwrap_or_else(|_| Box::new([0; N]))
}
