//! The process-wide propagator.
//!
//! <https://opentelemetry.io/docs/specs/otel/context/api-propagators/#global-propagators>

use std::sync::RwLock;

use super::propagator::Propagator;
use crate::hosted::config::Settings;
use crate::hosted::process;

struct Place {
    propagator: Propagator,
    /// The program set it, so `init` leaves it alone.
    is_own: bool,
}

static PLACE: RwLock<Place> = RwLock::new(Place {
    propagator: Propagator::NONE,
    is_own: false,
});

/// Returns the process-wide propagator.
///
/// `init` sets it, also where tracing is disabled, so that requests are passed on; it stays after the
/// shutdown. Before that it does nothing.
#[must_use]
pub fn propagator() -> Propagator {
    process::read(&PLACE).map_or(Propagator::NONE, |place| place.propagator.clone())
}

/// Makes `propagator` the process-wide one, from now on and whatever `init` would choose.
pub fn set_global_propagator(propagator: impl Into<Propagator>) {
    let new = Place {
        propagator: propagator.into(),
        is_own: true,
    };
    // The old one is the program's, and dropped without the lock.
    let old = process::write(&PLACE).map(|mut place| core::mem::replace(&mut *place, new));
    drop(old);
}

/// Takes the propagator of `settings`, unless the program has set one.
pub(in crate::hosted) fn set_from_settings(settings: &Settings) {
    let Some(mut place) = process::write(&PLACE) else {
        return;
    };
    if settings.set_global && !place.is_own {
        place.propagator = Propagator::of(settings.propagators).with_incoming(settings.incoming);
    }
}
