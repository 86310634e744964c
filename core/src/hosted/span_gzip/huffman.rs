//! Prefix codes: their lengths, and the codes (RFC 1951, 3.2.2).

/// At least as many symbols as the largest alphabet of the format has.
const MAX_SYMBOLS: usize = 288;
/// The longest code that the format allows.
const MAX_BITS: usize = 15;
/// A symbol takes the lowest bits of an entry while they are sorted by weight.
const SYMBOL_BITS: u32 = 9;
/// Half of the bits of a weight: a block has less than 2^18 symbols.
const DIGIT_BITS: u32 = 9;
const DIGITS: usize = 1 << DIGIT_BITS;

/// Finds the lengths of an optimal prefix code (Huffman 1952), none longer than `limit`: `lengths`
/// gets one for each of `weights`, which are below 2^18, and 0 for those that never occur.
///
/// Where the limit is hit, the longest codes are cut and others made longer until the code is
/// complete again. That costs far less than a bit in a thousand.
pub(super) fn code_lengths(weights: &[u32], limit: usize, lengths: &mut [u8]) {
    lengths.fill(0);
    let mut sorted = [0_u32; MAX_SYMBOLS];
    let mut used = 0;
    for (symbol, &weight) in weights.iter().enumerate().take(MAX_SYMBOLS) {
        if weight > 0 {
            sorted[used] = (weight << SYMBOL_BITS) | symbol as u32;
            used += 1;
        }
    }
    let sorted = &mut sorted[..used];
    sort(sorted);
    let mut counts = if used < 2 {
        // One symbol needs a code too, of one bit.
        let mut counts = [0; MAX_DEPTH + 1];
        counts[1] = used as u32;
        counts
    } else {
        depths(sorted)
    };
    cut(&mut counts, limit.min(MAX_BITS));
    let mut rarest_first = sorted.iter();
    for (length, &count) in counts.iter().enumerate().take(MAX_BITS + 1).rev() {
        for entry in rarest_first.by_ref().take(count as usize) {
            let symbol = entry & ((1 << SYMBOL_BITS) - 1);
            if let Some(target) = lengths.get_mut(symbol as usize) {
                *target = length as u8;
            }
        }
    }
}

/// Sorts entries by weight: by its lower half, and then stably by its upper half. There is no
/// comparison that could be mispredicted.
fn sort(entries: &mut [u32]) {
    for shift in [SYMBOL_BITS, SYMBOL_BITS + DIGIT_BITS] {
        let digit = |entry: u32| (entry >> shift) as usize & (DIGITS - 1);
        let mut ends = [0_u16; DIGITS];
        for &entry in entries.iter() {
            ends[digit(entry)] += 1;
        }
        let mut end = 0;
        for place in &mut ends {
            end += *place;
            *place = end;
        }
        let mut sorted = [0; MAX_SYMBOLS];
        for &entry in entries.iter().rev() {
            let end = &mut ends[digit(entry)];
            *end -= 1;
            sorted[usize::from(*end)] = entry;
        }
        entries.copy_from_slice(&sorted[..entries.len()]);
    }
}

/// The number of depths. A tree over weights of 18 bits is never deeper.
const MAX_DEPTH: usize = 31;

/// The number of leaves that an optimal tree has at each depth. `sorted` has two or more entries.
///
/// It merges two queues: the leaves, and the inner nodes, which arise in the order of their weight.
fn depths(sorted: &[u32]) -> [u32; MAX_DEPTH + 1] {
    let leaves = sorted.len();
    let inner = leaves - 1;
    let mut weights = [0_u32; MAX_SYMBOLS];
    // Of the leaves first, then of the inner nodes.
    let mut parents = [0_u16; 2 * MAX_SYMBOLS];
    let (mut leaf, mut node) = (0, 0);
    for made in 0..inner {
        let mut weight = 0_u32;
        for _ in 0..2 {
            let lightest = sorted.get(leaf).map_or(u32::MAX, |e| e >> SYMBOL_BITS);
            // Chosen without a branch, which would often be mispredicted.
            let inner = if node < made { weights[node] } else { u32::MAX };
            let takes_inner = inner < lightest;
            let child = if takes_inner { leaves + node } else { leaf };
            parents[child] = made as u16;
            weight = weight.saturating_add(inner.min(lightest));
            node += usize::from(takes_inner);
            leaf += usize::from(!takes_inner);
        }
        weights[made] = weight;
    }
    // Parents are younger than their children: the root is the last one.
    let mut depth = [0_u8; MAX_SYMBOLS];
    for node in (0..inner - 1).rev() {
        depth[node] = depth[usize::from(parents[leaves + node])] + 1;
    }
    let mut counts = [0; MAX_DEPTH + 1];
    for &parent in &parents[..leaves] {
        let deep = usize::from(depth[usize::from(parent)]) + 1;
        counts[deep.min(MAX_DEPTH)] += 1;
    }
    counts
}

/// Shortens codes to `limit` and makes the code complete again.
fn cut(counts: &mut [u32; MAX_DEPTH + 1], limit: usize) {
    let cut: u32 = counts[limit + 1..].iter().sum();
    if cut == 0 {
        return;
    }
    counts[limit + 1..].fill(0);
    counts[limit] += cut;
    // Shares of the code space (Kraft's sum), in units of the longest code.
    let share = |length: usize| 1_u32 << (limit - length);
    let mut taken: u32 = (1..=limit).map(|l| counts[l] * share(l)).sum();
    while taken > share(0) {
        // The longest code that can get one bit more frees most of the space that is missing.
        let Some(length) = (1..limit).rev().find(|&length| counts[length] > 0) else {
            return;
        };
        counts[length] -= 1;
        counts[length + 1] += 1;
        taken -= share(length + 1);
    }
    // Space freed beyond need makes long codes shorter again.
    for length in (2..=limit).rev() {
        while counts[length] > 0 && taken + share(length) <= share(0) {
            counts[length] -= 1;
            counts[length - 1] += 1;
            taken += share(length);
        }
    }
}

