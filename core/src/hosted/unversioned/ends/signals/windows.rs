//! Ctrl-c, ctrl-break and the end of the session on Windows.

use core::sync::atomic::{AtomicBool, Ordering};
use std::{io, process, thread};

/// The code of a process that ctrl-c has ended, as the system has it.
const CONTROL_C_EXIT: i32 = 0xC000_013A_u32.cast_signed();

static HAS_COME: AtomicBool = AtomicBool::new(false);

/// Calls `first` at the first signal on a thread of its own, and ends the process if it returns true.
/// The second signal ends the process at once.
pub(super) fn start(first: fn() -> bool) -> io::Result<()> {
    let handler = move || {
        let is_second = HAS_COME.swap(true, Ordering::Relaxed);
        let end = move || {
            if first() {
                process::exit(CONTROL_C_EXIT);
            }
        };
        let thread = thread::Builder::new().name("spandrel-signal".into());
        if is_second || thread.spawn(end).is_err() {
            process::exit(CONTROL_C_EXIT);
        }
    };
    ctrlc::try_set_handler(handler).map_err(io::Error::other)
}
