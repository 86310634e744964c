//! The names that nearly every program with its own driver needs, firmware included.
//!
//! An application with a transport needs the names that the transport re-exports instead.
//!
//! ```
//! use spandrel_core::prelude::*;
//! ```

pub use crate::attribute::{KeyValue, Value};
pub use crate::buffer::{Buffer, Overflow, PushError, RecordSink};
pub use crate::context::{Link, ParentContext, SpanContext, SpanKind, TraceFlags};
pub use crate::exporter::{Event, Exporter, ExporterConfig, FlushOutcome, FlushReport, Transmit};
pub use crate::id::{IdGenerator, RandomIdGenerator, SpanId, TraceId};
pub use crate::limits::SpanLimits;
pub use crate::resource::{InstrumentationScope, Registry, Resource, ScopeId};
pub use crate::response::{DropReason, Outcome, Response, TransportError};
pub use crate::sampler::{AlwaysOff, AlwaysOn, ParentBased, Sampler, TraceIdRatioBased};
pub use crate::span::{BareSpan, Status};
pub use crate::stats::Ledger;
pub use crate::time::{Instant, UnixNanos, WallClock};
pub use crate::tracer::{BareTracer, SpanBuilder};
