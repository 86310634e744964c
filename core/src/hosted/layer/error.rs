//! Why a parent could not be set.

use core::error::Error;
use core::fmt;

/// Why a parent could not be set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SetParentError {
    /// There is no Spandrel span behind the `tracing` span.
    NotRecorded,
    /// Something has happened in the span already, it is entered on another thread too, it has no
    /// room for a parent, or the layer takes [no late
    /// parents](super::TracingLayer::with_late_parents).
    TooLate,
}

impl fmt::Display for SetParentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRecorded => {
                "no layer of Spandrel sees this span: it is disabled or filtered out, or the \
                 subscriber has none"
            }
            Self::TooLate => {
                "the parent can no longer be set: set it before the first child or event of the \
                 span, and before its context is read"
            }
        })
    }
}

impl Error for SetParentError {}
