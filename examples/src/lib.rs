//! What the examples and the tests share.
//!
//! - [`collector`]: an OTLP/HTTP collector in this process, which remembers what it got and can
//!   be told to fail;
//! - [`mod@waterfall`]: traces as text, a bar for each span on a common time axis;
//! - [`ledger`]: the loss equation as a table.

pub mod collector;
pub mod ledger;
pub mod waterfall;

pub use collector::{Collector, ReceivedRequest, ReceivedSpan};
pub use ledger::Ledger;
pub use waterfall::waterfall;
