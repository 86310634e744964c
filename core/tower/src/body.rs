//! The body of an answer, at whose end its span ends.

use std::fmt::Display;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use bytes::Buf as _;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::answer::with_current;
use crate::open::Open;

pin_project! {
    /// The body of an answer: the inner one, with its span current in each poll until it ends.
    #[derive(Debug)]
    pub struct TracedBody<B> {
        #[pin]
        inner: B,
        open: Option<Open>,
    }
}

impl<B> TracedBody<B> {
    pub(crate) const fn new(inner: B, open: Option<Open>) -> Self {
        Self { inner, open }
    }
}

/// An empty body without a span.
impl<B: Default> Default for TracedBody<B> {
    fn default() -> Self {
        Self::new(B::default(), None)
    }
}

impl<B> Body for TracedBody<B>
where
    B: Body,
    B::Error: Display,
{
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        task: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        let polled = with_current(this.open, || this.inner.as_mut().poll_frame(task));
        let frame = ready!(polled);
        let mut has_ended = false;
        if let Some(open) = this.open {
            match &frame {
                None => has_ended = true,
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        open.passed(data.remaining());
                    }
                    if let Some(trailers) = frame.trailers_ref() {
                        open.trailers(trailers);
                    }
                    // Whoever is told that this was the end does not ask again.
                    has_ended = this.inner.is_end_stream();
                }
                Some(Err(error)) => {
                    this.open
                        .take()
                        .into_iter()
                        .for_each(|open| open.fail(error));
                }
            }
        }
        if has_ended {
            this.open.take().into_iter().for_each(Open::end);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
