//! What the store does on a disk without faults, and on one with a single one.

use super::*;

#[test]
fn batches_come_back_oldest_first_and_leave_nothing_behind() {
    let files = Disk::files(random(1));
    let mut spool = Spool::open(files.clone(), [1; 16], options(SyncPolicy::Never), at(0));
    for number in 1..=50 {
        store(&mut spool, number, at(number)).unwrap();
    }
    let counts = spool.counts();
    assert_eq!(counts.stored, (1..=50).sum::<u64>());
    assert!(counts.bytes > 50 * 148, "{counts:?}");
    assert!(files.0.borrow().len() > 3);

    assert!(drain(&mut spool, at(60)).into_iter().eq(1..=50));
    assert!(spool.is_empty());
    assert_eq!(spool.counts(), SpoolCounts::default());
    assert_eq!(files.0.borrow().len(), 0);
}

#[test]
fn what_a_process_left_is_found_by_the_next_one_once() {
    let files = Disk::files(random(2));
    let mut spool = Spool::open(files.clone(), [1; 16], options(SyncPolicy::Never), at(0));
    for number in 1..=20 {
        store(&mut spool, number, at(number)).unwrap();
    }
    let mut body = Vec::new();
    for _ in 0..3 {
        spool.take_oldest(&mut body, at(30)).unwrap();
        spool.settle(at(30));
    }
    spool.take_oldest(&mut body, at(30)).unwrap();
    // It dies while it sends the fourth.
    drop(spool);

    let mut spool = Spool::open(files.clone(), [2; 16], options(SyncPolicy::Never), at(40));
    let counts = spool.counts();
    assert_eq!(counts.recovered, (4..=20).sum::<u64>());
    assert_eq!(counts.stored, counts.recovered);
    store(&mut spool, 21, at(41)).unwrap();
    let oldest = spool.take_oldest(&mut body, at(42)).unwrap();
    assert!(oldest.is_recovered);
    assert_eq!(
        (oldest.stored, oldest.encoding),
        (at(4), BodyEncoding::GZIP)
    );
    spool.put_back();
    assert!(drain(&mut spool, at(43)).into_iter().eq(4..=21));
    assert_eq!(files.0.borrow().len(), 0);
}

#[test]
fn one_batch_is_out_at_a_time() {
    let mut spool = Spool::open(
        Disk::files(random(3)),
        [1; 16],
        options(SyncPolicy::Never),
        at(0),
    );
    store(&mut spool, 1, at(1)).unwrap();
    store(&mut spool, 2, at(2)).unwrap();
    let mut body = Vec::new();
    assert_eq!(spool.take_oldest(&mut body, at(3)).unwrap().spans, 1);
    assert_eq!(spool.take_oldest(&mut body, at(3)), None);
    spool.put_back();
    assert_eq!(spool.take_oldest(&mut body, at(3)).unwrap().spans, 1);
}

#[test]
fn a_full_spool_gives_up_its_oldest_segment_and_counts_it() {
    let mut spool = Spool::open(
        Disk::files(random(4)),
        [1; 16],
        options(SyncPolicy::Never),
        at(0),
    );
    let stored: u64 = (1..=1000).sum();
    for number in 1..=1000 {
        store(&mut spool, number, at(number)).unwrap();
        assert!(spool.counts().bytes <= 64 * 1024);
    }
    let counts = spool.counts();
    assert_eq!(counts.stored + counts.dropped_full, stored);
    let left = drain(&mut spool, at(2000));
    assert_eq!(left.iter().sum::<u64>(), counts.stored);
    assert!(
        left.iter().copied().eq(left[0]..=1000),
        "the newest are kept"
    );
    assert!(left.len() > 300);
}

#[test]
fn a_batch_that_is_being_sent_is_not_given_up() {
    let mut spool = Spool::open(
        Disk::files(random(5)),
        [1; 16],
        options(SyncPolicy::Never),
        at(0),
    );
    store(&mut spool, 1, at(0)).unwrap();
    let mut body = Vec::new();
    spool.take_oldest(&mut body, at(0)).unwrap();
    for number in 2..=1000 {
        store(&mut spool, number, at(number)).unwrap();
    }
    let before = spool.counts();
    spool.settle(at(1001));
    let after = spool.counts();
    assert_eq!(after.stored, before.stored - 1);
    assert_eq!(after.dropped_full, before.dropped_full);
    let sum = drain(&mut spool, at(1002)).iter().sum::<u64>();
    assert_eq!(1 + sum + after.dropped_full, (1..=1000).sum::<u64>());
}

#[test]
fn a_batch_that_comes_back_after_its_segment_is_gone_is_given_up_and_counted() {
    let mut spool = Spool::open(
        Disk::files(random(5)),
        [1; 16],
        options(SyncPolicy::Never),
        at(0),
    );
    store(&mut spool, 1, at(0)).unwrap();
    let mut body = Vec::new();
    spool.take_oldest(&mut body, at(0)).unwrap();
    for number in 2..=1000 {
        store(&mut spool, number, at(number)).unwrap();
    }
    spool.put_back();
    let counts = spool.counts();
    assert_eq!(counts.stored + counts.dropped_full, (1..=1000).sum::<u64>());
    let left = drain(&mut spool, at(1001));
    assert_eq!(left.iter().sum::<u64>(), counts.stored);
    assert!(!left.contains(&1));
    let after = spool.counts();
    assert_eq!(
        (after.dropped_damaged, after.failures, after.stored),
        (0, 0, 0)
    );
}

