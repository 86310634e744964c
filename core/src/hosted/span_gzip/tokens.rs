//! The content of a block: literals, and copies of earlier bytes.

use std::boxed::Box;
use std::collections::TryReserveError;
use std::vec;
use std::vec::Vec;

use super::window::{CAPACITY, Window};

/// Shorter copies are not looked for.
pub(super) const MIN_MATCH: usize = 4;
/// The longest copy of the format.
pub(super) const MAX_MATCH: usize = 258;
/// The farthest that a copy may reach back.
pub(super) const MAX_DISTANCE: usize = 32_768;
/// The symbol of a sequence without a copy.
const NO_DISTANCE: u8 = 31;
/// Literals are copied in steps of this many bytes.
const STRIDE: usize = 16;

/// Literals, and a copy after them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sequence {
    /// The number of literals.
    pub(super) literals: u16,
    /// The length of the copy; 0 if there is none.
    pub(super) len: u16,
    /// The distance of the copy, less one.
    distance: u16,
    /// The symbol of the distance.
    symbol: u8,
}

impl Sequence {
    /// The symbol of the distance, 0 to 29; 31 without a copy.
    #[inline(always)]
    pub(super) const fn symbol(self) -> usize {
        (self.symbol & 31) as usize
    }

    /// The extra bits of the distance, as many as [`distance_extra`] says.
    #[inline(always)]
    pub(super) const fn extra(self, count: u32) -> u32 {
        self.distance as u32 & ((1 << count) - 1)
    }
}

/// The tokens of a block, counted by kind.
pub(super) struct Tokens {
    /// All literals in a row, and behind them the excess of copying by [`STRIDE`].
    literals: Box<[u8]>,
    count: usize,
    sequences: Vec<Sequence>,
    /// Room for sequences that could not be had.
    shortage: Option<TryReserveError>,
    /// Copies by length.
    pub(super) lengths: [u32; MAX_MATCH + 1],
    /// Copies by the symbol of their distance.
    pub(super) distances: [u32; 32],
}

impl Tokens {
    pub(super) fn new() -> Self {
        Self {
            literals: vec![0; CAPACITY + 2 * STRIDE].into_boxed_slice(),
            count: 0,
            sequences: Vec::new(),
            shortage: None,
            lengths: [0; MAX_MATCH + 1],
            distances: [0; 32],
        }
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.sequences.clear();
        self.lengths.fill(0);
        self.distances.fill(0);
    }

    /// Appends the bytes of `data` between `from` and `to`, and a copy of `len` bytes from
    /// `distance` before, 1 to [`MAX_DISTANCE`].
    #[inline(always)]
    pub(super) fn push(
        &mut self,
        data: &Window,
        from: usize,
        to: usize,
        len: usize,
        distance: usize,
    ) {
        let literals = to.saturating_sub(from);
        if literals > usize::from(u16::MAX) {
            return self.push_long(data, from, to, len, distance);
        }
        self.copy(data, from, literals);
        let distance = (distance as u16).wrapping_sub(1);
        let symbol = distance_symbol(distance);
        if let Some(count) = self.lengths.get_mut(len) {
            *count += 1;
        }
        self.distances[symbol as usize & 31] += 1;
        self.add(Sequence {
            literals: literals as u16,
            len: len as u16,
            distance,
            symbol,
        });
    }

    #[cold]
    fn push_long(&mut self, data: &Window, from: usize, to: usize, len: usize, distance: usize) {
        let rest = from + usize::from(u16::MAX);
        self.push_literals(data, from, rest);
        self.push(data, rest, to, len, distance);
    }

    #[inline(always)]
    fn add(&mut self, sequence: Sequence) {
        if self.sequences.len() < self.sequences.capacity() || self.has_room() {
            self.sequences.push(sequence);
        }
    }

    #[cold]
    fn has_room(&mut self) -> bool {
        match self.sequences.try_reserve(1) {
            Ok(()) => true,
            Err(error) => {
                self.shortage = Some(error);
                false
            }
        }
    }

    /// Fails if sequences are missing since the last call, because there was no memory for them.
    pub(super) fn check(&mut self) -> Result<(), TryReserveError> {
        self.shortage.take().map_or(Ok(()), Err)
    }

