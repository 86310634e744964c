//! One block of DEFLATE (RFC 1951, 3.2.3), in the smallest of its three forms.

use super::bits::BitWriter;
use super::huffman::{Code, code_lengths, codes};
use super::tokens::{MAX_MATCH, Tokens, distance_extra, length_symbol};

/// Symbols of literals and lengths; two are never used, but have a fixed code.
const LITERALS: usize = 288;
const DISTANCES: usize = 32;
const END_OF_BLOCK: usize = 256;
/// The longest codes that are made; 15 bits are allowed. Four literals of this length are written
/// at once.
const LIMIT: usize = 12;
/// Bytes of a stored block, at most.
const MAX_STORED: usize = 65_535;
const BLOCK_HEADER_BITS: usize = 3;
/// Symbols of the code in which the lengths of the other codes are written, in their order.
const ORDER: [usize; 19] = [
    16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15,
];
/// Extra bits of those symbols.
const fn repeat_extra(symbol: u8) -> u32 {
    match symbol {
        16 => 2,
        17 => 3,
        18 => 7,
        _ => 0,
    }
}

/// The lengths of the two codes of a block.
struct Lengths {
    literals: [u8; LITERALS],
    distances: [u8; DISTANCES],
}

impl Lengths {
    /// The fixed codes (RFC 1951, 3.2.6).
    const FIXED: Self = {
        let mut literals = [8; LITERALS];
        let mut symbol = 144;
        while symbol < 280 {
            literals[symbol] = if symbol < END_OF_BLOCK { 9 } else { 7 };
            symbol += 1;
        }
        Self {
            literals,
            distances: [5; DISTANCES],
        }
    };

    /// The bits of all symbols with these counts, without extra bits.
    fn cost(&self, weights: &Weights) -> usize {
        let sum = |weights: &[u32], lengths: &[u8]| -> usize {
            let each = weights.iter().zip(lengths);
            each.map(|(&w, &l)| w as usize * usize::from(l)).sum()
        };
        sum(&weights.literals, &self.literals) + sum(&weights.distances, &self.distances)
    }
}

/// The number of times that each symbol occurs.
struct Weights {
    literals: [u32; LITERALS],
    distances: [u32; DISTANCES],
    /// Of lengths and distances together.
    extra_bits: usize,
}

impl Weights {
    fn of(tokens: &Tokens) -> Self {
        let mut literals = [0; LITERALS];
        count(tokens.literals(), &mut literals);
        literals[END_OF_BLOCK] = 1;
        let mut extra_bits = 0;
        for (len, &count) in tokens.lengths.iter().enumerate().skip(3) {
            let (symbol, _, extra) = length_symbol(len);
            literals[symbol] += count;
            extra_bits += (count * extra) as usize;
        }
        for (symbol, &count) in tokens.distances.iter().enumerate() {
            extra_bits += (count * distance_extra(symbol)) as usize;
        }
        Self {
            literals,
            distances: tokens.distances,
            extra_bits,
        }
    }
}

/// Counts bytes in four tables in turn: with one, a byte equal to the last would wait for its
/// count.
fn count(bytes: &[u8], counts: &mut [u32; LITERALS]) {
    let mut tables = [[0_u32; 256]; 4];
    let mut fours = bytes.chunks_exact(4);
    for four in &mut fours {
        for (table, &byte) in tables.iter_mut().zip(four) {
            table[usize::from(byte)] += 1;
        }
    }
    for &byte in fours.remainder() {
        tables[0][usize::from(byte)] += 1;
    }
    let [a, b, c, d] = &tables;
    for ((((count, a), b), c), d) in counts.iter_mut().zip(a).zip(b).zip(c).zip(d) {
        *count = a + b + c + d;
    }
}

/// The header of a dynamic block: the lengths of both codes in one row, with repetitions shortened.
struct Header {
    literals: usize,
    distances: usize,
    /// A symbol and the value of its extra bits.
    row: [(u8, u8); LITERALS + DISTANCES],
    row_len: usize,
    lengths: [u8; ORDER.len()],
    /// The number of `lengths` written, in their order.
    told: usize,
}

impl Header {
    fn of(lengths: &Lengths) -> Self {
        // At least one distance is written, even if there is none.
        let literals = used(&lengths.literals).max(END_OF_BLOCK + 1);
        let distances = used(&lengths.distances).max(1);
        let mut all = [0; LITERALS + DISTANCES];
        all[..literals].copy_from_slice(&lengths.literals[..literals]);
        all[literals..literals + distances].copy_from_slice(&lengths.distances[..distances]);
        let mut header = Self {
            literals,
            distances,
            row: [(0, 0); LITERALS + DISTANCES],
            row_len: 0,
            lengths: [0; ORDER.len()],
            told: 0,
        };
        let mut weights = [0; ORDER.len()];
        let mut left = &all[..literals + distances];
        let mut before = None;
        while let Some(&length) = left.first() {
            let same = left.iter().take_while(|&&l| l == length).count();
            let (symbol, value, taken) = match same {
                11.. if length == 0 => (18, same.min(138) - 11, same.min(138)),
                3.. if length == 0 => (17, same - 3, same),
                3.. if before == Some(length) => (16, same.min(6) - 3, same.min(6)),
                _ => (length, 0, 1),
            };
            header.row[header.row_len] = (symbol, value as u8);
            header.row_len += 1;
            weights[usize::from(symbol)] += 1;
            before = Some(length);
            left = &left[taken..];
        }
        code_lengths(&weights, 7, &mut header.lengths);
        let unused = ORDER.iter().rev();
        let unused = unused.take_while(|&&symbol| header.lengths[symbol] == 0);
        header.told = ORDER.len() - unused.count().min(ORDER.len() - 4);
        header
    }

