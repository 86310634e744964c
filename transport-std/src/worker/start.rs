//! The start of the threads.

use std::sync::{Arc, Weak};
use std::time::Duration;

use spandrel_core::hosted::unversioned::events::EventLog;
use spandrel_core::hosted::unversioned::pipeline::Pipeline;

use super::{Worker, WorkerState};
use crate::output::Output;

impl Worker {
    /// Starts the threads that send what `pipeline` holds to `target`, one for each output.
    #[cfg(test)]
    pub(crate) fn start(
        pipeline: Pipeline,
        outputs: Vec<Output>,
        target: String,
    ) -> std::io::Result<Arc<WorkerState>> {
        Self::start_all(pipeline, outputs, target, Vec::new()).map(|(state, _)| state)
    }

    /// Starts the threads that send what `pipeline` holds to `target`, one for each output, and those of
    /// further destinations, each with its pipeline, outputs and name.
    pub(crate) fn start_all(
        mut pipeline: Pipeline,
        outputs: Vec<Output>,
        target: String,
        further: Vec<(Pipeline, Vec<Output>, String)>,
    ) -> std::io::Result<(Arc<WorkerState>, Vec<Arc<WorkerState>>)> {
        let started = further.into_iter().map(|(pipeline, outputs, target)| {
            let state = WorkerState::new(pipeline, &outputs, target.clone());
            (state, outputs, target)
        });
        let further: Vec<_> = started.collect();
        let branches = further.iter().map(|(state, ..)| Arc::clone(state) as _);
        pipeline.set_branches(branches.collect());
        let first = WorkerState::new(pipeline, &outputs, target.clone());
        let mut all = vec![Arc::downgrade(&first)];
        for (state, ..) in &further {
            let _ = state.first.set(Arc::downgrade(&first));
            all.push(Arc::downgrade(state));
        }
        first.lock().pipeline.set_waker(Box::new(move || {
            for state in all.iter().filter_map(Weak::upgrade) {
                state.wake_for_shard();
            }
        }));
        Self::spawn(&first, outputs, &target)?;
        let mut states = Vec::with_capacity(further.len());
        for (state, outputs, target) in further {
            if let Err(error) = Self::spawn(&state, outputs, &target) {
                first.shutdown(Duration::ZERO);
                return Err(error);
            }
            states.push(state);
        }
        Ok((first, states))
    }

    /// Starts a thread for each output.
    fn spawn(state: &Arc<WorkerState>, outputs: Vec<Output>, target: &str) -> std::io::Result<()> {
        let has_peers = outputs.len() > 1;
        let mut threads = Vec::with_capacity(outputs.len());
        for output in outputs {
            let worker = Self {
                state: Arc::clone(state),
                output,
                log: EventLog::new(target),
                transmit: None,
                is_unlogged: false,
                has_peers,
            };
            let spawned = std::thread::Builder::new()
                .name("spandrel".into())
                .spawn(move || worker.run());
            match spawned {
                Ok(thread) => threads.push(thread.thread().clone()),
                Err(error) if threads.is_empty() => return Err(error),
                // Those that there are send everything.
                Err(_) => state.lock().running -= 1,
            }
        }
        let _ = state.threads.set(threads.into_boxed_slice());
        // What was recorded before the threads were known has not woken them.
        state.wake();
        Ok(())
    }
}
