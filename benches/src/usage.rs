//! What this process and its children have used of the machine.

use std::time::Duration;

/// Processor time and memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// In user mode, all threads.
    pub user: Duration,
    /// In the kernel, all threads.
    pub system: Duration,
    /// The most memory that was resident, in KiB.
    pub peak_kib: u64,
}

impl Usage {
    /// The processor time since `before`; the peak stays what it is.
    #[must_use]
    pub fn since(self, before: &Self) -> Self {
        Self {
            user: self.user.saturating_sub(before.user),
            system: self.system.saturating_sub(before.system),
            peak_kib: self.peak_kib,
        }
    }
}

/// Of this process up to now.
#[must_use]
pub fn usage() -> Usage {
    let usage = ask(libc::RUSAGE_SELF);
    Usage {
        peak_kib: peak_kib().unwrap_or(usage.peak_kib),
        ..usage
    }
}

/// Of the children that have ended, and of theirs.
#[must_use]
pub fn usage_of_children() -> Usage {
    ask(libc::RUSAGE_CHILDREN)
}

fn ask(who: libc::c_int) -> Usage {
    // SAFETY: all-zero is a valid `rusage`, which holds only integers.
    let mut raw: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `raw` is a live `rusage` that the call fills in.
    unsafe { libc::getrusage(who, &raw mut raw) };
    Usage {
        user: duration(raw.ru_utime),
        system: duration(raw.ru_stime),
        peak_kib: raw.ru_maxrss as u64,
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)
}

/// Unlike `ru_maxrss`, this does not count the parent's memory before `exec`.
fn peak_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
