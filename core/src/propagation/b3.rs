//! The headers of [B3], which Zipkin and older service meshes use.
//!
//! [B3]: https://github.com/openzipkin/b3-propagation

use core::fmt;

use heapless::String;

use super::{Extracted, Getter, Setter, TextMapPropagator};
use crate::context::{ParentContext, SpanContext, TraceFlags, TraceState};
use crate::id::{SpanId, TraceId, hex_digit};

/// The name of the [single header](https://github.com/openzipkin/b3-propagation#single-header).
pub const B3: &str = "b3";
/// The name of the header with the trace id, one of the [multiple
/// headers](https://github.com/openzipkin/b3-propagation#multiple-headers).
pub const X_B3_TRACE_ID: &str = "X-B3-TraceId";
/// The name of the header with the span id.
pub const X_B3_SPAN_ID: &str = "X-B3-SpanId";
/// The name of the header with the sampling decision, `1` or `0`.
pub const X_B3_SAMPLED: &str = "X-B3-Sampled";
/// The name of the header whose `1` asks for debugging.
pub const X_B3_FLAGS: &str = "X-B3-Flags";

/// The length of `{32}-{16}-1`.
const MAX_WRITTEN: usize = 51;

/// The reason why a text is not a value of the header `b3`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum B3Error {
    /// The trace id is not 16 or 32 lower-case hexadecimal digits, or zero.
    TraceId,
    /// The span id is missing, is not 16 lower-case hexadecimal digits, or zero.
    SpanId,
    /// The sampling state is not `1`, `0` or `d`.
    Sampling,
    /// The parent's id is not 16 lower-case hexadecimal digits, or there is text behind it.
    Trailing,
}

impl fmt::Display for B3Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TraceId => "invalid trace id in b3",
            Self::SpanId => "invalid span id in b3",
            Self::Sampling => "invalid sampling state in b3",
            Self::Trailing => "unexpected text at the end of b3",
        })
    }
}

impl core::error::Error for B3Error {}

/// The sampling state of a [B3 context](https://github.com/openzipkin/b3-propagation#sampling-state-1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum B3Sampling {
    /// The caller leaves the decision to this process. The span context has no sampled flag, so a
    /// parent-based sampler does not record.
    #[default]
    Defer,
    /// Not sampled.
    Deny,
    /// Sampled.
    Accept,
    /// Sampled, whatever a sampler says, and in each service that follows.
    Debug,
}

impl B3Sampling {
    const fn flags(self) -> TraceFlags {
        TraceFlags::NONE.with_sampled(matches!(self, Self::Accept | Self::Debug))
    }
}

/// The context of a request that came with headers of B3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct B3Context {
    /// The remote span; [`SpanContext::INVALID`] if only a sampling state came. A trace id of 64 bits
    /// has zeros in front.
    pub span_context: SpanContext,
    /// The sampling state.
    pub sampling: B3Sampling,
}

impl B3Context {
    const fn new(ids: Option<(TraceId, SpanId)>, sampling: B3Sampling) -> Self {
        let span_context = match ids {
            Some((trace_id, span_id)) => SpanContext::remote(trace_id, span_id, sampling.flags()),
            None => SpanContext::INVALID,
        };
        Self {
            span_context,
            sampling,
        }
    }
}

/// Reads a value of the [single header](https://github.com/openzipkin/b3-propagation#single-header):
/// `{trace id}-{span id}`, with a sampling state and the parent's id behind it or not, or a sampling
/// state alone.
///
/// Spaces and tabs around it are not accepted. At most 69 bytes are read.
///
/// # Errors
///
/// The value is not valid. Treat it as absent.
pub fn parse_b3(value: impl AsRef<[u8]>) -> Result<B3Context, B3Error> {
    let value = value.as_ref();
    if let [state] = value {
        return Ok(B3Context::new(None, sampling(*state)?));
    }
    let (trace_id, rest) = match value.get(16) {
        Some(b'-') => value.split_at(16),
        _ => value.split_at_checked(32).ok_or(B3Error::TraceId)?,
    };
    let trace_id = parse_trace_id(trace_id).ok_or(B3Error::TraceId)?;
    let (span_id, rest) = field(rest).ok_or(B3Error::SpanId)?;
    let span_id = parse_span_id(span_id).ok_or(B3Error::SpanId)?;
    let ids = Some((trace_id, span_id));
    let (state, rest) = match rest {
        [] => return Ok(B3Context::new(ids, B3Sampling::Defer)),
        [b'-', state, rest @ ..] => (sampling(*state)?, rest),
        _ => return Err(B3Error::Sampling),
    };
    if !rest.is_empty() {
        // The parent's id is not used, but what is no id makes the header invalid.
        let parent = field(rest).filter(|(_, behind)| behind.is_empty());
        parent
            .and_then(|(id, _)| parse_hex::<8>(id))
            .ok_or(B3Error::Trailing)?;
    }
    Ok(B3Context::new(ids, state))
}

