use std::vec;
use std::vec::Vec;

use super::*;
use crate::time::UnixNanos;

fn segment() -> SegmentHeader {
    SegmentHeader {
        number: 3,
        instance: *b"an instance of 1",
        created: UnixNanos::from_secs(1_700_000_000),
    }
}

fn block(sequence: u64, content: &[u8]) -> Block<'_> {
    Block {
        kind: BlockKind::Batch,
        encoding: BodyEncoding::new(true, sequence.is_multiple_of(2)),
        spans: 10 * sequence as u32,
        sequence,
        stored: UnixNanos::from_secs(1_700_000_000 + sequence),
        content,
    }
}

fn append(file: &mut Vec<u8>, segment: &SegmentHeader, block: &Block<'_>) {
    let end = file.len() + block.stored_len();
    file.extend_from_slice(&block.header_bytes(segment));
    file.extend_from_slice(block.content);
    file.resize(end, 0);
}

fn file(contents: &[&[u8]]) -> Vec<u8> {
    let mut file = segment().to_bytes().to_vec();
    for (sequence, content) in (1..).zip(contents) {
        append(&mut file, &segment(), &block(sequence, content));
    }
    file
}

/// The sequences that were read, and the damage.
fn scan(file: &[u8]) -> Result<(Vec<u64>, Vec<Damage>), SegmentError> {
    let (_, blocks) = Blocks::of(file)?;
    let (mut read, mut damage) = (Vec::new(), Vec::new());
    for found in blocks {
        match found {
            Scanned::Block(block) => read.push(block.sequence),
            Scanned::Damage(found) => damage.push(found),
        }
    }
    Ok((read, damage))
}

const CONTENTS: [&[u8]; 4] = [b"first", b"", b"the third, which is longer", b"last one"];

#[test]
fn what_is_written_is_read() {
    let file = file(&CONTENTS);
    let (header, blocks) = Blocks::of(&file).unwrap();
    assert_eq!(header, segment());
    let expected = (1..)
        .zip(CONTENTS)
        .map(|(sequence, content)| block(sequence, content));
    assert!(blocks.eq(expected.map(Scanned::Block)));
}

#[test]
fn encodings_are_kept_apart() {
    let all = [(false, false), (true, false), (false, true), (true, true)];
    for (is_gzip, is_json) in all {
        let encoding = BodyEncoding::new(is_gzip, is_json);
        assert_eq!((encoding.is_gzip(), encoding.is_json()), (is_gzip, is_json));
    }
    assert_eq!(BodyEncoding::new(true, false), BodyEncoding::GZIP);
}

#[test]
fn a_reserved_end_is_no_damage() {
    let mut file = file(&CONTENTS);
    file.resize(file.len() + 1000, 0);
    assert_eq!(scan(&file), Ok((vec![1, 2, 3, 4], vec![])));
}

#[test]
fn a_torn_tail_costs_only_the_block_that_it_cuts() {
    let whole = file(&CONTENTS);
    let ends: Vec<_> = (0..=4).map(|n| file(&CONTENTS[..n]).len()).collect();
    for len in SEGMENT_HEADER_BYTES..=whole.len() {
        let (read, damage) = scan(&whole[..len]).unwrap();
        let content_end = |n: usize| ends[n] + BLOCK_HEADER_BYTES + CONTENTS[n].len();
        let complete = (0..4).take_while(|n| content_end(*n) <= len).count() as u64;
        assert!(read.iter().copied().eq(1..=complete), "{len}: {read:?}");
        // Cut within a header the spans are unknown, behind it they are known.
        if let Some(last) = damage.last() {
            let header_is_whole = len >= ends[complete as usize] + BLOCK_HEADER_BYTES;
            let spans = header_is_whole.then_some(10 * (complete as u32 + 1));
            assert_eq!(last.spans, spans, "{len}");
        }
    }
}

