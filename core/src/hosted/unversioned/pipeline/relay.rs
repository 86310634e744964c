//! A pipeline for spans that were recorded elsewhere, by a device behind a link.

use super::{Pipeline, PipelineError};
use crate::attribute::KeyValue;
use crate::buffer::{PushError, Record, RecordSink};
use crate::hosted::config::Settings;
use crate::hosted::shards::Hub;
use crate::resource::{EncodedEntry, Registry, RegistryError, ScopeId};

impl Pipeline {
    /// A pipeline for finished records of another resource: `resource` with `more` attributes,
    /// which replace attributes of the same key. Resource and sampler of `settings` are not used.
    ///
    /// # Errors
    ///
    /// As [`Pipeline::new`].
    pub fn relay(
        settings: &Settings,
        resource: &EncodedEntry<'_>,
        more: &[KeyValue<'_>],
    ) -> Result<Self, PipelineError> {
        let registry = Registry::from_encoded(Hub::registry_memory()?, resource, more);
        Self::over(settings, registry)
    }

    /// The number of a scope of the other side, for records of this pipeline.
    ///
    /// # Errors
    ///
    /// [`RegistryError`] if the registry has no room for a new scope.
    pub fn encoded_scope(&self, scope: &EncodedEntry<'_>) -> Result<ScopeId, RegistryError> {
        self.hub.registry().encoded_scope(scope)
    }

    /// Returns true if a push of `record` would succeed now, or be refused for good.
    #[must_use]
    pub fn has_room_for(&self, record: &Record<'_>) -> bool {
        self.exporter.has_room_for(record)
    }
}

/// Takes records that were finished elsewhere. Their times are dated, or in this process's core
/// time.
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
            self.hub.wake();
        }
        result
    }
}
