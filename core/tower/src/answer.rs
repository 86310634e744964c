//! The future of an answer.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use http::Response;
use http_body::Body;
use pin_project_lite::pin_project;

use crate::body::TracedBody;
use crate::open::Open;

pin_project! {
    /// The future of a layer's service: the inner one, with its span current in each poll.
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct TracedFuture<F> {
        #[pin]
        inner: F,
        open: Option<Open>,
    }
}

impl<F> TracedFuture<F> {
    pub(crate) const fn new(inner: F, open: Open) -> Self {
        Self {
            inner,
            open: Some(open),
        }
    }
}

impl<F, B, E> Future for TracedFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body,
    E: Display,
{
    type Output = Result<Response<TracedBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let polled = with_current(this.open, || this.inner.poll(task));
        let answer = ready!(polled);
        let mut open = this.open.take();
        Poll::Ready(match answer {
            Ok(answer) => {
                if open.as_mut().is_some_and(|open| open.answered(&answer)) {
                    open.take().into_iter().for_each(Open::end);
                }
                Ok(answer.map(|body| TracedBody::new(body, open)))
            }
            Err(error) => {
                open.into_iter().for_each(|open| open.fail(&error));
                Err(error)
            }
        })
    }
}

/// Runs `work` with the span current. A panic ends the span at once: whoever catches it may keep the
/// future or the body.
pub(crate) fn with_current<T>(open: &mut Option<Open>, work: impl FnOnce() -> T) -> T {
    struct Watch<'a>(&'a mut Option<Open>);
    impl Drop for Watch<'_> {
        fn drop(&mut self) {
            if std::thread::panicking() {
                *self.0 = None;
            }
        }
    }
    let _current = open.as_ref().map(Open::enter);
    let _watch = Watch(open);
    work()
}
