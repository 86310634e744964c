//! The application's handler of reports.

use std::boxed::Box;
use std::sync::{Arc, RwLock, TryLockError};

use super::report::Report;
use crate::hosted::process;

/// A handler of reports.
pub type Handler = Box<dyn Fn(&Report<'_>) + Send + Sync>;

static HANDLER: RwLock<Option<Arc<Handler>>> = RwLock::new(None);

/// Puts `handler` in the place of the `log` facade and of any earlier handler.
pub(super) fn put_handler(handler: Handler) {
    replace_handler(Some(Arc::new(handler)));
}

/// Removes the handler; reports go to the `log` facade again.
pub fn clear_handler() {
    replace_handler(None);
}

// The old handler is dropped after the lock is released: it is foreign code.
fn replace_handler(new: Option<Arc<Handler>>) {
    let old = process::write(&HANDLER).map(|mut slot| core::mem::replace(&mut *slot, new));
    drop(old);
}

/// The handler, if there is one. Never waits for the lock: while a handler is being replaced, or
/// was when the process forked, reports go to `log`.
pub(super) fn handler() -> Option<Arc<Handler>> {
    match HANDLER.try_read() {
        Ok(slot) => slot.clone(),
        Err(TryLockError::Poisoned(slot)) => slot.into_inner().clone(),
        Err(TryLockError::WouldBlock) => None,
    }
}
