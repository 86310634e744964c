//! A host that notes what it gets.

use std::collections::BTreeMap;

use spandrel_core::link::{Content, Decoder, DecoderStats, DeviceCounts};
use spandrel_core::span::stored::StoredSpan;

/// A host and its notes.
pub(crate) struct Host {
    pub(crate) decoder: Decoder<Vec<u8>, Vec<u8>>,
    /// Start time in milliseconds and body, by boot and number.
    pub(crate) spans: BTreeMap<(u32, u64), (u64, Vec<u8>)>,
    pub(crate) doubles: u64,
    pub(crate) lost_frames: u64,
    pub(crate) resources: u64,
    pub(crate) scopes: u64,
    pub(crate) counts: DeviceCounts,
}

impl Host {
    pub(crate) fn new() -> Self {
        Self {
            decoder: Decoder::new(vec![0; 2048], vec![0; 4096]),
            spans: BTreeMap::new(),
            doubles: 0,
            lost_frames: 0,
            resources: 0,
            scopes: 0,
            counts: DeviceCounts::default(),
        }
    }

    pub(crate) fn read(&mut self, bytes: &[u8]) {
        let mut input = bytes;
        while let Some(event) = self.decoder.next(&mut input) {
            self.lost_frames += event.lost_frames;
            match event.content {
                Content::Resource(entry) => {
                    assert_eq!(entry.text("service.name"), Some("pump"));
                    self.resources += 1;
                }
                Content::Scope(..) => self.scopes += 1,
                Content::Counts(counts) => self.counts = counts,
                Content::Span(span) => {
                    let record = span.record(span.scope);
                    let start = StoredSpan::new(record.body).unwrap().start_nanos() / 1_000_000;
                    let key = (event.boot, span.number);
                    let double = self.spans.insert(key, (start, record.body.to_vec()));
                    self.doubles += u64::from(double.is_some());
                }
                _ => {}
            }
        }
    }

    pub(crate) fn stats(&self) -> DecoderStats {
        self.decoder.stats()
    }

    /// The start times of all spans, in the order of boots and numbers.
    pub(crate) fn starts(&self) -> Vec<u64> {
        self.spans.values().map(|(start, _)| *start).collect()
    }
}
