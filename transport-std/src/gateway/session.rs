//! One stream of bytes: a serial line, a connection, the standard input.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use spandrel_core::buffer::{Record, RecordFlags};
use spandrel_core::hosted::clock::Clock;
use spandrel_core::hosted::diagnostics::{Kind, Severity, report};
use spandrel_core::link::{
    Anchor, Command, Content, Decoder, DecoderStats, DeviceCounts, EncodedEntry, LinkEvent,
    ReceivedSpan,
};
use spandrel_core::resource::ScopeId;

use super::device::{Arrival, Device};
use super::{Gateway, StreamError};

/// The largest frame, and the largest span, resource or scope.
const MEMORY_BYTES: usize = 64 << 10;
/// Bytes of spans that may wait for the announcement of their resource.
const PENDING_BYTES: usize = 256 << 10;
const CHUNK_BYTES: usize = 4096;

/// Reads a stream to its end, or until the gateway stops.
pub(super) struct Session<'a> {
    decoder: Decoder<Vec<u8>, Vec<u8>>,
    counted: DecoderStats,
    stream: Stream<'a>,
}

/// Everything but the decoder, whose memory the events borrow.
struct Stream<'a> {
    gateway: &'a Gateway,
    clock: Clock,
    anchor: Anchor,
    boot: u32,
    /// Whether the boot began on this stream.
    is_new_boot: bool,
    device: Option<Arc<Device>>,
    /// The pipeline's number for each of the device's.
    scopes: HashMap<ScopeId, ScopeId>,
    /// Spans whose resource or scope is not known yet, the oldest first.
    pending: VecDeque<Pending>,
    pending_bytes: usize,
    counts: Option<DeviceCounts>,
    wants_announcement: bool,
    got_span: bool,
}

/// A span with a date and without a pipeline.
struct Pending {
    number: u64,
    is_kept: bool,
    scope: ScopeId,
    flags: RecordFlags,
    body: Vec<u8>,
}

impl<'a> Session<'a> {
    pub(super) fn new(gateway: &'a Gateway) -> Self {
        Self {
            decoder: Decoder::new(vec![0; MEMORY_BYTES], vec![0; MEMORY_BYTES]),
            counted: DecoderStats::default(),
            stream: Stream {
                gateway,
                clock: Clock::new(),
                anchor: Anchor::new(),
                boot: 0,
                is_new_boot: false,
                device: None,
                scopes: HashMap::new(),
                pending: VecDeque::new(),
                pending_bytes: 0,
                counts: None,
                wants_announcement: false,
                got_span: false,
            },
        }
    }

    /// Reads until the end of `input`. What is to be said goes to `output`, if there is a way
    /// back.
    pub(super) fn run(
        &mut self,
        input: &mut dyn Read,
        mut output: Option<&mut dyn Write>,
    ) -> Result<(), StreamError> {
        let mut chunk = [0; CHUNK_BYTES];
        while !self.stream.gateway.is_stopping() {
            let len = match input.read(&mut chunk) {
                Ok(0) => return Ok(()),
                Ok(len) => len,
                Err(error) if is_passing(&error) => continue,
                Err(error) => return Err(StreamError::Io(error)),
            };
            self.read(chunk.get(..len).unwrap_or_default())?;
            if let Some(output) = &mut output {
                self.answer(*output).map_err(StreamError::Io)?;
            }
        }
        Ok(())
    }

    fn read(&mut self, mut bytes: &[u8]) -> Result<(), StreamError> {
        self.stream.clock.re_anchor();
        let outcome = loop {
            match self.decoder.next(&mut bytes) {
                Some(event) => {
                    if let Err(error) = self.stream.handle(event) {
                        break Err(error);
                    }
                }
                None => break Ok(()),
            }
        };
        let stats = self.decoder.stats();
        self.stream
            .gateway
            .with_streams(|all| all.add(&self.counted, &stats));
        self.counted = stats;
        outcome
    }

    /// Says what there is to say to the device.
    fn answer(&mut self, output: &mut dyn Write) -> io::Result<()> {
        let stream = &mut self.stream;
        let announce = std::mem::take(&mut stream.wants_announcement);
        let got_span = std::mem::take(&mut stream.got_span);
        let boot = stream.boot;
        let commands = [
            announce.then_some(Command::Announce { boot }),
            // Spans that may yet be given up stay with the device.
            self.decoder
                .acknowledgement()
                .filter(|_| got_span && stream.pending.is_empty()),
        ];
        let mut frame = [0; Command::MAX_BYTES];
        for command in commands.into_iter().flatten() {
            if let Some(bytes) = command.encode(&mut frame).and_then(|len| frame.get(..len)) {
                output.write_all(bytes)?;
            }
        }
        output.flush()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.stream.give_up_pending();
    }
}

