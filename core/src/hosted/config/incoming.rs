//! What a service makes of the context that comes with a request.

/// What becomes of the caller's context.
///
/// <https://www.w3.org/TR/trace-context-2/#other-risks>
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Incoming {
    /// The span of the request belongs to the caller's trace.
    #[default]
    Continue,
    /// The span of the request starts a new trace, with a link to the caller's span. So a caller
    /// cannot decide what is sampled here, and both sides still find each other. Baggage is kept.
    Link,
    /// Nothing of it is read, baggage included.
    Ignore,
}
