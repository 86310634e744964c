//! Signals of Unix.

use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering};
use std::vec::Vec;
use std::{fs, io, process, thread};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::hosted::process::ENDS_AT_ONCE;

/// What ends a program that does nothing about it: the terminal is gone, ctrl-c, a service manager.
const SIGNALS: [c_int; 3] = [SIGHUP, SIGINT, SIGTERM];

static IS_REGISTERED: AtomicBool = AtomicBool::new(false);

/// Starts the thread that calls `first` at the first signal, and ends the process by that signal if it
/// returns true.
///
/// The handlers that were there before are called as before. On Linux, a signal that the process ignores, as
/// under `nohup` or in the background of a script, stays ignored.
pub(super) fn start(first: fn() -> bool) -> io::Result<()> {
    let ignored = ignored(&fs::read_to_string("/proc/self/status").unwrap_or_default());
    let heard: Vec<_> = SIGNALS
        .into_iter()
        .filter(|it| !is_in(ignored, *it))
        .collect();
    // The second signal is no matter of a thread, which might be the one that hangs. Handlers run in
    // the order in which they are registered, so the first signal does not end the process.
    // A child inherits its parent's handlers.
    if !IS_REGISTERED.swap(true, Ordering::Relaxed) {
        for &signal in &heard {
            flag::register_conditional_default(signal, &ENDS_AT_ONCE)?;
            flag::register(signal, &ENDS_AT_ONCE)?;
        }
    }
    let mut signals = Signals::new(&heard)?;
    ENDS_AT_ONCE.store(false, Ordering::Relaxed);
    let thread = thread::Builder::new().name("spandrel-signal".into());
    thread.spawn(move || {
        for signal in signals.forever() {
            if first() {
                // It returns only if the signal is none that ends a process.
                let _ = emulate_default_handler(signal);
                process::exit(128 + signal);
            }
        }
    })?;
    Ok(())
}

/// The set of ignored signals in the text of `/proc/self/status`; empty where there is no such file.
fn ignored(status: &str) -> u64 {
    let found = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let set = found.and_then(|set| u64::from_str_radix(set.trim(), 16).ok());
    set.unwrap_or(0)
}

fn is_in(set: u64, signal: c_int) -> bool {
    (set >> (signal - 1)) & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_read_from_the_status_of_the_process() {
        let status =
            "Name:\tnohup\nSigBlk:\t0000000000000002\nSigIgn:\t0000000000001001\nSigCgt:\t0\n";
        let set = ignored(status);
        assert!(is_in(set, SIGHUP) && !is_in(set, SIGINT) && !is_in(set, SIGTERM));
        for none in ["", "SigIgn:\tnone\n"] {
            assert_eq!(ignored(none), 0);
        }
    }
}
