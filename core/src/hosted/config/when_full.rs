//! What happens to a span that finds no room.

use core::time::Duration;

use crate::buffer::Overflow;

/// The rule for a span that ends when there is no room for it: the collector is away, or spans end
/// faster than they are sent.
///
/// ```
/// use core::time::Duration;
/// use spandrel_core::hosted::config::{Config, WhenFull};
///
/// // For a command-line tool, a job or an import, which may rather be slow than lose spans.
/// let config = Config {
///     when_full: WhenFull::Wait(Duration::from_secs(5)),
///     ..Config::development("import")
/// };
/// assert_eq!(config.resolve()?.when_full, WhenFull::Wait(Duration::from_secs(5)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Waiting
///
/// With [`Wait`](Self::Wait) the thread that ends a span waits until the sender has made room, in sum no
/// longer than the duration for each span. Then the span is dropped and counted as
/// [`QueueFull`](crate::response::DropReason::QueueFull). Memory stays as it is. It waits for the first
/// destination only: what a further one has no room for is dropped there.
///
/// Nothing waits where that might keep the sender from making room, or would not help: on the sender's
/// own threads, in a handler of [diagnostics](crate::hosted::diagnostics) or a logger that handles one,
/// where spans are [suppressed](crate::hosted::current::suppress), while a panic unwinds the thread, after
/// the shutdown, and in a forked child. What finds no room there is dropped at once.
///
/// A thread of an async runtime must not wait, because the sender may be a task that needs it. The async
/// transport therefore refuses the setting, and has `Telemetry::room` to await instead. A program that
/// holds a lock of its own while it ends a span makes others wait with it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The new span is dropped. This is the rule of the
    /// [specification](https://opentelemetry.io/docs/specs/otel/trace/sdk/#batching-processor), and it
    /// keeps the start of an incident.
    #[default]
    DropNewest,
    /// The oldest spans that are not being sent make room. Spans that fill the memory of their thread
    /// before the sender comes are dropped as with [`DropNewest`](Self::DropNewest).
    DropOldest,
    /// The thread [waits](#waiting) for room, this long at most for each span.
    Wait(Duration),
}

impl WhenFull {
    /// The rule of the sender's buffer.
    #[must_use]
    pub const fn overflow(self) -> Overflow {
        match self {
            Self::DropOldest => Overflow::DropOldest,
            Self::DropNewest | Self::Wait(_) => Overflow::DropNewest,
        }
    }

    /// How long a span may wait; zero if it does not.
    #[must_use]
    pub const fn patience(self) -> Duration {
        match self {
            Self::Wait(duration) => duration,
            Self::DropNewest | Self::DropOldest => Duration::ZERO,
        }
    }
}
