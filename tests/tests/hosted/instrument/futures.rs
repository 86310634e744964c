//! Functions that are futures, or return some.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use spandrel_core::hosted::current;
use spandrel_core::hosted::testing::Capture;
use spandrel_core::hosted::trace::Tracer;
use spandrel_core::instrument;

use super::{Broken, traced};

pub(crate) fn poll<F: Future>(future: Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

#[track_caller]
pub(crate) fn now<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    for _ in 0..10 {
        if let Poll::Ready(output) = poll(future.as_mut()) {
            return output;
        }
    }
    panic!("it waits");
}

/// Waits for the second poll.
async fn a_moment() {
    let mut polled = false;
    std::future::poll_fn(|_| match std::mem::replace(&mut polled, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}

#[instrument(tracer = tracer)]
async fn inner(tracer: &Tracer, n: u8) -> u8 {
    let _ = tracer;
    a_moment().await;
    n
}

#[instrument(tracer = tracer)]
async fn outer(tracer: &Tracer) -> impl std::fmt::Display {
    inner(tracer, 1).await + inner(tracer, 2).await
}

#[test]
fn futures_nest_and_nothing_is_current_between_their_polls() {
    traced(
        |tracer| {
            let (mut a, mut b) = (pin!(outer(tracer)), pin!(inner(tracer, 7)));
            assert!(poll(a.as_mut()).is_pending());
            assert!(current::current().is_none());
            // Another task of the same thread, between two polls of the first.
            assert!(poll(b.as_mut()).is_pending() && poll(b).is_ready());
            assert_eq!(now(a).to_string(), "3");
        },
        "
        outer
        ├─ inner n=1
        └─ inner n=2
        inner n=7
        ",
    );
}

#[test]
fn a_future_that_is_dropped_ends_its_span_and_one_that_is_not_polled_has_none() {
    #[instrument(tracer = tracer)]
    async fn waiting(tracer: &Tracer) {
        let _ = tracer;
        pending::<()>().await;
    }
    let capture = Capture::new();
    let tracer = capture.tracer("test");
    drop(waiting(&tracer));
    assert_eq!(capture.spans().len(), 0);
    {
        let mut future = pin!(waiting(&tracer));
        assert!(poll(future.as_mut()).is_pending());
        assert_eq!(capture.counts().live, 1);
    }
    capture.spans().assert_tree("waiting");
}

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// As `async_trait` makes them, and as the language has them.
trait Stock {
    fn boxed<'a>(&'a self, tracer: &'a Tracer, item: &'a str) -> Boxed<'a, Result<u8, Broken>>;

    async fn native(&self, tracer: &Tracer) -> u8;

    fn returned(&self, tracer: Tracer) -> impl Future<Output = u8> + Send;
}

struct Shelf(u8);

impl Stock for Shelf {
    #[instrument(tracer = tracer, err)]
    fn boxed<'a>(&'a self, tracer: &'a Tracer, item: &'a str) -> Boxed<'a, Result<u8, Broken>> {
        Box::pin(async move {
            a_moment().await;
            match item {
                "soup" => Ok(self.0 + inner(tracer, 1).await),
                _ => Err(Broken(5)),
            }
        })
    }

    #[instrument(tracer = tracer)]
    async fn native(&self, tracer: &Tracer) -> u8 {
        inner(tracer, self.0).await
    }

    #[instrument(tracer = tracer)]
    fn returned(&self, tracer: Tracer) -> impl Future<Output = u8> + Send {
        let n = self.0;
        async move { inner(&tracer, n).await }
    }
}

#[test]
fn methods_of_traits_are_traced_until_their_futures_end() {
    fn sent<T: Send>(it: T) -> T {
        it
    }
    traced(
        |tracer| {
            let shelf = Shelf(2);
            assert_eq!(now(sent(shelf.boxed(tracer, "soup"))), Ok(3));
            assert_eq!(now(sent(shelf.boxed(tracer, "ice"))), Err(Broken(5)));
            assert_eq!(now(shelf.native(tracer)), 2);
            assert_eq!(now(sent(shelf.returned(tracer.clone()))), 2);
        },
        r#"
        boxed item="soup"
        └─ inner n=1
        boxed item="ice" ✗ broken by 5
        └─ ◆ exception exception.type="hosted::instrument::Broken" exception.message="broken by 5"
        native
        └─ inner n=2
        returned
        └─ inner n=2
        "#,
    );
}
