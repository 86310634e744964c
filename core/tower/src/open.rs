//! The span of one request, from its start to the end of the body.

use std::any::type_name;
use std::fmt::Display;

use http::header::{CONTENT_LENGTH, HeaderMap};
use http::{Response, StatusCode};
use spandrel_core::hosted::current::{self, Context, Guard};
use spandrel_core::hosted::trace::Span;

use crate::{grpc, url};

/// The side of a request that the span is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Server,
    Client,
}

/// A span that has not ended. What ends it without an answer is seen in its `Drop`.
#[derive(Debug)]
pub(crate) struct Open {
    span: Span,
    context: Context,
    side: Side,
    is_grpc: bool,
    /// An answer to HEAD has no body.
    is_head: bool,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    /// No answer has come.
    Waiting,
    /// The body is under way.
    Body {
        status: StatusCode,
        /// The bytes that are still to come, if that is known.
        left: Option<u64>,
    },
    Done,
}

impl Open {
    pub(crate) fn new(span: Span, side: Side, is_grpc: bool, is_head: bool) -> Self {
        Self {
            context: span.to_context(),
            span,
            side,
            is_grpc,
            is_head,
            phase: Phase::Waiting,
        }
    }

    pub(crate) const fn context(&self) -> &Context {
        &self.context
    }

    /// Makes the span current.
    pub(crate) fn enter(&self) -> Guard {
        current::attach(self.context.clone())
    }

    /// Notes the answer's head. Returns true if there is no body to wait for.
    pub(crate) fn answered<B: http_body::Body>(&mut self, answer: &Response<B>) -> bool {
        let status = answer.status();
        if self.side == Side::Client {
            if let Some(version) = url::protocol(answer.version()) {
                self.span.set_attribute("network.protocol.version", version);
            }
        }
        if !self.is_grpc {
            let code = status.as_u16();
            self.span
                .set_attribute("http.response.status_code", i64::from(code));
            let is_error = match self.side {
                Side::Server => code >= 500,
                Side::Client => code >= 400,
            };
            if is_error {
                self.span.set_attribute("error.type", status.as_str());
                self.span.set_error("");
            }
        }
        let length = answer.headers().get(CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse().ok());
        self.phase = Phase::Body {
            status,
            left: length.or_else(|| answer.body().size_hint().exact()),
        };
        // Trailers only: gRPC's way to answer without a body.
        let has_status = self.is_grpc && self.take_grpc_status(answer.headers());
        has_status || answer.body().is_end_stream() || self.has_no_body(status)
    }

    fn has_no_body(&self, status: StatusCode) -> bool {
        self.is_head
            || status.is_informational()
            || matches!(status.as_u16(), 204 | 304) && !self.is_grpc
    }

    /// Notes a piece of the body.
    pub(crate) fn passed(&mut self, bytes: usize) {
        if let Phase::Body {
            left: Some(left), ..
        } = &mut self.phase
        {
            *left = left.saturating_sub(u64::try_from(bytes).unwrap_or(u64::MAX));
        }
    }

    /// Notes the trailers.
    pub(crate) fn trailers(&mut self, trailers: &HeaderMap) {
        if self.is_grpc && self.take_grpc_status(trailers) {
            // Nothing comes behind them.
            self.phase = Phase::Done;
        }
    }

    fn take_grpc_status(&mut self, headers: &HeaderMap) -> bool {
        let Some((name, message)) = grpc::status(headers) else {
            return false;
        };
        self.set_grpc_status(name, message);
        true
    }

    fn set_grpc_status(&mut self, name: &'static str, message: &str) {
        self.is_grpc = false;
        self.span.set_attribute("rpc.response.status_code", name);
        if grpc::is_error(name, self.side == Side::Server) {
            self.span.set_attribute("error.type", name);
            self.span.set_error(message);
        }
    }

    /// Ends the span, because everything has been said.
    pub(crate) fn end(mut self) {
        self.note_missing_status();
        self.phase = Phase::Done;
    }

    /// Ends the span with an error of the service, of the client or of a body.
    pub(crate) fn fail<E: Display>(mut self, error: &E) {
        let name = type_name::<E>();
        // The type of a trait object says nothing.
        let name = match name.contains("dyn ") {
            true => "_OTHER",
            false => name,
        };
        self.set_own_grpc_status("UNKNOWN");
        self.span.set_attribute("error.type", name);
        self.span.fail(error);
        self.phase = Phase::Done;
    }

    /// A body of gRPC ended without a status.
    fn note_missing_status(&mut self) {
        if let (true, Phase::Body { status, .. }) = (self.is_grpc, &self.phase) {
            let name = grpc::without_status(*status);
            self.set_grpc_status(name, "");
        }
    }

    /// Sets the status of a call that got none.
    fn set_own_grpc_status(&mut self, name: &'static str) {
        if self.is_grpc {
            self.is_grpc = false;
            self.span.set_attribute("rpc.response.status_code", name);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        let reason = match &self.phase {
            Phase::Done => return,
            _ if std::thread::panicking() => Some(("panic", "panicked")),
            Phase::Waiting => Some(("cancelled", "cancelled")),
            // A call has its status at the end of the body, so whoever drops it gives up the call.
            Phase::Body { .. } if self.is_grpc => Some(("cancelled", "cancelled")),
            // Clients of HTTP/1 stop at the length, and do not ask for the end.
            Phase::Body { left: Some(0), .. } => None,
            Phase::Body { .. } if self.side == Side::Client => None,
            Phase::Body { .. } => Some(("cancelled", "cancelled")),
        };
        if let Some((reason, description)) = reason {
            self.set_own_grpc_status(match reason {
                "panic" => "UNKNOWN",
                _ => "CANCELLED",
            });
            self.span.set_attribute("error.type", reason);
            self.span.set_error(description);
        }
    }
}
