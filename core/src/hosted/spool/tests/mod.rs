mod cuts;
mod disk;
mod rules;
mod shared_directory;

use core::time::Duration;
use std::vec::Vec;

use rand_core::SeedableRng;
use rand_xoshiro::Xoshiro256PlusPlus as Random;

use super::*;
use crate::spool::BodyEncoding;
use crate::time::UnixNanos;
use disk::{Disk, SimulatedFiles};

fn at(seconds: u64) -> UnixNanos {
    UnixNanos::from_secs(1_700_000_000 + seconds)
}

fn random(seed: u64) -> Random {
    Random::seed_from_u64(seed)
}

/// A body that tells which batch it is of, of any length.
fn body(number: u64, len: usize) -> Vec<u8> {
    let mut body = number.to_le_bytes().to_vec();
    body.extend((0..len).map(|at| (number as usize * 31 + at) as u8));
    body
}

/// The number of a batch, if its body is exactly what was stored.
fn number_of(bytes: &[u8]) -> u64 {
    let number = u64::from_le_bytes(*bytes.first_chunk().unwrap());
    assert_eq!(
        bytes,
        body(number, bytes.len() - 8),
        "a batch that was never stored"
    );
    number
}

fn options(sync: SyncPolicy) -> SpoolOptions {
    SpoolOptions {
        max_bytes: 64 * 1024,
        segment_bytes: 2048,
        sync,
        ..SpoolOptions::default()
    }
}

fn store<F: SpoolFiles>(
    spool: &mut Spool<F>,
    number: u64,
    now: UnixNanos,
) -> Result<(), SpoolError> {
    let body = body(number, 100);
    spool.store(&body, number as u32, BodyEncoding::GZIP, now)
}

/// Takes and settles everything; the numbers in order.
fn drain<F: SpoolFiles>(spool: &mut Spool<F>, now: UnixNanos) -> Vec<u64> {
    let (mut numbers, mut body) = (Vec::new(), Vec::new());
    while spool.take_oldest(&mut body, now).is_some() {
        numbers.push(number_of(&body));
        spool.settle(now);
    }
    numbers
}