impl Stream<'_> {
    fn handle(&mut self, event: LinkEvent<'_>) -> Result<(), StreamError> {
        if event.is_new_boot {
            self.begin_boot(event.boot, event.is_first);
        }
        self.anchor.observe(event.now, self.clock.now());
        match event.content {
            Content::Resource(resource) => self.resource(&resource),
            Content::Scope(id, scope) => {
                self.scope(id, &scope);
                self.settle_pending()
            }
            Content::Span(span) => {
                self.got_span = true;
                self.span(span)
            }
            Content::Counts(counts) => {
                self.counts = Some(counts);
                self.note_counts();
                Ok(())
            }
            _ => {
                // A repeated span wants its acknowledgement repeated.
                self.got_span = true;
                Ok(())
            }
        }
    }

    fn begin_boot(&mut self, boot: u32, is_new: bool) {
        self.give_up_pending();
        (self.boot, self.is_new_boot) = (boot, is_new);
        self.anchor = Anchor::new();
        self.device = None;
        self.counts = None;
        self.scopes.clear();
    }

    fn resource(&mut self, resource: &EncodedEntry<'_>) -> Result<(), StreamError> {
        let device = self.gateway.device(resource)?;
        let is_same = |known: &Arc<Device>| Arc::ptr_eq(known, &device);
        if !self.device.as_ref().is_some_and(is_same) {
            device.begin_boot(self.boot, self.is_new_boot);
            self.scopes.clear();
            self.device = Some(device);
            self.note_counts();
        }
        Ok(())
    }

    fn scope(&mut self, id: ScopeId, scope: &EncodedEntry<'_>) {
        let Some(device) = &self.device else {
            self.wants_announcement = true;
            return;
        };
        let own = device.scope(scope).unwrap_or_else(|error| {
            report(
                Kind::Misuse,
                Severity::Warn,
                format_args!("a scope of {} becomes nameless: {error}", device.name()),
            );
            ScopeId::default()
        });
        self.scopes.insert(id, own);
    }

    fn note_counts(&mut self) {
        if let Some(device) = &self.device
            && let Some(counts) = self.counts.take()
        {
            device.note_counts(self.boot, counts);
        }
    }

    fn span(&mut self, mut span: ReceivedSpan<'_>) -> Result<(), StreamError> {
        if let Some(clock) = self.anchor.clock(self.clock.wall()) {
            span.date(clock);
        }
        if self.pending.is_empty()
            && let Some(&scope) = self.scopes.get(&span.scope)
        {
            return self.accept(span.number, span.is_kept, &span.record(scope));
        }
        // In the order of numbers, so that none counts as lost.
        self.wants_announcement = true;
        let record = span.record(span.scope);
        while self.pending_bytes + record.body.len() > PENDING_BYTES {
            let Some(oldest) = self.pending.pop_front() else {
                break;
            };
            self.pending_bytes -= oldest.body.len();
            self.gateway.with_streams(|all| all.unannounced += 1);
        }
        self.pending_bytes += record.body.len();
        self.pending.push_back(Pending {
            number: span.number,
            is_kept: span.is_kept,
            scope: record.scope,
            flags: record.flags,
            body: record.body.to_vec(),
        });
        Ok(())
    }

    /// Delivers the spans that waited for an announcement, as far as it has come.
    fn settle_pending(&mut self) -> Result<(), StreamError> {
        while let Some(first) = self.pending.front()
            && let Some(&scope) = self.scopes.get(&first.scope)
        {
            let Some(span) = self.pending.pop_front() else {
                break;
            };
            self.pending_bytes -= span.body.len();
            let record = Record {
                scope,
                flags: span.flags,
                body: &span.body,
            };
            self.accept(span.number, span.is_kept, &record)?;
        }
        Ok(())
    }

    fn accept(&self, number: u64, is_kept: bool, record: &Record<'_>) -> Result<(), StreamError> {
        let Some(device) = &self.device else {
            return Ok(());
        };
        let may_wait = || !self.gateway.is_stopping();
        let wait: Option<&dyn Fn() -> bool> = if is_kept { Some(&may_wait) } else { None };
        match device.accept(self.boot, number, record, wait) {
            // No answer may go out: it would acknowledge this span too.
            Arrival::LeftWithDevice => Err(StreamError::Stopped),
            Arrival::Booked | Arrival::Repeated => Ok(()),
        }
    }

    fn give_up_pending(&mut self) {
        let left = self.pending.len() as u64;
        self.pending.clear();
        self.pending_bytes = 0;
        if left > 0 {
            self.gateway.with_streams(|all| all.unannounced += left);
        }
    }
}

/// Returns true if a read that failed may be tried again.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
