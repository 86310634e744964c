//! The place of the process-wide provider.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use super::inner::ProviderInner;
use crate::hosted::process::{self, fork_generation};

struct Place {
    provider: RwLock<Option<Arc<ProviderInner>>>,
    /// There is a provider, so that tracers that wait for one learn in one load that there is none.
    is_taken: AtomicBool,
}

impl Place {
    const fn empty() -> Self {
        Self {
            provider: RwLock::new(None),
            is_taken: AtomicBool::new(false),
        }
    }
}

/// A child that noted its fork takes the next place, because a thread of its parent may have held
/// the lock of the parent's.
static PLACES: [Place; 4] = [const { Place::empty() }; 4];

fn place() -> &'static Place {
    let [first, others @ ..] = &PLACES;
    let forks = fork_generation().wrapping_sub(1) as usize % PLACES.len();
    others.get(forks.wrapping_sub(1)).unwrap_or(first)
}

/// Puts `provider` into the place, unless another one of this process that is not shut down is there.
/// Returns true if it is there now.
pub(super) fn take(provider: &Arc<ProviderInner>) -> bool {
    let place = place();
    with_mut(place, |there| {
        let is_in_use = |there: &Arc<ProviderInner>| there.is_open() && there.is_here();
        if there.as_ref().is_some_and(is_in_use) {
            return there
                .as_ref()
                .is_some_and(|there| Arc::ptr_eq(there, provider));
        }
        *there = Some(Arc::clone(provider));
        place.is_taken.store(true, Ordering::Release);
        true
    })
    .unwrap_or(false)
}

/// Empties the place, if `provider` is there.
pub(super) fn leave(provider: &Arc<ProviderInner>) {
    let place = place();
    let left = with_mut(place, |there| {
        let left = there.take_if(|there| Arc::ptr_eq(there, provider));
        if left.is_some() {
            place.is_taken.store(false, Ordering::Release);
        }
        left
    });
    // Dropped without the lock.
    drop(left);
}

/// The provider in the place, if it is not shut down.
pub(super) fn get() -> Option<Arc<ProviderInner>> {
    let place = place();
    if !place.is_taken.load(Ordering::Acquire) {
        return None;
    }
    let provider = process::read(&place.provider)?.clone();
    provider.filter(|there| there.is_open())
}

fn with_mut<T>(
    place: &Place,
    work: impl FnOnce(&mut Option<Arc<ProviderInner>>) -> T,
) -> Option<T> {
    process::write(&place.provider).map(|mut there| work(&mut there))
}
