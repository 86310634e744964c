//! Random numbers for ids, jitter and the instance id.
//!
//! Each thread has a xoroshiro128++ generator, seeded with 128 bits from the operating system. It
//! is fast and uniform in all its bits, as the random flag of [W3C Trace
//! Context](https://www.w3.org/TR/trace-context-2/#random-trace-id-flag) requires. It is *not* for
//! secrets.
//!
//! A forked child has a copy of its parent's generators and would draw the same ids. Checking the
//! process id at every draw would cost more than the draw, so the child must call
//! [`after_fork_child`] once, or a transport's `init`, which notices the fork. Every generator then
//! seeds itself again before its next use.
//!
//! ```
//! use spandrel_core::hosted::rng::ThreadRng;
//! use spandrel_core::id::{IdGenerator, RandomIdGenerator};
//!
//! let mut ids = RandomIdGenerator::new(ThreadRng);
//! assert_ne!(ids.trace_id(), ids.trace_id());
//! ```

use core::cell::RefCell;
use core::convert::Infallible;
use core::hash::{BuildHasher, Hasher};
use std::collections::hash_map::RandomState;
use std::time::SystemTime;

use rand_core::{Rng, SeedableRng, TryRng};
use rand_xoshiro::Xoroshiro128PlusPlus;

use super::process::{self, fork_generation};

std::thread_local! {
    // Nothing in here needs dropping, so it outlives every other thread local.
    static STATE: RefCell<State> = const { RefCell::new(State { generation: 0, rng: None }) };
}

struct State {
    /// The number of noted forks, plus one; 0 marks a generator that was never seeded.
    generation: u32,
    rng: Option<Xoroshiro128PlusPlus>,
}

impl State {
    #[inline]
    fn rng(&mut self) -> &mut Xoroshiro128PlusPlus {
        let generation = fork_generation();
        if self.generation != generation {
            self.generation = generation;
            self.rng = None;
        }
        self.rng.get_or_insert_with(seeded)
    }
}

/// The calling thread's generator. The value itself is empty and can be copied freely.
#[derive(Clone, Copy, Debug, Default)]
pub struct ThreadRng;

impl ThreadRng {
    /// A separate generator, seeded by the operating system as well: for an owner that draws often
    /// and need not look up a thread local.
    pub(super) fn owned() -> Xoroshiro128PlusPlus {
        seeded()
    }
}

/// Makes every generator of the process seed itself again before its next use. Call it once in a
/// forked child, before it records spans; otherwise parent and child draw the same ids.
///
/// `init` of a transport notices the fork itself.
pub fn after_fork_child() {
    process::after_fork_child();
}

/// A random UUID of version 4 as text.
pub(super) fn uuid_v4(rng: &mut impl Rng) -> std::string::String {
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    let [_, _, _, _, _, _, version, _, variant, ..] = &mut bytes;
    *version = *version & 0x0f | 0x40;
    *variant = *variant & 0x3f | 0x80;
    let mut text = std::string::String::with_capacity(36);
    for (at, byte) in bytes.into_iter().enumerate() {
        if matches!(at, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        text.push(crate::id::hex_digit(byte >> 4).into());
        text.push(crate::id::hex_digit(byte).into());
    }
    text
}

// A draw runs no foreign code, so it cannot nest. If it ever did, the inner draw would get a new
// generator instead of a panic.
#[inline]
fn draw<T>(take: impl Fn(&mut Xoroshiro128PlusPlus) -> T) -> T {
    STATE
        .try_with(|state| state.try_borrow_mut().ok().map(|mut s| take(s.rng())))
        .ok()
        .flatten()
        .unwrap_or_else(|| take(&mut seeded()))
}

#[cold]
fn seeded() -> Xoroshiro128PlusPlus {
    let mut seed = [0; 16];
    if getrandom::fill(&mut seed).is_err() {
        // No entropy (a seccomp filter, a broken sandbox): the hash keys of the standard library
        // and the time still differ between processes and threads.
        for chunk in seed.chunks_exact_mut(8) {
            let mut hasher = RandomState::new().build_hasher();
            let now = super::clock::unix_nanos(SystemTime::now());
            hasher.write_u64(now.as_nanos());
            hasher.write_u32(std::process::id());
            chunk.copy_from_slice(&hasher.finish().to_le_bytes());
        }
    }
    Xoroshiro128PlusPlus::from_seed(seed)
}

impl TryRng for ThreadRng {
    type Error = Infallible;

    #[inline]
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(draw(Rng::next_u32))
    }

    #[inline]
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(draw(Rng::next_u64))
    }

    fn try_fill_bytes(&mut self, dst: &mut [u8]) -> Result<(), Infallible> {
        for chunk in dst.chunks_mut(8) {
            let bytes = draw(Rng::next_u64).to_le_bytes();
            chunk.copy_from_slice(bytes.get(..chunk.len()).unwrap_or_default());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;
    use std::vec::Vec;

    #[test]
    fn threads_draw_different_numbers() {
        let draws: Vec<_> = (0..4)
            .map(|_| std::thread::spawn(|| ThreadRng.next_u64()))
            .collect();
        let seen: HashSet<u64> = draws.into_iter().map(|t| t.join().unwrap()).collect();
        assert_eq!(seen.len(), 4);
    }

    #[test]
    fn a_forked_child_draws_anew() {
        // A fork copies the state; so does cloning it.
        let copy = |s: &State| State {
            generation: s.generation,
            rng: s.rng.clone(),
        };
        let mut parent = State {
            generation: 0,
            rng: None,
        };
        parent.rng();
        let (mut twin, mut child) = (copy(&parent), copy(&parent));
        let drawn = parent.rng().next_u64();
        assert_eq!(twin.rng().next_u64(), drawn);
        let before = fork_generation();
        after_fork_child();
        assert_ne!(fork_generation(), before);
        assert_ne!(child.rng().next_u64(), drawn);
    }

    #[test]
    fn a_uuid_has_version_4_and_its_variant() {
        let text = uuid_v4(&mut ThreadRng);
        assert_eq!(text.len(), 36);
        let parts: Vec<_> = text.split('-').map(str::len).collect();
        assert_eq!(parts, [8, 4, 4, 4, 12]);
        assert_eq!(text.as_bytes()[14], b'4');
        assert!(b"89ab".contains(&text.as_bytes()[19]));
        assert_ne!(text, uuid_v4(&mut ThreadRng));
    }

    #[test]
    fn bytes_are_filled_to_the_last() {
        for len in [0, 1, 7, 8, 9, 33] {
            // An untouched byte would stay zero in all 64 tries.
            let mut seen = std::vec![0_u8; len];
            for _ in 0..64 {
                let mut buf = std::vec![0_u8; len];
                ThreadRng.fill_bytes(&mut buf);
                seen.iter_mut().zip(&buf).for_each(|(s, b)| *s |= b);
            }
            assert!(seen.iter().all(|&s| s != 0), "{len}");
        }
    }
}
