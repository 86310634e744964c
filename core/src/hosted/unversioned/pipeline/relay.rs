//! A pipeline for the spans of another program: of a device behind a link.

use super::{Pipeline, PipelineError, Shared};
use crate::attribute::KeyValue;
use crate::buffer::{PushError, Record, RecordSink};
use crate::hosted::config::Settings;
use crate::resource::{EncodedEntry, Registry, RegistryError, ScopeId};

impl Pipeline {
    /// A pipeline for finished records of another resource than this process's: `resource`, with
    /// `more` attributes, which replace others with the same key. The resource and the sampler of
    /// `settings` are not used.
    ///
    /// # Errors
    ///
    /// As [`Pipeline::new`].
    pub fn relay(
        settings: &Settings,
        resource: &EncodedEntry<'_>,
        more: &[KeyValue<'_>],
    ) -> Result<Self, PipelineError> {
        let shared = Registry::from_encoded(Shared::registry_memory(), resource, more)
            .and_then(|registry| Shared::with_registry(settings, registry))
            .map_err(PipelineError::Resource)?;
        Self::over(settings, shared)
    }

    /// The number that records of this pipeline bear for a scope of the other side.
    ///
    /// # Errors
    ///
    /// When the registry has no room for a new scope.
    pub fn encoded_scope(&self, scope: &EncodedEntry<'_>) -> Result<ScopeId, RegistryError> {
        // The exporter's copy is brought up to date before the next request.
        self.shared.registry().encoded_scope(scope)
    }

    /// Returns true if a push of `record` would succeed now, or be refused for good.
    #[must_use]
    pub fn has_room_for(&self, record: &Record<'_>) -> bool {
        self.exporter.has_room_for(record)
    }
}

/// Takes records that were finished elsewhere. Their times are on this process's clock, or dated.
impl RecordSink for Pipeline {
    fn push_record(&mut self, record: &Record<'_>) -> Result<(), PushError> {
        let result = self.exporter.push_record(record);
        let queued = self.exporter.buffer().queued();
        if queued == 1 {
            // The scheduled delay counts from now, whenever the transport looks.
            self.exporter.observe_oldest(self.clock.now());
        }
        let batch = &self.exporter.config().batch;
        if queued >= batch.max_export_batch_size as usize || batch.scheduled_delay.is_zero() {
            self.shared.wake();
        }
        result
    }
}
