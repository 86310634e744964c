//! `Debug` output without secrets.

use core::fmt;
use std::string::String;
use std::sync::Arc;

use crate::hosted::resource::{ResourceDetector, name_of};
use crate::sampler::{Description, Sampler};

/// Gives the output of `derive`, except for the fields with an arrow. The pattern names every field,
/// so none can be forgotten.
macro_rules! debug_struct {
    ($name:ident { $($field:ident $(=> $shown:expr)?),* $(,)? }) => {
        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                let Self { $($field),* } = self;
                f.debug_struct(stringify!($name))
                    $(.field(stringify!($field), debug_struct!(@ $field $($shown)?)))*
                    .finish()
            }
        }
    };
    (@ $field:ident) => { $field };
    (@ $field:ident $shown:expr) => { &$shown };
}
pub(super) use debug_struct;

/// The names of headers without their values.
pub(super) struct HeaderNames<'a>(pub(super) &'a [(String, String)]);

impl fmt::Debug for HeaderNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|(name, _)| name))
            .finish()
    }
}

pub(super) struct DetectorNames<'a>(pub(super) &'a [Arc<dyn ResourceDetector>]);

impl fmt::Debug for DetectorNames<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.0.iter().map(|detector| {
                // It must not panic where a configuration is printed.
                name_of(&**detector).unwrap_or_else(|| "(panicked)".into())
            }))
            .finish()
    }
}

/// A sampler by its description.
pub(super) struct Described<'a>(pub(super) &'a (dyn Sampler + Send + Sync));

impl fmt::Debug for Described<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&Description(self.0), f)
    }
}
