//! The place of the process-wide provider.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};

use super::inner::ProviderInner;

static PLACE: RwLock<Option<Arc<ProviderInner>>> = RwLock::new(None);
/// There is a provider in the place, so that tracers that wait for one learn in one load that there
/// is none.
static IS_TAKEN: AtomicBool = AtomicBool::new(false);

/// Puts `provider` into the place, unless another one that is not shut down is there. Returns true
/// if it is there now.
pub(super) fn take(provider: &Arc<ProviderInner>) -> bool {
    let mut place = write();
    let taken = place.as_ref().is_none_or(|there| !there.is_open());
    if taken {
        *place = Some(Arc::clone(provider));
        IS_TAKEN.store(true, Ordering::Release);
    }
    taken
        || place
            .as_ref()
            .is_some_and(|there| Arc::ptr_eq(there, provider))
}

/// Empties the place, if `provider` is there.
pub(super) fn leave(provider: &Arc<ProviderInner>) {
    let mut place = write();
    let is_there = place
        .as_ref()
        .is_some_and(|there| Arc::ptr_eq(there, provider));
    if is_there {
        IS_TAKEN.store(false, Ordering::Release);
        // Dropped without the lock.
        let there = place.take();
        drop(place);
        drop(there);
    }
}

/// The provider in the place, if it is not shut down.
pub(super) fn get() -> Option<Arc<ProviderInner>> {
    if !IS_TAKEN.load(Ordering::Acquire) {
        return None;
    }
    let place = PLACE.read().unwrap_or_else(PoisonError::into_inner);
    place.clone().filter(|there| there.is_open())
}

fn write() -> RwLockWriteGuard<'static, Option<Arc<ProviderInner>>> {
    PLACE.write().unwrap_or_else(PoisonError::into_inner)
}
