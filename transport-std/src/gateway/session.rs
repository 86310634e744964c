//! One stream of bytes: a serial line, a connection, the standard input.

use std::collections::{HashMap, VecDeque};
use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;
use std::time::Duration;

use spandrel_core::buffer::{Record, RecordFlags};
use spandrel_core::hosted::clock::Clock;
use spandrel_core::hosted::diagnostics::{Kind, Severity, report};
use spandrel_core::link::{
    Anchor, Command, Content, Decoder, DecoderStats, DeviceCounts, EncodedEntry, LinkEvent,
    ReceivedSpan,
};
use spandrel_core::resource::ScopeId;
use spandrel_core::span::stored::StoredSpan;
use spandrel_core::time::Instant;

use super::device::{Arrival, CLOCK_STEP, Device};
use super::{Gateway, StreamError};

/// The largest frame, and the largest span, resource or scope.
const MEMORY_BYTES: usize = 64 << 10;
/// Bytes of spans that may wait for the announcement of their resource.
const PENDING_BYTES: usize = 256 << 10;
/// Bytes read at once, and of a file or another source that always has more.
const CHUNK_BYTES: usize = 256 << 10;
const LARGEST_CHUNK_BYTES: usize = 64 << 20;
/// The time for a backlog to arrive before the first bytes are read.
const BACKLOG_WAIT: Duration = Duration::from_millis(100);

/// Reads a stream to its end, or until the gateway stops.
pub(super) struct Session<'a> {
    decoder: Decoder<Vec<u8>, Vec<u8>>,
    /// Reads the same bytes ahead, for the times of the frames.
    scout: Decoder<Vec<u8>, [u8; 0]>,
    counted: DecoderStats,
    stream: Stream<'a>,
}

/// Everything but the decoder, whose memory the events borrow.
struct Stream<'a> {
    gateway: &'a Gateway,
    clock: Clock,
    /// The device's clock, and those that begin within the bytes that were read ahead.
    anchors: VecDeque<Anchor>,
    /// The clock before, for spans that ended by this instant, or later than the present one shows.
    former: Option<(Anchor, Instant)>,
    /// The device's time in the latest frame.
    now: Instant,
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
            scout: Decoder::new(vec![0; MEMORY_BYTES], []),
            counted: DecoderStats::default(),
            stream: Stream {
                gateway,
                clock: Clock::new(),
                anchors: VecDeque::from([Anchor::new()]),
                former: None,
                now: Instant::ZERO,
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
        let mut chunk = vec![0; CHUNK_BYTES];
        std::thread::sleep(BACKLOG_WAIT);
        while !self.stream.gateway.is_stopping() {
            let len = match read_ready(input, &mut chunk) {
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
        self.look_ahead(bytes);
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

    /// Notes when all frames were made and have arrived, before the first of their spans is dated:
    /// of a backlog only the last frame tells how the clocks differ.
    fn look_ahead(&mut self, mut bytes: &[u8]) {
        let arrived = self.stream.clock.now();
        while let Some(event) = self.scout.next(&mut bytes) {
            let anchors = &mut self.stream.anchors;
            if event.is_new_boot || event.new_clock.is_some() {
                anchors.push_back(Anchor::new());
            }
            if let Some(anchor) = anchors.back_mut() {
                anchor.observe(event.now, arrived);
            }
        }
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
        self.now = event.now;
        if event.is_new_boot {
            self.anchors.pop_front();
            self.begin_boot(event.boot, event.is_first);
        } else if let Some(since) = event.new_clock {
            self.former = self.anchors.pop_front().map(|anchor| (anchor, since));
            if since == Instant::ZERO {
                self.report_clock();
            }
        }
        if let Some(device) = &self.device {
            device.note_time(self.boot, self.now);
        }
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
        self.former = None;
        self.device = None;
        self.counts = None;
        self.scopes.clear();
    }

    fn resource(&mut self, resource: &EncodedEntry<'_>) -> Result<(), StreamError> {
        let device = self.gateway.device(resource)?;
        let is_same = |known: &Arc<Device>| Arc::ptr_eq(known, &device);
        if !self.device.as_ref().is_some_and(is_same) {
            device.begin_boot(self.boot, self.is_new_boot, self.now);
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

    fn report_clock(&self) {
        let name = self
            .device
            .as_ref()
            .map_or("a device", |device| device.name());
        report(
            Kind::Misuse,
            Severity::Warn,
            format_args!(
                "the clock of {name} went back without a reboot, as a timer of 32 bits does when it \
                 turns over; spans from around then may have wrong dates: extend it with `Ticks32`"
            ),
        );
    }

    fn note_counts(&mut self) {
        if let Some(device) = &self.device
            && let Some(counts) = self.counts.take()
        {
            device.note_counts(self.boot, counts);
        }
    }

    fn span(&mut self, mut span: ReceivedSpan<'_>) -> Result<(), StreamError> {
        let record = span.record(span.scope);
        let end = StoredSpan::new(record.body).map(|span| Instant::from_nanos(span.end_nanos()));
        let former = self.former.as_ref().filter(|(_, since)| {
            end.is_some_and(|end| end <= *since || end.saturating_since(self.now) > CLOCK_STEP)
        });
        let anchor = former.map(|(anchor, _)| anchor).or(self.anchors.front());
        if let Some(clock) = anchor.and_then(|anchor| anchor.clock(self.clock.wall())) {
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

/// Reads what is there. A chunk that one read has filled grows, because there is more, as in a
/// file; what follows an end or an error in that comes with the next read.
fn read_ready(input: &mut dyn Read, chunk: &mut Vec<u8>) -> io::Result<usize> {
    let mut len = input.read(chunk)?;
    while len == chunk.len() && len < LARGEST_CHUNK_BYTES {
        chunk.resize(len * 2, 0);
        match input.read(chunk.get_mut(len..).unwrap_or_default()) {
            Ok(more) if more > 0 => len += more,
            _ => break,
        }
    }
    Ok(len)
}

/// Returns true if a read that failed may be tried again.
fn is_passing(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
