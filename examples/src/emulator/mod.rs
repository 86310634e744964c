//! The boards of `examples/firmware` in QEMU, for the example that shows them and the tests that
//! check them.
//!
//! ```
//! use spandrel_examples::emulator::{Board, messages};
//!
//! let board = Board::find("lm3s6965evb").unwrap();
//! let run = board.command("images/lm3s6965evb-program".as_ref(), "tree");
//! assert_eq!(run.get_program(), "qemu-system-arm");
//! assert!(messages(b"N\x0a\0\0\0\x07\0\0\0\0\0\0\0ab").is_ok());
//! ```

mod build;
mod elf;
mod message;
mod run;

use std::path::Path;
use std::process::{Command, Stdio};

pub use build::{BuildError, build};
pub use elf::sizes;
pub use message::{CutOutput, Message, messages};
pub use run::{RunError, run};

/// A board that QEMU emulates.
#[derive(Debug, PartialEq, Eq)]
pub struct Board {
    /// Its name, in QEMU and among the features of the firmware.
    pub name: &'static str,
    /// Its name for people.
    pub description: &'static str,
    /// The compiler's name of its processor.
    pub target: &'static str,
    /// The program that emulates it.
    pub emulator: &'static str,
    /// Debian's package of that program.
    pub package: &'static str,
    arguments: &'static [&'static str],
    /// How the emulator attaches its network card to the host, if it has one.
    network: Option<&'static [&'static str]>,
}

/// Every board that the firmware knows.
pub const BOARDS: [Board; 4] = [
    Board {
        name: "lm3s6965evb",
        description: "Cortex-M3, 256 KiB of flash, 64 KiB of RAM, Ethernet",
        target: "thumbv7m-none-eabi",
        emulator: "qemu-system-arm",
        package: "qemu-system-arm",
        arguments: &["-M", "lm3s6965evb"],
        network: Some(&["-nic", "user,model=stellaris"]),
    },
    Board {
        name: "mps2-an386",
        description: "Cortex-M4F, Ethernet",
        target: "thumbv7em-none-eabihf",
        emulator: "qemu-system-arm",
        package: "qemu-system-arm",
        arguments: &["-M", "mps2-an386"],
        network: Some(&["-nic", "user,model=lan9118"]),
    },
    Board {
        name: "microbit",
        description: "Cortex-M0, 256 KiB of flash, 16 KiB of RAM, no network",
        target: "thumbv6m-none-eabi",
        emulator: "qemu-system-arm",
        package: "qemu-system-arm",
        arguments: &["-M", "microbit"],
        network: None,
    },
    Board {
        name: "virt",
        description: "RISC-V, 32 bits, virtio network card",
        target: "riscv32imac-unknown-none-elf",
        emulator: "qemu-system-riscv32",
        package: "qemu-system-misc",
        arguments: &["-M", "virt", "-m", "16M", "-bios", "none"],
        network: Some(&[
            "-netdev",
            "user,id=net",
            "-device",
            "virtio-net-device,netdev=net",
        ]),
    },
];

impl Board {
    /// The board called `name`.
    #[must_use]
    pub fn find(name: &str) -> Option<&'static Self> {
        const { &BOARDS }.iter().find(|board| board.name == name)
    }

    /// Returns true if it has a network card. The host is 10.0.2.2 in its network.
    #[must_use]
    pub const fn has_network(&self) -> bool {
        self.network.is_some()
    }

    /// Checks that its emulator is installed here.
    ///
    /// # Errors
    ///
    /// Why it cannot be started.
    pub fn check_emulator(&self) -> std::io::Result<()> {
        let version = Command::new(self.emulator).arg("--version").output()?;
        match version.status.success() {
            true => Ok(()),
            false => Err(std::io::Error::other(version.status.to_string())),
        }
    }

    /// The emulator's command, for [`run`]. `image` finds `argument` as its command line. The
    /// serial line is the standard output; the exit code is the program's success.
    #[must_use]
    pub fn command(&self, image: &Path, argument: &str) -> Command {
        let mut command = Command::new(self.emulator);
        command
            .args(self.arguments)
            .args(self.network.unwrap_or(&["-nic", "none"]))
            .args(["-display", "none", "-monitor", "none", "-serial", "stdio"])
            .arg("-semihosting-config")
            .arg(format!("enable=on,target=native,arg={argument}"))
            .arg("-kernel")
            .arg(image)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }
}