/// A hyphen and 16 bytes, and the bytes behind them.
fn field(text: &[u8]) -> Option<(&[u8], &[u8])> {
    text.strip_prefix(b"-")?.split_at_checked(16)
}

const fn sampling(state: u8) -> Result<B3Sampling, B3Error> {
    match state {
        b'0' => Ok(B3Sampling::Deny),
        b'1' => Ok(B3Sampling::Accept),
        b'd' => Ok(B3Sampling::Debug),
        _ => Err(B3Error::Sampling),
    }
}

fn parse_trace_id(text: &[u8]) -> Option<TraceId> {
    let bytes = match text.len() {
        16 => {
            let mut bytes = [0; 16];
            bytes[8..].copy_from_slice(&parse_hex::<8>(text)?);
            bytes
        }
        _ => parse_hex(text)?,
    };
    Some(TraceId::from_bytes(bytes)).filter(|id| id.is_valid())
}

fn parse_span_id(text: &[u8]) -> Option<SpanId> {
    let id = SpanId::from_bytes(parse_hex(text)?);
    id.is_valid().then_some(id)
}

/// Lower-case hexadecimal digits, two for each of the `N` bytes.
fn parse_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != 2 * N {
        return None;
    }
    let digit = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let &[high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

/// The value of a [single header](https://github.com/openzipkin/b3-propagation#single-header) for
/// `context`, with `d` in place of its decision if `debug`. `None` if the context is not valid.
#[must_use]
pub fn format_b3(context: &SpanContext, debug: bool) -> Option<B3Header> {
    if !context.is_valid() {
        return None;
    }
    let mut header = B3Header(String::new());
    header.push_hex(context.trace_id().as_bytes());
    header.push(b'-');
    header.push_hex(context.span_id().as_bytes());
    header.push(b'-');
    header.push(match (debug, context.is_sampled()) {
        (true, _) => b'd',
        (false, true) => b'1',
        (false, false) => b'0',
    });
    Some(header)
}

/// A value of the header `b3`, or of one of the multiple ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct B3Header(String<MAX_WRITTEN>);

#[cfg(feature = "defmt")]
impl defmt::Format for B3Header {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "B3Header({=str:?})", self.as_str());
    }
}

impl B3Header {
    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    fn of(bytes: &[u8]) -> Self {
        let mut header = Self(String::new());
        header.push_hex(bytes);
        header
    }

    fn push_hex(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.push(hex_digit(byte >> 4));
            self.push(hex_digit(byte & 0xf));
        }
    }

    fn push(&mut self, byte: u8) {
        // There is room for the longest.
        let _ = self.0.push(char::from(byte));
    }
}

/// B3, in the single header or in multiple ones.
///
/// It reads both, whichever it writes; a single header that is valid wins. Ids of traces are written
/// with 128 bits. The span's parent is never written, and `tracestate` is another propagator's. A
/// sampling state without ids is nothing to continue, so nothing is extracted; [`read`](Self::read)
/// gives it.
///
/// <https://opentelemetry.io/docs/specs/otel/context/api-propagators/#b3-requirements>
///
/// ```
/// use spandrel_core::propagation::{B3Propagator, TextMapPropagator};
///
/// let request = [("X-B3-TraceId", "e457b5a2e4d86bd1"), ("X-B3-SpanId", "05e3ac9a4f6e3b90")];
/// let caller = B3Propagator::SINGLE.extract(&request).expect("a caller");
/// let mut sent = String::new();
/// B3Propagator::SINGLE.inject(&caller, &mut |_: &str, value: &str| sent.push_str(value));
/// assert_eq!(sent, "0000000000000000e457b5a2e4d86bd1-05e3ac9a4f6e3b90-0");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct B3Propagator {
    multi: bool,
}

