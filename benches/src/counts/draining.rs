//! The way of a batch from the shards to the exporter.

use std::time::Duration;

use spandrel_core::hosted::config::Config;

use super::{BATCH, Prepared};
use crate::ours::{accept_all, long_queue, pipeline};

pub(super) fn drain() -> Prepared {
    drain_with(|_| ())
}

/// With other settings.
pub(super) fn drain_with(edit: impl FnOnce(&mut Config)) -> Prepared {
    let mut config = long_queue(2 * BATCH);
    edit(&mut config);
    let (mut pipeline, provider) = pipeline(config);
    let tracer = provider.tracer("bench");
    let fill = move || {
        for n in 0..u64::from(BATCH) / 10 {
            crate::ours::trace(&tracer, n);
        }
    };
    fill();
    let mut filled = true;
    Prepared {
        // The first run is the warm-up; it fills up again for the one that counts.
        run: Box::new(move || {
            let deadline = pipeline.now().saturating_add(Duration::from_secs(5));
            pipeline.force_flush(deadline);
            accept_all(&mut pipeline);
            if std::mem::take(&mut filled) {
                fill();
            }
        }),
        ops: BATCH / 10 * 10,
    }
}