#[test]
fn a_batch_larger_than_the_spool_is_refused() {
    let mut spool = Spool::open(
        Disk::files(random(6)),
        [1; 16],
        options(SyncPolicy::Never),
        at(0),
    );
    store(&mut spool, 1, at(0)).unwrap();
    let large = body(2, 64 * 1024);
    let refused = spool.store(&large, 2, BodyEncoding::GZIP, at(0));
    assert!(matches!(refused, Err(SpoolError::TooLarge)));
    assert_eq!(drain(&mut spool, at(1)), [1]);
}

#[test]
fn what_is_too_old_is_given_up_and_counted() {
    let options = SpoolOptions {
        max_age: Duration::from_secs(100),
        ..options(SyncPolicy::Never)
    };
    let files = Disk::files(random(7));
    let mut spool = Spool::open(files.clone(), [1; 16], options, at(0));
    for number in 1..=20 {
        store(&mut spool, number, at(number)).unwrap();
    }
    spool.poll(at(105));
    assert_eq!(spool.counts().dropped_expired, (1..=5).sum::<u64>());
    // A clock that goes back makes nothing old.
    spool.poll(at(0));
    drop(spool);
    // Also over a restart.
    let mut spool = Spool::open(files, [2; 16], options, at(110));
    let counts = spool.counts();
    assert_eq!(counts.recovered, (6..=20).sum::<u64>());
    assert_eq!(counts.dropped_expired, (6..=10).sum::<u64>());
    assert!(drain(&mut spool, at(110)).into_iter().eq(11..=20));
}

#[test]
fn the_interval_bounds_what_a_power_cut_costs() {
    let files = Disk::files(random(8));
    let interval = SyncPolicy::Interval(Duration::from_secs(2));
    let mut spool = Spool::open(files.clone(), [1; 16], options(interval), at(0));
    store(&mut spool, 1, at(0)).unwrap();
    spool.poll(at(1));
    store(&mut spool, 2, at(1)).unwrap();
    // Two seconds after the first, both are made durable.
    spool.poll(at(2));
    store(&mut spool, 3, at(3)).unwrap();
    spool.poll(at(4));
    files.0.borrow_mut().restart_machine();
    let mut spool = Spool::open(files, [2; 16], options(interval), at(9));
    let left = drain(&mut spool, at(9));
    assert!(left == [1, 2] || left == [1, 2, 3], "{left:?}");
}

#[test]
fn a_disk_that_fails_costs_a_pause_and_nothing_that_was_stored() {
    for sync in [SyncPolicy::Never, SyncPolicy::Always] {
        for fault in 0..60 {
            let files = Disk::files(random(fault));
            let mut spool = Spool::open(files.clone(), [1; 16], options(sync), at(0));
            files.0.borrow_mut().fail_after(fault as usize);
            let (mut accepted, mut refused) = (Vec::new(), 0);
            for number in 1..=30 {
                match store(&mut spool, number, at(10 * number)) {
                    Ok(()) => accepted.push(number),
                    Err(SpoolError::Io(_)) => {
                        refused += 1;
                        // At once, without touching the disk.
                        let operations = files.0.borrow().operations;
                        let again = store(&mut spool, number, at(10 * number + 4));
                        assert!(matches!(again, Err(SpoolError::Paused)));
                        assert_eq!(files.0.borrow().operations, operations);
                    }
                    Err(error) => panic!("{error}"),
                }
            }
            assert!(refused <= 1, "{fault}");
            let mut left = drain(&mut spool, at(1000));
            if !spool.is_empty() {
                // It could not be read, this time.
                left.extend(drain(&mut spool, at(1001)));
            }
            let counts = spool.counts();
            assert_eq!(
                (left, counts.dropped_damaged, counts.stored),
                (accepted, 0, 0),
                "{fault}"
            );
        }
    }
}

#[test]
fn a_batch_that_can_never_be_read_is_given_up_and_counted() {
    let files = Disk::files(random(1));
    let mut spool = Spool::open(files.clone(), [1; 16], options(SyncPolicy::Never), at(0));
    store(&mut spool, 1, at(1)).unwrap();
    store(&mut spool, 2, at(1)).unwrap();
    let mut body = Vec::new();
    for _ in 0..2 {
        files.0.borrow_mut().fail_after(0);
        assert_eq!(spool.take_oldest(&mut body, at(2)), None);
        assert_eq!(spool.counts().stored, 3);
    }
    files.0.borrow_mut().fail_after(0);
    assert_eq!(spool.take_oldest(&mut body, at(2)).unwrap().spans, 2);
    let counts = spool.counts();
    assert_eq!(
        (counts.stored, counts.dropped_damaged, counts.failures),
        (2, 1, 3)
    );
}

#[test]
fn errors_say_what_failed() {
    let text = std::format!("{}", SpoolError::Io(std::io::ErrorKind::StorageFull.into()));
    assert!(text.contains("the spool cannot be written"), "{text}");
    assert!(core::error::Error::source(&SpoolError::Io(std::io::Error::other("x"))).is_some());
}
