//! Calls to the emulator: the command line, and the end of the run.

use core::arch::asm;

const SYS_TIME: usize = 0x11;
const SYS_GET_CMDLINE: usize = 0x15;
const SYS_EXIT: usize = 0x18;
/// "The application has ended": the emulator exits with 0, and with 1 for any other reason.
const APPLICATION_EXIT: usize = 0x2_0026;
const INTERNAL_ERROR: usize = 0x2_0024;

fn call(operation: usize, argument: usize) -> usize {
    let result;
    // SAFETY: the emulator handles the trap and writes nothing but the result and what
    // `argument` points to, which the callers below own.
    unsafe {
        #[cfg(target_arch = "arm")]
        asm!("bkpt #0xab", inlateout("r0") operation => result, in("r1") argument);
        #[cfg(target_arch = "riscv32")]
        asm!(
            ".balign 16",
            ".option push",
            ".option norvc",
            "slli x0, x0, 0x1f",
            "ebreak",
            "srai x0, x0, 7",
            ".option pop",
            inlateout("a0") operation => result,
            in("a1") argument,
        );
    }
    result
}

/// The text given to the emulator as `-semihosting-config arg=...`.
pub fn command_line(buffer: &mut [u8]) -> &str {
    let mut block = [buffer.as_mut_ptr() as usize, buffer.len()];
    let failed = call(SYS_GET_CMDLINE, block.as_mut_ptr() as usize) != 0;
    // The emulator has written through the address, which the compiler cannot know.
    let [_, len] = core::hint::black_box(block);
    let text = core::hint::black_box(buffer).get(..len).filter(|_| !failed);
    text.and_then(|text| core::str::from_utf8(text).ok())
        .unwrap_or_default()
        .trim_matches(|c: char| c == '\0' || c == ' ')
}

/// The host's date, in seconds since 1970.
pub fn epoch_seconds() -> u32 {
    call(SYS_TIME, 0) as u32
}

/// Ends the run.
pub fn exit(success: bool) -> ! {
    let reason = if success {
        APPLICATION_EXIT
    } else {
        INTERNAL_ERROR
    };
    loop {
        call(SYS_EXIT, reason);
    }
}
