//! A device on a link, that makes numbered spans.

use crate::rng::TestRng;
use spandrel_core::link::{LinkConfig, LinkExporter};
use spandrel_core::prelude::*;
use spandrel_core::resource::ScopeId;

/// A device with a tracer, a buffer and a link.
#[derive(Debug)]
pub struct Device {
    /// Its link.
    pub link: LinkExporter<Vec<u8>, Vec<u8>>,
    tracer: BareTracer<AlwaysOn, RandomIdGenerator<TestRng>>,
    scope: ScopeId,
    /// Spans ended so far.
    pub made: u64,
    /// The ids of all of them.
    pub contexts: Vec<SpanContext>,
}

impl Device {
    /// A device called `pump` with a buffer of `buffer` bytes.
    #[must_use]
    pub fn new(config: LinkConfig, boot: u32, buffer: usize) -> Self {
        Self::named("pump", config, boot, buffer)
    }

    /// A device whose service has the name `name`.
    ///
    /// # Panics
    ///
    /// When the name is longer than the registry.
    #[must_use]
    pub fn named(name: &str, config: LinkConfig, boot: u32, buffer: usize) -> Self {
        let resource = Resource {
            attributes: &[
                KeyValue::new("service.name", name),
                KeyValue::new("site", "unknown"),
            ],
            schema_url: "https://example.com/schema",
        };
        let registry = Registry::new(vec![0; 512], &resource).expect("there is room");
        let mut link = LinkExporter::new(config, boot, Buffer::new(vec![0; buffer]), registry);
        let scope = InstrumentationScope::new("valves").with_version("2");
        let scope = link.scope(&scope).expect("there is room");
        let seed = name.bytes().fold(u64::from(boot), |seed, byte| {
            seed.wrapping_mul(257).wrapping_add(byte.into())
        });
        Self {
            link,
            tracer: BareTracer::new(AlwaysOn, RandomIdGenerator::new(TestRng::new(seed))),
            scope,
            made: 0,
            contexts: Vec::new(),
        }
    }

    /// Ends one span, from its number in milliseconds to the next one, with `extra` bytes of text
    /// and an event. Whether there was room for it.
    pub fn span(&mut self, extra: usize) -> bool {
        let start = Instant::from_millis(self.made);
        let builder = SpanBuilder::new("turn").scope(self.scope);
        let mut span = self.tracer.start::<2048>(builder, start);
        self.contexts.push(*span.context());
        let text = "x".repeat(extra);
        span.set_attribute("text", text.as_str());
        span.add_event("half", &[], start);
        self.made += 1;
        span.end(Instant::from_millis(self.made), &mut self.link)
            .is_ok()
    }

    /// Ends one span of these times.
    pub fn span_at(&mut self, start: Instant, end: Instant) {
        let builder = SpanBuilder::new("turn").scope(self.scope);
        let span = self.tracer.start::<256>(builder, start);
        self.contexts.push(*span.context());
        self.made += 1;
        // What is refused is counted.
        let _ = span.end(end, &mut self.link);
    }

    /// All frames there are now, of at most `size` bytes each.
    pub fn frames(&mut self, now: Instant, size: usize) -> Vec<Vec<u8>> {
        let mut frame = vec![0; size];
        let mut frames = Vec::new();
        while let Some(len) = self.link.next_frame(now, &mut frame) {
            frames.push(frame.iter().copied().take(len).collect());
        }
        frames
    }
}