    /// Appends the bytes of `data` between `from` and `to`.
    pub(super) fn push_literals(&mut self, data: &Window, mut from: usize, to: usize) {
        while from < to {
            let literals = (to - from).min(usize::from(u16::MAX));
            self.copy(data, from, literals);
            self.add(Sequence {
                literals: literals as u16,
                len: 0,
                distance: 0,
                symbol: NO_DISTANCE,
            });
            from += literals;
        }
    }

    #[inline(always)]
    fn copy(&mut self, data: &Window, from: usize, count: usize) {
        let mut copied = 0;
        loop {
            let target = self.literals.get_mut(self.count + copied..);
            let target = target.and_then(<[u8]>::first_chunk_mut::<STRIDE>);
            let source = data.get((from + copied) & (CAPACITY - 1)..);
            let source = source.and_then(<[u8]>::first_chunk);
            if let (Some(target), Some(source)) = (target, source) {
                *target = *source;
            }
            copied += STRIDE;
            if copied >= count {
                break;
            }
        }
        self.count += count;
    }

    /// All literals.
    pub(super) fn literals(&self) -> &[u8] {
        self.literals.get(..self.count).unwrap_or_default()
    }

    /// The literals, with scratch behind them.
    pub(super) const fn padded_literals(&self) -> &[u8] {
        &self.literals
    }

    pub(super) fn sequences(&self) -> &[Sequence] {
        &self.sequences
    }
}

/// The symbol of a distance less one (RFC 1951, 3.2.5): two for each doubling.
#[inline(always)]
const fn distance_symbol(distance: u16) -> u8 {
    let distance = distance as u32;
    let extra = 30_u32.saturating_sub((distance | 2).leading_zeros());
    (2 * extra + (distance >> extra)) as u8
}

/// Extra bits of each symbol of a distance.
pub(super) const fn distance_extra(symbol: usize) -> u32 {
    if symbol < 4 || symbol >= 30 {
        0
    } else {
        symbol as u32 / 2 - 1
    }
}

/// The symbol of a length, 257 to 285, and its extra bits: their value and how many (RFC 1951,
/// 3.2.5).
pub(super) const fn length_symbol(len: usize) -> (usize, u32, u32) {
    if len == MAX_MATCH {
        return (285, 0, 0);
    }
    // Four symbols for each doubling.
    let over = (len as u32).saturating_sub(3);
    let extra = 29_u32.saturating_sub((over | 4).leading_zeros());
    let symbol = 257 + 4 * extra + (over >> extra);
    (symbol as usize, over & ((1 << extra) - 1), extra)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first length of each symbol, from the table of the specification.
    const LENGTHS: [usize; 29] = [
        3, 4, 5, 6, 7, 8, 9, 10, 11, 13, 15, 17, 19, 23, 27, 31, 35, 43, 51, 59, 67, 83, 99, 115,
        131, 163, 195, 227, 258,
    ];

    #[test]
    fn lengths_and_distances_have_the_symbols_of_the_specification() {
        for len in 3..=MAX_MATCH {
            let (symbol, value, count) = length_symbol(len);
            assert_eq!(LENGTHS[symbol - 257] + value as usize, len);
            assert!(value < 1 << count && (len < 11) <= (count == 0));
        }
        let mut base = 1;
        for symbol in 0..30 {
            let count = distance_extra(symbol);
            for distance in base..base + (1 << count) {
                assert_eq!(usize::from(distance_symbol((distance - 1) as u16)), symbol);
            }
            base += 1 << count;
        }
        assert_eq!(base - 1, MAX_DISTANCE);
    }

    #[test]
    fn a_long_run_of_literals_is_cut() {
        let data = super::super::window::boxed();
        let mut tokens = Tokens::new();
        tokens.push(&data, 0, 90_000, 9, 1);
        let each = tokens.sequences().iter().map(|s| (s.literals, s.len));
        assert!(each.eq([(u16::MAX, 0), (24_465, 9)]));
        assert_eq!(tokens.literals().len(), 90_000);
    }
}