    fn row(&self) -> impl Iterator<Item = (u8, u8)> {
        self.row.iter().copied().take(self.row_len)
    }

    fn cost(&self) -> usize {
        let row = self.row();
        let row = row
            .map(|(symbol, _)| u32::from(self.lengths[usize::from(symbol)]) + repeat_extra(symbol));
        5 + 5 + 4 + 3 * self.told + row.sum::<u32>() as usize
    }

    fn write(&self, bits: &mut BitWriter<'_>) {
        bits.put((self.literals - 257) as u32, 5);
        bits.put((self.distances - 1) as u32, 5);
        bits.put((self.told - 4) as u32, 4);
        for &symbol in ORDER.iter().take(self.told) {
            bits.put(self.lengths[symbol].into(), 3);
        }
        let mut made = [Code::default(); ORDER.len()];
        codes(&self.lengths, &mut made);
        for (symbol, value) in self.row() {
            let code = made[usize::from(symbol)];
            bits.put(code.bits(), code.count());
            bits.put(value.into(), repeat_extra(symbol));
        }
    }
}

/// The number of lengths without the zeros at the end.
fn used(lengths: &[u8]) -> usize {
    let unused = lengths.iter().rev().take_while(|&&length| length == 0);
    lengths.len() - unused.count()
}

/// Writes the tokens, which stand for the bytes `raw`, as one block, or as several stored ones
/// where that is smaller.
pub(super) fn write(tokens: &Tokens, raw: &[u8], is_last: bool, bits: &mut BitWriter<'_>) {
    let weights = Weights::of(tokens);
    let mut lengths = Lengths {
        literals: [0; LITERALS],
        distances: [0; DISTANCES],
    };
    code_lengths(&weights.literals, LIMIT, &mut lengths.literals);
    code_lengths(&weights.distances, LIMIT, &mut lengths.distances);
    let header = Header::of(&lengths);
    let dynamic = header.cost() + lengths.cost(&weights) + weights.extra_bits;
    let fixed = Lengths::FIXED.cost(&weights) + weights.extra_bits;
    let stored = raw.len() * 8 + raw.len().div_ceil(MAX_STORED).max(1) * 40;
    let smallest = dynamic.min(fixed).min(stored);
    bits.reserve(smallest + BLOCK_HEADER_BITS);
    if smallest == stored {
        return write_stored(raw, is_last, bits);
    }
    let kind = if smallest == fixed { 1 } else { 2 };
    bits.put(u32::from(is_last) | kind << 1, BLOCK_HEADER_BITS as u32);
    if kind == 1 {
        write_tokens(tokens, &Lengths::FIXED, bits);
    } else {
        header.write(bits);
        write_tokens(tokens, &lengths, bits);
    }
}

fn write_stored(raw: &[u8], is_last: bool, bits: &mut BitWriter<'_>) {
    let mut left = raw;
    loop {
        let (piece, rest) = left.split_at_checked(MAX_STORED).unwrap_or((left, &[]));
        let ends = is_last && rest.is_empty();
        bits.put(ends.into(), BLOCK_HEADER_BITS as u32);
        bits.align();
        let len = piece.len() as u32;
        bits.put(len | !len << 16, 32);
        bits.extend(piece);
        left = rest;
        bits.reserve(left.len() * 8 + 64);
        if left.is_empty() {
            return;
        }
    }
}

