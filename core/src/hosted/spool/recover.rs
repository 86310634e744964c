//! What earlier processes left.

use std::collections::HashSet;
use std::vec;
use std::vec::Vec;

use super::entry::{Entry, Segment, SpoolCounts, StoredBatch};
use super::files::{FoundSegment, SegmentId, SpoolFiles};
use crate::spool::{
    BlockKind, Blocks, MAX_CONTENT_BYTES, SEGMENT_HEADER_BYTES, Scanned, SegmentError,
    SegmentHeader,
};
use crate::time::UnixNanos;

/// A longer file is no segment of ours.
const MAX_FILE_BYTES: u64 = 4 * MAX_CONTENT_BYTES as u64;

/// The segments and the batches that still wait, oldest first.
#[derive(Default)]
pub(super) struct Found {
    pub(super) segments: Vec<Segment>,
    pub(super) entries: Vec<Entry>,
}

/// The content of one segment.
struct Content {
    created: UnixNanos,
    segment: Segment,
    entries: Vec<Entry>,
}

pub(super) fn read_all<F: SpoolFiles>(files: &mut F, counts: &mut SpoolCounts) -> Found {
    let Ok(listed) = files.adopt() else {
        counts.failures += 1;
        return Found::default();
    };
    let mut settled = HashSet::new();
    let mut contents = Vec::new();
    // Batches whose content is damaged count only if they were not settled.
    let mut damaged = Vec::new();
    for found in listed {
        let content = read(files, found, counts, &mut settled, &mut damaged);
        contents.extend(content);
    }
    for (instance, sequence, spans) in damaged {
        if settled.insert((instance, sequence)) {
            counts.dropped_damaged += u64::from(spans);
        }
    }
    contents.sort_by_key(|it| (it.created, it.segment.id));
    let mut all = Found::default();
    for mut content in contents {
        content
            .entries
            .retain(|entry| settled.insert((entry.instance, entry.sequence)));
        content.segment.live = content.entries.len() as u32;
        all.segments.push(content.segment);
        all.entries.append(&mut content.entries);
    }
    let spans = all.entries.iter().map(|entry| u64::from(entry.batch.spans));
    counts.recovered = spans.sum();
    counts.stored = counts.recovered;
    all
}

/// Reads a segment; `None` if it is left as it is, or was removed because nothing is in it.
fn read<F: SpoolFiles>(
    files: &mut F,
    found: FoundSegment,
    counts: &mut SpoolCounts,
    settled: &mut HashSet<([u8; 16], u64)>,
    damaged: &mut Vec<([u8; 16], u64, u32)>,
) -> Option<Content> {
    let SegmentId { instance, number } = found.id;
    if found.len > MAX_FILE_BYTES {
        counts.damaged_bytes += found.len;
        return None;
    }
    let mut file = vec![0; found.len as usize];
    if files.read(found.id, 0, &mut file).is_err() {
        counts.failures += 1;
        counts.damaged_bytes += found.len;
        return None;
    }
    let by_name = SegmentHeader {
        number,
        instance,
        created: UnixNanos::default(),
    };
    let (header, blocks) = match Blocks::of(&file) {
        Ok((header, blocks)) if (header.number, header.instance) == (number, instance) => {
            (header, blocks)
        }
        Ok(_) => {
            counts.damaged_bytes += found.len;
            return None;
        }
        Err(SegmentError::Version(_)) => return None,
        Err(_) => (by_name, Blocks::after_header(&by_name, &file)),
    };
    let mut content = Content {
        created: header.created,
        segment: Segment {
            id: found.id,
            bytes: found.len,
            live: 0,
        },
        entries: Vec::new(),
    };
    let mut blocks = blocks;
    let mut has_blocks = false;
    loop {
        let at = blocks.position() as u64;
        let next = blocks.next();
        has_blocks |= matches!(next, Some(Scanned::Block(_)));
        match next {
            Some(Scanned::Block(block)) if block.kind == BlockKind::Batch => {
                content.entries.push(Entry {
                    instance,
                    sequence: block.sequence,
                    segment: found.id,
                    at,
                    len: block
                        .stored_len()
                        .min(file.len().saturating_sub(at as usize)),
                    batch: StoredBatch {
                        spans: block.spans,
                        encoding: block.encoding,
                        stored: block.stored,
                        is_recovered: true,
                    },
                });
            }
            Some(Scanned::Block(block)) => settled.extend(notes(block.content)),
            Some(Scanned::Damage(damage)) => match (damage.sequence, damage.spans) {
                (Some(sequence), Some(spans)) => damaged.push((instance, sequence, spans)),
                _ => counts.damaged_bytes += damage.bytes as u64,
            },
            None => break,
        }
    }
    if content.created == UnixNanos::default() && found.len >= SEGMENT_HEADER_BYTES as u64 {
        let is_written = file
            .iter()
            .take(SEGMENT_HEADER_BYTES)
            .any(|byte| *byte != 0);
        if is_written && !has_blocks {
            // Somebody else's file, by the look of it.
            return None;
        }
        // The header is damaged; the first batch is nearly as old.
        let first = content.entries.first();
        content.created = first.map(|it| it.batch.stored).unwrap_or_default();
        counts.damaged_bytes += SEGMENT_HEADER_BYTES as u64;
    }
    Some(content)
}

/// The batches that a note names.
fn notes(content: &[u8]) -> impl Iterator<Item = ([u8; 16], u64)> {
    content.chunks_exact(24).filter_map(|note| {
        let (instance, sequence) = note.split_first_chunk::<16>()?;
        let sequence = sequence.first_chunk::<8>()?;
        Some((*instance, u64::from_le_bytes(*sequence)))
    })
}
