//! A device that makes numbered spans, and a host that notes what it gets.

use std::collections::BTreeMap;

use spandrel_core::frame::Frame;
use spandrel_core::link::{Content, Decoder, DecoderStats, DeviceCounts, LinkConfig, LinkExporter};
use spandrel_core::prelude::*;
use spandrel_core::test_support::TestRng;

/// A device with a buffer of `buffer` bytes.
pub(crate) struct Device {
    pub(crate) link: LinkExporter<Vec<u8>, Vec<u8>>,
    tracer: Tracer<AlwaysOn, RandomIdGenerator<TestRng>>,
    pub(crate) scope: spandrel_core::resource::ScopeId,
    pub(crate) made: u64,
}

impl Device {
    pub(crate) fn new(config: LinkConfig, boot: u32, buffer: usize) -> Self {
        let resource = Resource {
            attributes: &[KeyValue::new("service.name", "pump")],
            schema_url: "https://example.com/schema",
        };
        let registry = Registry::new(vec![0; 512], &resource).unwrap();
        let mut link = LinkExporter::new(config, boot, Buffer::new(vec![0; buffer]), registry);
        let scope = link.scope(&InstrumentationScope::new("valves")).unwrap();
        Self {
            link,
            tracer: Tracer::new(
                AlwaysOn,
                RandomIdGenerator::new(TestRng::new(u64::from(boot) + 1)),
            ),
            scope,
            made: 0,
        }
    }

    /// Ends one span that started at its number in milliseconds, with `extra` bytes of text.
    /// Whether there was room, and its record.
    pub(crate) fn span(&mut self, extra: usize) -> bool {
        let start = Instant::from_millis(self.made);
        let builder = SpanBuilder::new("turn").scope(self.scope);
        let mut span = self.tracer.start::<2048>(builder, start);
        let text = "x".repeat(extra);
        span.set_attribute("text", text.as_str());
        span.add_event("half", &[], start);
        self.made += 1;
        span.end(Instant::from_millis(self.made), &mut self.link)
            .is_ok()
    }

    /// All frames there are now, of at most `size` bytes each.
    pub(crate) fn frames(&mut self, now: Instant, size: usize) -> Vec<Vec<u8>> {
        let mut frame = vec![0; size];
        std::iter::from_fn(|| {
            let len = self.link.next_frame(now, &mut frame)?;
            Some(frame[..len].to_vec())
        })
        .collect()
    }
}

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
                    let start = Frame::new(record.body).unwrap().start_nanos() / 1_000_000;
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