impl B3Propagator {
    /// Writes the single header.
    pub const SINGLE: Self = Self { multi: false };
    /// Writes the multiple headers.
    pub const MULTI: Self = Self { multi: true };

    /// Sets the fields for `context`, a span or its context. Sets none if it is not valid.
    pub fn inject<'a>(&self, context: impl Into<ParentContext<'a>>, carrier: &mut dyn Setter) {
        TextMapPropagator::inject(self, context.into(), carrier);
    }

    /// Sets the fields for `context`. With `debug` they ask for debugging, as the headers of the
    /// caller did.
    pub fn inject_with(&self, context: &SpanContext, debug: bool, carrier: &mut dyn Setter) {
        if !self.multi {
            if let Some(header) = format_b3(context, debug) {
                carrier.set(B3, header.as_str());
            }
            return;
        }
        if !context.is_valid() {
            return;
        }
        let trace_id = B3Header::of(context.trace_id().as_bytes());
        carrier.set(X_B3_TRACE_ID, trace_id.as_str());
        let span_id = B3Header::of(context.span_id().as_bytes());
        carrier.set(X_B3_SPAN_ID, span_id.as_str());
        // Debugging implies the decision, which is not sent then.
        match (debug, context.is_sampled()) {
            (true, _) => carrier.set(X_B3_FLAGS, "1"),
            (false, true) => carrier.set(X_B3_SAMPLED, "1"),
            (false, false) => carrier.set(X_B3_SAMPLED, "0"),
        }
    }

    /// Reads the headers of both kinds. `None` if there is nothing valid.
    pub fn read(&self, carrier: &dyn Getter) -> Option<B3Context> {
        let single = carrier.get(B3).and_then(|value| parse_b3(value).ok());
        single.or_else(|| read_multi(carrier))
    }
}

impl Default for B3Propagator {
    fn default() -> Self {
        Self::SINGLE
    }
}

fn read_multi(carrier: &dyn Getter) -> Option<B3Context> {
    let sampling = match (carrier.get(X_B3_FLAGS), carrier.get(X_B3_SAMPLED)) {
        (Some("1"), _) => B3Sampling::Debug,
        // Older libraries write words.
        (_, Some("1" | "true")) => B3Sampling::Accept,
        (_, Some("0" | "false")) => B3Sampling::Deny,
        (_, Some(_)) => return None,
        (_, None) => B3Sampling::Defer,
    };
    let Some(trace_id) = carrier.get(X_B3_TRACE_ID) else {
        let decides = sampling != B3Sampling::Defer;
        return decides.then_some(B3Context::new(None, sampling));
    };
    let trace_id = parse_trace_id(trace_id.as_bytes())?;
    let span_id = parse_span_id(carrier.get(X_B3_SPAN_ID)?.as_bytes())?;
    Some(B3Context::new(Some((trace_id, span_id)), sampling))
}

impl TextMapPropagator for B3Propagator {
    fn inject(&self, context: ParentContext<'_>, carrier: &mut dyn Setter) {
        self.inject_with(&context.span_context, false, carrier);
    }

    fn extract(&self, carrier: &dyn Getter) -> Option<Extracted> {
        let found = self.read(carrier)?.span_context;
        found.is_valid().then_some(Extracted {
            span_context: found,
            trace_state: TraceState::new(),
        })
    }

    fn fields(&self, visit: &mut dyn FnMut(&'static str)) {
        match self.multi {
            false => visit(B3),
            true => [X_B3_TRACE_ID, X_B3_SPAN_ID, X_B3_SAMPLED, X_B3_FLAGS]
                .into_iter()
                .for_each(visit),
        }
    }
}
