//! Assembles items that arrive in pieces.

use super::message::Part;

/// The item that is being assembled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The resource at 0, then the scopes.
    Entry(u16),
    Span {
        number: u64,
        scope: u16,
        flags: u8,
    },
}

/// An item of which the first piece has arrived.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    kind: Kind,
    total: u32,
    received: u32,
}

/// The effect of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// More is needed, or this piece is ignored.
    Pending,
    /// The item is whole: this many bytes at the start of the memory.
    Complete(usize),
    /// All pieces have arrived, and the item is larger than the memory.
    TooLarge,
}

impl Transfer {
    /// Takes a piece. Pieces come in order: one that does not follow the last ends the item, and a
    /// first one starts a new item.
    pub(super) fn take(
        current: &mut Option<Self>,
        kind: Kind,
        part: &Part<'_>,
        memory: &mut [u8],
    ) -> Progress {
        let transfer = match current.take() {
            _ if part.offset == 0 => Self {
                kind,
                total: part.total,
                received: 0,
            },
            Some(same)
                if same.kind == kind
                    && same.total == part.total
                    && same.received == part.offset =>
            {
                same
            }
            _ => return Progress::Pending,
        };
        let len = u32::try_from(part.bytes.len()).unwrap_or(u32::MAX);
        let received = match part.offset.checked_add(len) {
            Some(received) if received <= part.total => received,
            _ => return Progress::Pending,
        };
        // An item that is too large is followed to its end, but not kept.
        let place = to_range(part.offset, received).and_then(|range| memory.get_mut(range));
        if let Some(place) = place {
            place.copy_from_slice(part.bytes);
        }
        if received < part.total {
            *current = Some(Self {
                received,
                ..transfer
            });
            return Progress::Pending;
        }
        match usize::try_from(received) {
            Ok(len) if len <= memory.len() => Progress::Complete(len),
            _ => Progress::TooLarge,
        }
    }
}

fn to_range(from: u32, to: u32) -> Option<core::ops::Range<usize>> {
    Some(usize::try_from(from).ok()?..usize::try_from(to).ok()?)
}
