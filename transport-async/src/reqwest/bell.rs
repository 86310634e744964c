//! A bell that futures wait for.

use core::pin::pin;
use core::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Rings for all listeners, also for one that looks afterwards: each knows which ring it has heard.
#[derive(Debug, Default)]
pub(super) struct Bell {
    rings: AtomicU64,
    notify: Notify,
}

impl Bell {
    pub(super) fn ring(&self) {
        self.rings.fetch_add(1, Ordering::AcqRel);
        self.notify.notify_waiters();
    }

    /// The rings so far, to be passed to [`wait`](Self::wait).
    pub(super) fn heard(&self) -> u64 {
        self.rings.load(Ordering::Acquire)
    }

    /// Returns as soon as there are more rings than those `heard`.
    pub(super) async fn wait(&self, heard: u64) {
        loop {
            let mut ring = pin!(self.notify.notified());
            ring.as_mut().enable();
            if self.heard() != heard {
                return;
            }
            ring.await;
        }
    }
}
