//! Messages from the host to the device, if there is a way back.

use super::deframe::Deframer;
use super::message::{Body, Message, VERSION};

/// Memory for one frame from the host.
const FRAME_BYTES: usize = 48;

/// One message from the host to the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Command {
    /// Every span whose number is below `next` has arrived.
    Ack {
        /// The boot that the number belongs to.
        boot: u32,
        /// The number of the span that is expected next.
        next: u64,
    },
    /// The host does not know the resource or a scope.
    Announce {
        /// The boot of the device that is asked.
        boot: u32,
    },
}

impl Command {
    /// The most bytes of a command's frame.
    pub const MAX_BYTES: usize = FRAME_BYTES;

    /// Returns the boot of the device that the command is for.
    #[must_use]
    pub const fn boot(&self) -> u32 {
        match self {
            Self::Ack { boot, .. } | Self::Announce { boot } => *boot,
        }
    }

    /// Writes the command's frame to the start of `target` and returns its length; `None` if it
    /// does not fit.
    #[must_use]
    pub fn encode(&self, target: &mut [u8]) -> Option<usize> {
        let message = Message {
            version: VERSION,
            boot: self.boot(),
            sequence: 0,
            now: 0,
            body: match *self {
                Self::Ack { next, .. } => Body::Ack { next },
                Self::Announce { .. } => Body::Announce,
            },
        };
        message.encode(None, target).map(|(len, _)| len)
    }

    fn decode(frame: &[u8]) -> Option<Self> {
        let message: Message<'_> = postcard::from_bytes(frame).ok()?;
        let boot = message.boot;
        match message.body {
            _ if message.version != VERSION => None,
            Body::Ack { next } => Some(Self::Ack { boot, next }),
            Body::Announce => Some(Self::Announce { boot }),
            _ => None,
        }
    }
}

/// Finds commands in the bytes that a device receives, and ignores everything else.
///
/// ```
/// use spandrel_core::link::{Command, CommandReader};
///
/// let command = Command::Ack { boot: 7, next: 12 };
/// let mut frame = [0; Command::MAX_BYTES];
/// let len = command.encode(&mut frame).expect("it fits");
///
/// let mut reader = CommandReader::new();
/// let found = frame[..len].iter().find_map(|&byte| reader.push(byte));
/// assert_eq!(found, Some(command));
/// ```
#[derive(Clone, Debug)]
pub struct CommandReader {
    frames: Deframer<[u8; FRAME_BYTES]>,
}

impl CommandReader {
    /// A reader at the start of the stream, or anywhere in it.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            frames: Deframer::new([0; FRAME_BYTES]),
        }
    }

    /// Takes one byte, and returns the command that it completes.
    pub fn push(&mut self, byte: u8) -> Option<Command> {
        let len = self.frames.push(byte)?.ok()?;
        Command::decode(self.frames.content(len))
    }
}

impl Default for CommandReader {
    fn default() -> Self {
        Self::new()
    }
}
