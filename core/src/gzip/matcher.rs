//! Finds repetitions: a hash table from four bytes to the last place that held them.

/// Shorter matches are not looked for: behind the fixed code they gain nothing worth the time.
const MIN_MATCH: usize = 4;
/// One less than the format allows: 258 has a code outside the pattern that the others follow.
pub(super) const MAX_MATCH: usize = 257;
/// The farthest that a match may reach back.
const MAX_DISTANCE: u16 = 32_768;
/// A match of this length at the distance of the last one is taken without a look at the table.
const GOOD_MATCH: usize = 32;
/// Every fourth place inside a match is entered. With none, the table would fill with places that a
/// small window has lost; with all, they would replace more useful ones.
const STRIDE: usize = 4;

/// A run of bytes that occurs earlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Match {
    /// Bytes, 4 to 257.
    pub(super) len: usize,
    /// How far back it starts, 1 to 32,768.
    pub(super) distance: u16,
}

/// A view of one slice through the caller's table.
///
/// An entry is a place modulo 2^16. It may be stale or belong to other bytes. Every match is
/// compared byte by byte, so the table affects the size of the output and never its meaning.
pub(super) struct Matcher<'a> {
    data: &'a [u8],
    table: &'a mut [u16],
    /// 32 minus the bits of an index.
    shift: u32,
    /// The place of the first byte of `data`.
    base: u16,
    /// The distance of the last match, 0 before the first. Records are alike, so after ids and
    /// times the next field often matches at the same distance.
    distance: u16,
}

impl<'a> Matcher<'a> {
    pub(super) fn new(data: &'a [u8], table: &'a mut [u16], base: u16, distance: u16) -> Self {
        Self {
            data,
            shift: 32_u32.saturating_sub(table.len().trailing_zeros()),
            table,
            base,
            distance,
        }
    }

    /// The longer of two matches for the bytes at `at`: at the distance of the last match, and at
    /// the place in the table.
    #[inline]
    pub(super) fn find(&mut self, at: usize) -> Option<Match> {
        let hashed = self.enter(at)?;
        let mut best = Match {
            len: 0,
            distance: 0,
        };
        for distance in [self.distance, hashed] {
            let len = self.length(at, distance);
            if len > best.len {
                best = Match { len, distance };
            }
            if len >= GOOD_MATCH {
                break;
            }
        }
        if best.len < MIN_MATCH {
            return None;
        }
        self.distance = best.distance;
        let end = at + best.len;
        let mut inside = at + STRIDE;
        while inside < end {
            self.enter(inside);
            inside += STRIDE;
        }
        Some(best)
    }

    /// The distance of the last match.
    pub(super) const fn distance(&self) -> u16 {
        self.distance
    }

    /// Enters the place `at`, and returns the distance to the one that it replaces.
    #[inline]
    fn enter(&mut self, at: usize) -> Option<u16> {
        let four = self.data.get(at..)?.first_chunk()?;
        let hash = u32::from_le_bytes(*four).wrapping_mul(0x9e37_79b1) >> self.shift;
        let entry = self.table.get_mut(hash as usize)?;
        let place = self.base.wrapping_add(at as u16);
        let before = core::mem::replace(entry, place);
        Some(place.wrapping_sub(before))
    }

    /// The number of bytes at `at` that equal those `distance` before them.
    #[inline]
    fn length(&self, at: usize, distance: u16) -> usize {
        // A distance of 0 becomes the largest.
        if distance.wrapping_sub(1) >= MAX_DISTANCE {
            return 0;
        }
        let before = at
            .checked_sub(usize::from(distance))
            .and_then(|from| self.data.get(from..));
        let (Some(before), Some(ahead)) = (before, self.data.get(at..)) else {
            return 0;
        };
        before
            .iter()
            .zip(ahead)
            .take(MAX_MATCH)
            .take_while(|(a, b)| a == b)
            .count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_found_one_byte_behind_itself() {
        let mut table = [0; 256];
        let data = [7; 400];
        let mut matcher = Matcher::new(&data, &mut table, 0, 0);
        assert_eq!(matcher.find(0), None);
        let found = matcher.find(1);
        assert_eq!(
            found,
            Some(Match {
                len: MAX_MATCH,
                distance: 1
            })
        );
    }

    #[test]
    fn an_entry_that_points_at_other_bytes_or_out_of_reach_is_not_believed() {
        let data = *b"abcdabcd";
        for wrong in [1, 2, 3, 5, 8, 1000, 40_000, 65_535] {
            let mut table = [wrong; 256];
            let mut matcher = Matcher::new(&data, &mut table, 0, 0);
            assert_eq!(matcher.find(4), None, "{wrong}");
        }
        let mut table = [0; 256];
        let mut matcher = Matcher::new(&data, &mut table, 0, 0);
        assert_eq!(
            matcher.find(4),
            Some(Match {
                len: 4,
                distance: 4
            })
        );
    }

    #[test]
    fn the_last_distance_is_tried_without_an_entry() {
        let data = *b"abcdefgh-abcdefgh";
        let mut table = [0xffff; 256];
        let mut matcher = Matcher::new(&data, &mut table, 0, 9);
        assert_eq!(
            matcher.find(9),
            Some(Match {
                len: 8,
                distance: 9
            })
        );
    }
}
