//! Any spans in any order, with any bounds, into the decision about finished traces: each trace is
//! kept whole or not at all, the ledger is closed, and the memory is bounded.

use std::time::Duration;

use spandrel_core::hosted::config::Keep;
use spandrel_core::time::Instant;

use crate::models::tail::{TailRun, TailSpan};

/// The first four bytes are the settings, each further pair is a step.
///
/// # Panics
///
/// When a rule is broken.
pub fn run(data: &[u8]) {
    let Some((&[what, share, spans, bytes], steps)) = data.split_first_chunk::<4>() else {
        return;
    };
    let is_bounded = what & 4 != 0;
    let keep = Keep {
        errors: what & 1 != 0,
        slower_than: (what & 2 != 0).then_some(Duration::from_millis(16)),
        share: f64::from(share) / 255.0,
        max_trace_spans: if is_bounded {
            1 + usize::from(spans % 16)
        } else {
            usize::MAX
        },
        max_bytes: if is_bounded {
            2048 + 64 * usize::from(bytes)
        } else {
            usize::MAX
        },
        max_wait: Duration::from_secs(60),
    };
    let mut run = TailRun::new(keep);
    let mut now = Instant::ZERO;
    let mut ids = [1; 16];
    let mut has_root = [false; 16];
    let mut waited = false;
    run.begin_pass();
    for step in steps.chunks_exact(2) {
        let &[step, value] = step else {
            break;
        };
        let trace = usize::from(value & 0xf);
        match step & 0xf {
            0 => {
                run.end_pass(step & 0x10 == 0);
                run.begin_pass();
            }
            1 => run.take(usize::from(value)),
            2 => {
                now = now.saturating_add(Duration::from_secs(u64::from(value)));
                run.tail.time_out(now);
                waited |= value > 0;
            }
            kind => {
                let is_root = kind == 3 && !has_root[trace];
                let id = if is_root { 1 } else { ids[trace] + 1 };
                let span = TailSpan {
                    trace: trace as u64,
                    id,
                    // Of any span of the trace, also of one that comes later or never.
                    parent: match is_root {
                        true => u64::from(step >> 4),
                        false => 1 + u64::from(step >> 4),
                    },
                    is_error: value & 0xc0 == 0xc0,
                    millis: u64::from(value >> 3),
                };
                if span.parent == id {
                    continue;
                }
                if run.push(span, now) {
                    has_root[trace] |= is_root;
                    if !is_root {
                        ids[trace] = id;
                    }
                }
            }
        }
        run.check();
    }
    run.end_pass(true);
    run.begin_pass();
    run.end_pass(true);
    run.finish();
    run.take(usize::MAX);
    run.check_end(!is_bounded && !waited);
}
