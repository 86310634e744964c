//! One device, over all its connections and boots: its pipeline and its books.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use spandrel_core::attribute::KeyValue;
use spandrel_core::buffer::{Record, RecordSink};
use spandrel_core::exporter::FlushReport;
use spandrel_core::hosted::config::Settings;
use spandrel_core::link::{DeviceCounts, EncodedEntry};
use spandrel_core::resource::{RegistryError, ScopeId};
use spandrel_core::time::Instant;

use super::status::Tally;
use crate::{InitError, Ledger, Telemetry};

/// Boots whose numbers are remembered; of older ones only the sums.
const BOOTS: usize = 8;
/// A clock that shows less than before by more has begun again.
pub(super) const CLOCK_STEP: Duration = Duration::from_secs(1);
/// The interval at which a span that waits for room tries again.
const ROOM_POLL: Duration = Duration::from_millis(10);

/// A device, by its resource.
#[derive(Debug)]
pub(super) struct Device {
    name: String,
    telemetry: Telemetry,
    books: Mutex<Books>,
}

#[derive(Debug, Default)]
struct Books {
    /// The boots known, the latest last.
    boots: Vec<Boot>,
    /// The counts of forgotten boots.
    former: DeviceCounts,
    tally: Tally,
}

#[derive(Debug)]
struct Boot {
    id: u32,
    /// The number of the span that comes next; nothing is known of those before the first one.
    next: Option<u64>,
    /// The device's time in the latest frame.
    latest: Instant,
    told: DeviceCounts,
}

/// The result of handing over a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It is in the pipeline's books: taken in, or dropped and counted.
    Booked,
    /// It has been here before.
    Repeated,
    /// There was no room until the gateway was stopped; the device still has it.
    LeftWithDevice,
}

impl Device {
    /// Starts the pipeline of the device that `resource` describes.
    pub(super) fn start(
        settings: &Settings,
        resource: &EncodedEntry<'_>,
        attributes: &[(String, String)],
    ) -> Result<Self, InitError> {
        let more: Vec<_> = attributes
            .iter()
            .map(|(key, value)| KeyValue::new(key, value.as_str()))
            .collect();
        Ok(Self {
            name: resource.text("service.name").unwrap_or("?").to_owned(),
            telemetry: Telemetry::relay(settings, resource, &more)?,
            books: Mutex::default(),
        })
    }

    /// The device's `service.name`, as it says itself.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The pipeline's number for one of the device's scopes.
    pub(super) fn scope(&self, scope: &EncodedEntry<'_>) -> Result<ScopeId, RegistryError> {
        self.telemetry
            .with_pipeline(|pipeline| pipeline.encoded_scope(scope))
            .unwrap_or(Ok(ScopeId::default()))
    }

    /// Opens the books of a boot, of which a frame was made at `now`. One that `is_new` starts from
    /// zero, even under a known number; so does one whose clock shows much less than it did.
    pub(super) fn begin_boot(&self, id: u32, is_new: bool, now: Instant) {
        let mut books = self.books();
        let known = books.boots.iter().position(|boot| boot.id == id);
        let went_back = books
            .boot(id)
            .is_some_and(|boot| boot.latest.saturating_since(now) > CLOCK_STEP);
        let is_new = is_new || went_back;
        let boot = match known {
            Some(_) if !is_new => return,
            Some(at) => books.boots.remove(at),
            None if books.boots.len() >= BOOTS => books.boots.remove(0),
            None => Boot::new(id, is_new),
        };
        books.former = sum(books.former, boot.told);
        books.boots.push(Boot::new(id, is_new));
    }

    /// Notes the time of a frame.
    pub(super) fn note_time(&self, id: u32, now: Instant) {
        if let Some(boot) = self.books().boot(id) {
            boot.latest = now;
        }
    }

    /// Takes in the totals that the device told.
    pub(super) fn note_counts(&self, id: u32, counts: DeviceCounts) {
        if let Some(boot) = self.books().boot(id) {
            boot.told = counts;
        }
    }

    /// Takes a span in, whose times are dated and whose scope is the pipeline's. A span that the
    /// device keeps until it is acknowledged waits for room; another one has nowhere to wait.
    pub(super) fn accept(
        &self,
        id: u32,
        number: u64,
        record: &Record<'_>,
        wait: Option<&dyn Fn() -> bool>,
    ) -> Arrival {
        while let Some(may_wait) = wait {
            let has_room = self
                .telemetry
                .with_pipeline(|pipeline| pipeline.has_room_for(record));
            if has_room != Some(false) {
                break;
            }
            if !may_wait() {
                return Arrival::LeftWithDevice;
            }
            std::thread::sleep(ROOM_POLL);
        }
        let mut books = self.books();
        let lost = match books.boot(id) {
            Some(boot) => {
                let expected = boot.next.unwrap_or(number);
                if number < expected {
                    books.tally.repeated += 1;
                    return Arrival::Repeated;
                }
                boot.next = Some(number.saturating_add(1));
                number - expected
            }
            None => 0,
        };
        books.tally.lost_on_link = books.tally.lost_on_link.saturating_add(lost);
        books.tally.received += 1;
        self.telemetry.with_pipeline(|pipeline| {
            // A refusal is in the pipeline's ledger.
            let _ = pipeline.push_record(record);
        });
        Arrival::Booked
    }

    /// Sends what is left; see [`Telemetry::shutdown`].
    pub(super) fn shutdown(&self, timeout: Duration) -> FlushReport {
        self.telemetry.shutdown(timeout)
    }

    /// The counts of the device and its link.
    pub(super) fn tally(&self) -> Tally {
        let books = self.books();
        let told = books
            .boots
            .iter()
            .fold(books.former, |all, boot| sum(all, boot.told));
        Tally {
            ended: told.ended,
            dropped_by_device: told.dropped(),
            ..books.tally
        }
    }

    /// Where the spans are that arrived.
    pub(super) fn ledger(&self) -> Ledger {
        self.telemetry.ledger()
    }

    /// Returns true if the circuit to the collector is closed.
    pub(super) fn is_healthy(&self) -> bool {
        self.telemetry.circuit() == spandrel_core::breaker::State::Closed
    }

    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Books {
    fn boot(&mut self, id: u32) -> Option<&mut Boot> {
        self.boots.iter_mut().find(|boot| boot.id == id)
    }
}

impl Boot {
    fn new(id: u32, is_new: bool) -> Self {
        Self {
            id,
            next: is_new.then_some(0),
            latest: Instant::ZERO,
            told: DeviceCounts::default(),
        }
    }
}

fn sum(a: DeviceCounts, b: DeviceCounts) -> DeviceCounts {
    let mut sum = a;
    sum.ended = sum.ended.saturating_add(b.ended);
    sum.queue_full = sum.queue_full.saturating_add(b.queue_full);
    sum.too_large = sum.too_large.saturating_add(b.too_large);
    sum
}
