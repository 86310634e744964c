//! The power is cut, the process killed and the disk changed, at every place.

use std::collections::BTreeSet;

use rand_core::Rng;

use super::*;

/// What the application knows.
#[derive(Default)]
struct Known {
    next: u64,
    /// Stored, and neither settled nor given up.
    waiting: BTreeSet<u64>,
    /// Of these it is not known whether they are stored: the call failed, or they were being settled.
    unsure: BTreeSet<u64>,
}

impl Known {
    /// Some operations of a process, until the disk is off.
    fn work(&mut self, files: &SimulatedFiles, instance: [u8; 16], sync: SyncPolicy, seed: u64) {
        let mut random = random(seed);
        let mut spool = Spool::open(files.clone(), instance, options(sync), at(0));
        let mut taken = Vec::new();
        let mut now = 1;
        for _ in 0..60 {
            now += u64::from(random.next_u32() % 20);
            match random.next_u32() % 8 {
                0..=4 => {
                    self.next += 1;
                    let number = self.next;
                    let len = random.next_u32() as usize % 1500;
                    let stored = spool.store(&body(number, len), 1, BodyEncoding::GZIP, at(now));
                    match stored {
                        Ok(()) => self.waiting.insert(number),
                        Err(_) => self.unsure.insert(number),
                    };
                }
                5..=6 => {
                    if spool.take_oldest(&mut taken, at(now)).is_some() {
                        let number = number_of(&taken);
                        // It may be stored still if the power goes now.
                        self.waiting.remove(&number);
                        self.unsure.insert(number);
                        spool.settle(at(now));
                    }
                }
                _ => {
                    if spool.take_oldest(&mut taken, at(now)).is_some() {
                        spool.put_back();
                    }
                    spool.poll(at(now));
                }
            }
            if files.0.borrow().is_off() {
                return;
            }
        }
    }

    /// What the next process finds is what it must find.
    fn check(&self, files: &SimulatedFiles, instance: [u8; 16], what: &str) {
        let mut spool = Spool::open(
            files.clone(),
            instance,
            options(SyncPolicy::Always),
            at(2000),
        );
        let found = drain(&mut spool, at(2000));
        let set: BTreeSet<_> = found.iter().copied().collect();
        assert_eq!(set.len(), found.len(), "twice in one run, {what}");
        let lost: Vec<_> = self.waiting.difference(&set).collect();
        assert!(lost.is_empty(), "lost {lost:?}, {what}");
        let known: BTreeSet<_> = self.waiting.union(&self.unsure).copied().collect();
        let strange: Vec<_> = set.difference(&known).collect();
        assert!(strange.is_empty(), "from nowhere {strange:?}, {what}");
        assert_eq!(files.0.borrow().len(), 0, "all is settled, {what}");
    }
}

/// How many operations the work of `seed` takes on a disk without faults.
fn operations(sync: SyncPolicy, seed: u64) -> usize {
    let files = Disk::files(random(seed));
    Known::default().work(&files, [1; 16], sync, seed);
    files.0.borrow().operations
}

/// Seeds of a run; `SPANDREL_SPOOL_SEEDS` asks for more.
fn seeds() -> u64 {
    let asked = std::env::var("SPANDREL_SPOOL_SEEDS").ok();
    asked.and_then(|seeds| seeds.parse().ok()).unwrap_or(10)
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_that_was_acknowledged() {
    for seed in 0..seeds() {
        for cut in 0..operations(SyncPolicy::Always, seed) {
            let files = Disk::files(random(seed ^ (cut as u64) << 32));
            files.0.borrow_mut().cut_after(cut);
            let mut known = Known::default();
            known.work(&files, [1; 16], SyncPolicy::Always, seed);
            files.0.borrow_mut().restart_machine();
            known.check(&files, [2; 16], &std::format!("seed {seed}, cut at {cut}"));
        }
    }
}

#[test]
fn nor_does_a_second_cut_while_the_first_is_mended() {
    for seed in 0..seeds().div_ceil(10) {
        let first_end = operations(SyncPolicy::Always, seed);
        for first in (0..first_end).step_by(7) {
            for second in (0..first_end).step_by(11) {
                let files =
                    Disk::files(random(seed ^ (first as u64) << 32 ^ (second as u64) << 48));
                files.0.borrow_mut().cut_after(first);
                let mut known = Known::default();
                known.work(&files, [1; 16], SyncPolicy::Always, seed);
                files.0.borrow_mut().restart_machine();
                files.0.borrow_mut().cut_after(second);
                known.work(&files, [2; 16], SyncPolicy::Always, seed + 1);
                files.0.borrow_mut().restart_machine();
                let what = std::format!("seed {seed}, cuts at {first} and {second}");
                known.check(&files, [3; 16], &what);
            }
        }
    }
}

#[test]
fn a_kill_at_any_operation_loses_nothing_whatever_is_synced() {
    for sync in [
        SyncPolicy::Never,
        SyncPolicy::Interval(Duration::from_secs(30)),
    ] {
        for seed in 0..seeds() {
            for kill in 0..operations(sync, seed) {
                let files = Disk::files(random(seed ^ (kill as u64) << 32));
                files.0.borrow_mut().cut_after(kill);
                let mut known = Known::default();
                known.work(&files, [1; 16], sync, seed);
                files.0.borrow_mut().restart_process();
                known.check(
                    &files,
                    [2; 16],
                    &std::format!("seed {seed}, kill at {kill}"),
                );
            }
        }
    }
}

#[test]
fn a_changed_byte_anywhere_costs_one_batch_at_most_and_never_a_false_one() {
    let files = Disk::files(random(9));
    let small = SpoolOptions {
        segment_bytes: 400,
        ..options(SyncPolicy::Never)
    };
    let mut spool = Spool::open(files.clone(), [1; 16], small, at(0));
    for number in 1..=8 {
        store(&mut spool, number, at(number)).unwrap();
    }
    let mut taken = Vec::new();
    for _ in 0..2 {
        spool.take_oldest(&mut taken, at(10)).unwrap();
        spool.settle(at(10));
    }
    drop(spool);
    let (mut position, mut lossless, mut lossy) = (0, 0, 0);
    loop {
        let image = files.0.borrow().image();
        if !image.0.borrow_mut().corrupt(position, 0x10) {
            break;
        }
        position += 1;
        let mut spool = Spool::open(image, [2; 16], small, at(20));
        let counts = spool.counts();
        let found = drain(&mut spool, at(20));
        // A damaged note lets a batch come twice; the first two are settled.
        let expected: Vec<_> = (3..=8).filter(|number| found.contains(number)).collect();
        let again = found.iter().filter(|number| **number < 3).count();
        assert_eq!(found.len(), expected.len() + again, "{position}: {found:?}");
        assert!(again <= 1 && expected.len() >= 5, "{position}: {found:?}");
        match expected.len() {
            6 => lossless += 1,
            _ => {
                lossy += 1;
                assert!(
                    counts.dropped_damaged > 0 || counts.damaged_bytes > 0,
                    "{position}"
                );
            }
        }
    }
    assert!(lossy > 500 && lossless > 100, "{lossy} {lossless}");
}