/// A code and its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Code(u32);

impl Code {
    /// No bits.
    pub(super) const NONE: Self = Self(0);
    /// Where the length is: codes with extra bits take up to 20.
    const SHIFT: u32 = 24;

    /// The bits, in the order in which they are written.
    #[inline(always)]
    pub(super) const fn bits(self) -> u32 {
        self.0 & ((1 << Self::SHIFT) - 1)
    }

    /// The number of bits.
    #[inline(always)]
    pub(super) const fn count(self) -> u32 {
        self.0 >> Self::SHIFT
    }

    /// This one followed by `count` bits.
    pub(super) const fn with_extra(self, extra: u32, count: u32) -> Self {
        Self((self.0 | (extra << self.count())) + (count << Self::SHIFT))
    }
}

/// The codes of `lengths`.
pub(super) fn codes(lengths: &[u8], codes: &mut [Code]) {
    let mut counts = [0_u32; MAX_BITS + 1];
    for &length in lengths {
        counts[usize::from(length) & MAX_BITS] += 1;
    }
    counts[0] = 0;
    let mut next = [0_u32; MAX_BITS + 2];
    for length in 1..=MAX_BITS {
        next[length + 1] = (next[length] + counts[length]) << 1;
    }
    for (code, &length) in codes.iter_mut().zip(lengths) {
        *code = Code::default();
        if length > 0 {
            let value = &mut next[usize::from(length) & MAX_BITS];
            let length = u32::from(length);
            // Codes are written with their highest bit first.
            code.0 = value.reverse_bits() >> (32 - length) | length << Code::SHIFT;
            *value += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_support::TestRng;
    use rand_core::Rng as _;
    use std::vec;
    use std::vec::Vec;

    fn total(weights: &[u32], lengths: &[u8]) -> u64 {
        let each = weights.iter().zip(lengths);
        each.map(|(&w, &l)| u64::from(w) * u64::from(l)).sum()
    }

    /// The sum of all inner weights of a tree that always joins the two lightest.
    fn optimal(weights: &[u32]) -> u64 {
        let mut heap: Vec<u64> = weights
            .iter()
            .map(|&w| w.into())
            .filter(|&w| w > 0)
            .collect();
        let mut total = 0;
        while heap.len() > 1 {
            heap.sort_unstable_by(|a, b| b.cmp(a));
            let joined = heap.pop().unwrap() + heap.pop().unwrap();
            total += joined;
            heap.push(joined);
        }
        total
    }

    #[test]
    fn without_a_limit_that_bites_the_code_is_optimal() {
        let mut rng = TestRng::new(7);
        for symbols in [2, 3, 19, 30, 286] {
            for _ in 0..50 {
                let weights: Vec<u32> = (0..symbols)
                    .map(|_| rng.next_u32() % 1000)
                    // None is so rare that its code would be too long.
                    .map(|w| if w < 100 { 0 } else { w })
                    .collect();
                if weights.iter().filter(|&&w| w > 0).count() < 2 {
                    continue;
                }
                let mut lengths = vec![0; symbols];
                code_lengths(&weights, 15, &mut lengths);
                assert_eq!(total(&weights, &lengths), optimal(&weights));
            }
        }
    }

    #[test]
    fn a_limit_leaves_a_complete_code_of_which_the_rarer_is_never_shorter() {
        // Weights of Fibonacci make the deepest tree there is.
        let mut weights = vec![1_u32, 1];
        for n in 2..26 {
            weights.push(weights[n - 1] + weights[n - 2]);
        }
        for limit in 5..=15 {
            let mut lengths = vec![0; weights.len()];
            code_lengths(&weights, limit, &mut lengths);
            let taken: u32 = lengths.iter().map(|&l| 1 << (15 - l)).sum();
            assert_eq!(taken, 1 << 15, "{limit}");
            assert!(lengths.iter().all(|&l| usize::from(l) <= limit));
            assert!(lengths.is_sorted_by(|a, b| a >= b), "{lengths:?}");
        }
    }

    #[test]
    fn one_symbol_or_none() {
        let mut lengths = [9; 4];
        code_lengths(&[0, 0, 5, 0], 15, &mut lengths);
        assert_eq!(lengths, [0, 0, 1, 0]);
        code_lengths(&[0; 4], 15, &mut lengths);
        assert_eq!(lengths, [0; 4]);
    }

    #[test]
    fn codes_are_those_of_the_example_in_the_specification() {
        // RFC 1951, 3.2.2: A to H with the lengths (3, 3, 3, 3, 3, 2, 4, 4).
        let lengths = [3, 3, 3, 3, 3, 2, 4, 4];
        let wanted = [0b010, 0b011, 0b100, 0b101, 0b110, 0b00, 0b1110, 0b1111_u32];
        let mut made = [Code::default(); 8];
        codes(&lengths, &mut made);
        for ((code, length), wanted) in made.iter().zip(lengths).zip(wanted) {
            assert_eq!(code.count(), u32::from(length));
            assert_eq!(code.bits().reverse_bits() >> (32 - length), wanted);
        }
    }
}
