//! The pipelines of further destinations: each has its own queue, and gets the spans from the first
//! pipeline, which drains the shards.

use core::fmt;
use std::sync::Arc;

use super::{Pipeline, PipelineError};
use crate::buffer::{PushError, Record, RecordSink};
use crate::hosted::config::Settings;
use crate::hosted::shards::Lost;
use crate::time::Instant;

/// A pipeline with what drives it, as the first pipeline sees it.
pub trait Branch: fmt::Debug + Send + Sync {
    /// Takes a span. It must not wait for the first pipeline, which is locked.
    fn push(&self, record: &Record<'_>);
}

impl Pipeline {
    /// The pipeline of a further destination of `first`; `settings` is one of
    /// [`Settings::further`]. It gets spans by [`push_copy`](Self::push_copy).
    ///
    /// # Errors
    ///
    /// As [`Pipeline::new`].
    pub fn branch(first: &Self, settings: &Settings) -> Result<Self, PipelineError> {
        let delay = settings.exporter.batch.scheduled_delay;
        let mut pipeline = Self::on(Arc::clone(&first.hub), settings, delay)?;
        pipeline.is_branch = true;
        Ok(pipeline)
    }

    /// Takes a copy of a span that the first pipeline gets. Returns true if a batch is due now.
    pub fn push_copy(&mut self, record: &Record<'_>) -> bool {
        let pushed = self.exporter.push_record(record);
        self.unsendable += u64::from(pushed == Err(PushError::TooLarge));
        let queued = self.exporter.buffer().queued();
        if queued == 1 {
            self.exporter.observe_oldest(self.clock.now());
        }
        let batch = &self.exporter.config().batch;
        batch.scheduled_delay.is_zero() || queued == batch.max_export_batch_size as usize
    }

    /// The step of a branch, which has nothing to drain.
    pub(super) fn pass_time(&mut self, now: Instant) {
        if now >= self.collected.saturating_add(self.scheduled_delay) {
            self.collected = now;
        }
        self.watch(now, Lost::default());
    }
}
