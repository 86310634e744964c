//! No network, only a serial line: frames for a gateway.

use core::str::Split;

use spandrel_core::link::{LinkConfig, LinkExporter};
use spandrel_core::prelude::*;

use super::{Line, SCOPE, Station, now, registry};
use crate::board;

/// Too little for the whole burst of a cycle: what is dropped is counted, and the count is sent.
const SPAN_BYTES: usize = 640;

type Link = LinkExporter<[u8; SPAN_BYTES], [u8; 192]>;

impl Line for Link {
    fn idle(&mut self) {
        let mut frame = [0; 160];
        while let Some(len) = self.next_frame(now(), &mut frame) {
            frame.iter().take(len).copied().for_each(board::uart_write);
        }
    }
}

/// `SEED`: a cycle of the station, over the line.
pub fn run(words: &mut Split<'_, char>) -> Option<()> {
    let seed = words.next()?.parse().ok()?;
    let registry = registry([0; 192])?;
    let buffer = Buffer::new([0; SPAN_BYTES]);
    let mut link = LinkExporter::new(LinkConfig::DEFAULT, seed, buffer, registry);
    let scope = link.scope(&SCOPE).ok()?;
    Station::new(seed, scope).cycle(seed, &mut link);
    Some(())
}