fn write_tokens(tokens: &Tokens, lengths: &Lengths, bits: &mut BitWriter<'_>) {
    let mut made = [Code::default(); LITERALS];
    codes(&lengths.literals, &mut made);
    let end = made[END_OF_BLOCK];
    // Each length with its extra bits.
    let mut copies = [Code::default(); MAX_MATCH + 1];
    for (len, copy) in copies.iter_mut().enumerate().skip(3) {
        let (symbol, value, extra) = length_symbol(len);
        *copy = made[symbol].with_extra(value, extra);
    }
    let mut distances = [Code::default(); DISTANCES];
    // The last two of the fixed code are never used; the symbol of no distance must have none.
    codes(&lengths.distances[..30], &mut distances[..30]);
    // The second half has no bits, for bytes beyond the sequence.
    let mut literals = [Code::NONE; 512];
    literals[..256].copy_from_slice(&made[..256]);
    let source = tokens.padded_literals();
    let mut at = 0;
    for sequence in tokens.sequences() {
        let mut left = usize::from(sequence.literals);
        while left > REST {
            for byte in four(source, at) {
                let code = literals[usize::from(byte)];
                bits.add(code.bits(), code.count());
            }
            bits.flush();
            at += 4;
            left -= 4;
        }
        // Always as many, some of no bits: a branch on the number would often be mispredicted.
        for (n, &byte) in four(source, at).iter().take(REST).enumerate() {
            let code = literals[usize::from(byte) + 256 * usize::from(n >= left)];
            bits.add(code.bits(), code.count());
        }
        at += left;
        let copy = copies.get(usize::from(sequence.len));
        let copy = copy.copied().unwrap_or_default();
        bits.add(copy.bits(), copy.count());
        bits.flush();
        let symbol = sequence.symbol();
        let distance = distances[symbol];
        bits.add(distance.bits(), distance.count());
        let extra = EXTRA[symbol];
        bits.add(sequence.extra(extra), extra);
        bits.flush();
    }
    bits.put(end.bits(), end.count());
}

/// Literals that are written together with the length of a copy: three codes and one with its extra
/// bits, beside less than a byte, are at most 7 + 3 * 12 + 12 + 5 bits.
const REST: usize = 3;

#[inline(always)]
fn four(source: &[u8], at: usize) -> [u8; 4] {
    let four = source.get(at..).and_then(<[u8]>::first_chunk);
    *four.unwrap_or(&[0; 4])
}

/// [`distance_extra`] of each symbol.
const EXTRA: [u32; DISTANCES] = {
    let mut extra = [0; DISTANCES];
    let mut symbol = 0;
    while symbol < DISTANCES {
        extra[symbol] = distance_extra(symbol);
        symbol += 1;
    }
    extra
};

#[cfg(test)]
mod tests {
    use super::super::window::{Window, boxed};
    use super::*;
    use crate::test_support::TestRng;
    use rand_core::Rng as _;
    use std::boxed::Box;
    use std::vec::Vec;

    /// A block of literals only.
    fn literals(bytes: &[u8]) -> Vec<u8> {
        let mut data: Box<Window> = boxed();
        data[..bytes.len()].copy_from_slice(bytes);
        let mut tokens = Tokens::new();
        tokens.push_literals(&data, 0, bytes.len());
        let mut written = Vec::new();
        let mut bits = BitWriter::new(&mut written);
        write(&tokens, bytes, true, &mut bits);
        bits.finish().unwrap();
        written
    }

    /// Whether it is the last one, and its form: 0 stored, 1 fixed, 2 dynamic.
    fn form(block: &[u8]) -> (bool, u8) {
        (block[0] & 1 == 1, block[0] >> 1 & 3)
    }

    #[test]
    fn each_form_is_used_where_it_is_the_smallest() {
        assert_eq!(form(&literals(b"")), (true, 1));
        assert_eq!(form(&literals(b"a few words")), (true, 1));
        let digits: Vec<u8> = (0..2000).map(|n| b'0' + n as u8 % 10).collect();
        let dynamic = literals(&digits);
        assert_eq!(form(&dynamic), (true, 2));
        assert!(dynamic.len() < 2000 * 7 / 16 + 30, "{}", dynamic.len());
        let mut noise = [0; 3000];
        TestRng::new(1).fill_bytes(&mut noise);
        let stored = literals(&noise);
        assert_eq!(form(&stored), (true, 0));
        assert_eq!(stored[1..5], [0xb8, 0x0b, 0x47, 0xf4]);
        assert_eq!(&stored[5..], noise);
    }

    #[test]
    fn what_a_block_costs_is_what_is_written() {
        let mut rng = TestRng::new(3);
        for len in [500, 5000, 50_000] {
            let bytes: Vec<u8> = (0..len)
                .map(|_| (rng.next_u32() & rng.next_u32()) as u8)
                .collect();
            let mut data: Box<Window> = boxed();
            data[..len].copy_from_slice(&bytes);
            let mut tokens = Tokens::new();
            tokens.push_literals(&data, 0, len);
            tokens.push(&data, 0, 0, 70, 3000);
            tokens.push(&data, 0, 0, 258, 32_768);
            let weights = Weights::of(&tokens);
            let mut lengths = Lengths::FIXED;
            code_lengths(&weights.literals, LIMIT, &mut lengths.literals);
            code_lengths(&weights.distances, LIMIT, &mut lengths.distances);
            let cost = Header::of(&lengths).cost() + lengths.cost(&weights) + weights.extra_bits;
            let mut written = Vec::new();
            let mut bits = BitWriter::new(&mut written);
            write(&tokens, &[0; 60_000], true, &mut bits);
            bits.finish().unwrap();
            assert_eq!(form(&written), (true, 2));
            assert_eq!(written.len(), (cost + BLOCK_HEADER_BITS).div_ceil(8));
        }
    }
}
