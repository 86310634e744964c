//! What this process has used of the machine.

use std::time::Duration;

/// Processor time and memory of this process.
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

/// Asks the system.
#[must_use]
pub fn usage() -> Usage {
    // SAFETY: all-zero is a valid `rusage`, which holds only integers.
    let mut raw: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `raw` is a live `rusage` that the call fills in.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &raw mut raw) };
    Usage {
        user: duration(raw.ru_utime),
        system: duration(raw.ru_stime),
        peak_kib: peak_kib().unwrap_or(raw.ru_maxrss as u64),
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