#[test]
fn every_byte_that_is_changed_costs_at_most_its_own_block() {
    let whole = file(&CONTENTS);
    let starts: Vec<_> = (0..=4).map(|n| file(&CONTENTS[..n]).len()).collect();
    for at in 0..whole.len() {
        for flip in [0x01, 0x80, 0xff] {
            let mut file = whole.clone();
            file[at] ^= flip;
            let scanned = scan(&file);
            if at < SEGMENT_HEADER_BYTES {
                assert!(scanned.is_err(), "{at}");
                continue;
            }
            let (read, damage) = scanned.unwrap();
            let hit = starts.iter().rposition(|start| *start <= at).unwrap() as u64 + 1;
            let others = (1..=4).filter(|sequence| *sequence != hit);
            // Padding belongs to no block.
            let is_harmless = read.len() == 4;
            assert!(
                is_harmless || read.iter().copied().eq(others),
                "{at}: {read:?}"
            );
            assert_eq!(damage.is_empty(), is_harmless, "{at}");
            for found in damage.iter().filter(|found| found.spans.is_some()) {
                assert_eq!(found.sequence, Some(hit), "{at}");
            }
        }
    }
}

#[test]
fn a_block_of_another_segment_is_not_taken_for_one_of_this() {
    let other = SegmentHeader {
        number: 4,
        ..segment()
    };
    let stranger = SegmentHeader {
        instance: *b"an instance of 2",
        ..segment()
    };
    for origin in [other, stranger] {
        let mut file = file(&CONTENTS[..1]);
        append(&mut file, &origin, &block(2, b"an old one"));
        append(&mut file, &segment(), &block(3, b"a new one"));
        let (read, damage) = scan(&file).unwrap();
        assert_eq!(read, [1, 3]);
        assert_eq!(damage.len(), 1);
        assert_eq!(damage[0].spans, None);
    }
}

#[test]
fn a_lost_middle_does_not_hide_what_comes_behind_it() {
    let mut file = file(&CONTENTS);
    let (from, to) = (SEGMENT_HEADER_BYTES, file_len(3));
    file[from..to].fill(0);
    let (read, damage) = scan(&file).unwrap();
    assert_eq!(read, [4]);
    let at = from;
    let bytes = to - from;
    let (spans, sequence) = (None, None);
    assert_eq!(
        damage,
        [Damage {
            at,
            bytes,
            spans,
            sequence
        }]
    );
}

fn file_len(blocks: usize) -> usize {
    file(&CONTENTS[..blocks]).len()
}

#[test]
fn a_block_within_a_content_is_not_read_as_one() {
    // A receiver's own data may look like anything, even like a segment of ours.
    let inner = file(&CONTENTS);
    let file = file(&[&inner[SEGMENT_HEADER_BYTES..], b"behind"]);
    assert_eq!(scan(&file), Ok((vec![1, 2], vec![])));
}

#[test]
fn what_is_no_segment_is_named() {
    let header = segment().to_bytes();
    let scanned = |file: &[u8]| scan(file).unwrap_err();
    assert_eq!(scanned(&header[..63]), SegmentError::TooShort);
    assert_eq!(scanned(&[b'x'; 100]), SegmentError::NotASegment);
    let mut newer = header;
    newer[8] = 2;
    assert_eq!(scanned(&newer), SegmentError::Damaged);
    let mut crc = crate::crc::Crc32::new();
    crc.update(&newer[..60]);
    newer[60..].copy_from_slice(&crc.value().to_le_bytes());
    assert_eq!(scanned(&newer), SegmentError::Version(2));
    let text = std::format!("{}", SegmentError::Version(2));
    assert!(
        text.contains("version 2") && text.contains("only version 1"),
        "{text}"
    );
}

#[test]
fn headers_without_end_take_time_in_proportion() {
    // Nothing but magic numbers: each is looked at once.
    let mut file = segment().to_bytes().to_vec();
    for _ in 0..20_000 {
        file.extend_from_slice(b"blokblok");
    }
    let (read, damage) = scan(&file).unwrap();
    assert_eq!((read.len(), damage.len()), (0, 1));
    assert_eq!(damage[0].bytes, 160_000);
}
