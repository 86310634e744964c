//! The attribute `instrument`, on functions of every kind.

mod errors;
mod futures;
mod placed;
mod values;

use std::fmt::{self, Display};

use spandrel_core::hosted::current::{self, Context};
use spandrel_core::hosted::testing::Capture;
use spandrel_core::hosted::trace::Tracer;
use spandrel_core::instrument;

/// What goes wrong here.
#[derive(Debug, PartialEq)]
pub(crate) struct Broken(pub(crate) u8);

impl Display for Broken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "broken by {}", self.0)
    }
}

impl std::error::Error for Broken {}

/// Runs `work` with a tracer, and compares the tree of what was recorded.
#[track_caller]
pub(crate) fn traced(work: impl FnOnce(&Tracer), tree: &str) {
    let capture = Capture::new();
    work(&capture.tracer("test"));
    assert_eq!(capture.counts().live, 0);
    capture.spans().assert_tree(tree);
}

#[instrument(tracer = tracer)]
fn plain(tracer: &Tracer) {
    let _ = tracer;
}

#[instrument(tracer = tracer)]
fn outer(tracer: &Tracer, early: bool) -> u8 {
    plain(tracer);
    if early {
        return 1;
    }
    plain(tracer);
    2
}

#[test]
fn calls_nest_and_a_return_ends_the_span() {
    traced(
        |tracer| {
            assert_eq!((outer(tracer, true), outer(tracer, false)), (1, 2));
            assert!(current::current().is_none());
        },
        "
        outer early=true
        └─ plain
        outer early=false
        ├─ plain
        └─ plain
        ",
    );
}

#[instrument(tracer = tracer, name = "stock.count", kind = Client)]
fn named(tracer: &Tracer) {
    let _ = tracer;
}

#[instrument(tracer = tracer, name = format!("count {item}"), kind = "server", skip(item))]
fn named_by_argument(tracer: &Tracer, item: &str) {
    let _ = (tracer, item);
}

#[test]
fn name_and_kind_are_what_the_attribute_says() {
    traced(
        |tracer| {
            named(tracer);
            named_by_argument(tracer, "soup");
        },
        "
        stock.count (client)
        count soup (server)
        ",
    );
}

#[instrument(tracer = tracer, parent = parent)]
fn under(tracer: &Tracer, parent: &Context) {
    let _ = (tracer, parent);
}

#[instrument(tracer = tracer, root)]
fn alone(tracer: &Tracer) {
    let _ = tracer;
}

#[test]
fn a_parent_or_none_is_given() {
    traced(
        |tracer| {
            let first = tracer.start("first");
            tracer.start("second").in_scope(|_| {
                under(tracer, &first.to_context());
                alone(tracer);
            });
        },
        "
        first
        └─ under
        second
        alone
        ",
    );
}

struct Shelf {
    tracer: Tracer,
    items: Vec<u32>,
}

impl Shelf {
    #[instrument(tracer = self.tracer, err)]
    fn first_mut(&mut self) -> Result<&mut u32, Broken> {
        self.items.first_mut().ok_or(Broken(1))
    }

    #[instrument(tracer = self.tracer)]
    fn longest<'a>(&'a self, other: &'a [u32]) -> &'a [u32] {
        if other.len() > self.items.len() {
            return other;
        }
        &self.items
    }

    #[instrument(tracer = self.tracer, err, skip_all)]
    fn emptied(mut self: Box<Self>, into: Vec<u32>) -> Result<Vec<u32>, Broken> {
        let mut into = into;
        into.append(&mut self.items);
        Ok(into)
    }

    #[instrument(tracer = tracer)]
    pub(crate) fn new(tracer: &Tracer) -> Self {
        Self {
            tracer: tracer.clone(),
            items: Vec::new(),
        }
    }
}

#[test]
fn methods_may_take_self_in_any_way_and_return_references() {
    traced(
        |tracer| {
            let mut shelf = Shelf::new(tracer);
            assert_eq!(shelf.first_mut(), Err(Broken(1)));
            shelf.items.push(3);
            *shelf.first_mut().unwrap() += 1;
            assert_eq!(shelf.longest(&[7, 8]), [7, 8]);
            assert_eq!(Box::new(shelf).emptied(vec![1]), Ok(vec![1, 4]));
        },
        r#"
        new
        first_mut ✗ broken by 1
        └─ ◆ exception exception.type="hosted::instrument::Broken" exception.message="broken by 1"
        first_mut
        longest other="[7, 8]"
        emptied
        "#,
    );
}

#[instrument(tracer = tracer, err, skip(values))]
fn generic<'a, T, const N: usize>(
    tracer: &'a Tracer,
    values: [&'a T; N],
    shown: impl Display + fmt::Debug,
) -> Result<impl Iterator<Item = &'a T>, Broken>
where
    T: PartialOrd,
{
    let _ = (tracer, shown);
    Ok(values.into_iter())
}

#[instrument(tracer = tracer)]
fn lazily(tracer: &Tracer, most: usize) -> impl Iterator<Item = usize> + use<> {
    let _ = tracer;
    (0..most).map(|n| n * 2)
}

#[test]
fn functions_may_be_generic_and_return_what_has_no_name() {
    traced(
        |tracer| {
            let sum: i32 = generic(tracer, [&1, &2], "text").unwrap().sum();
            assert_eq!(sum, 3);
            assert_eq!(lazily(tracer, 3).sum::<usize>(), 6);
        },
        r#"
        generic shown="\"text\""
        lazily most=3
        "#,
    );
}

#[test]
fn a_panic_ends_the_span_as_an_error() {
    #[instrument(tracer = tracer)]
    fn panicking(tracer: &Tracer) {
        let _ = tracer;
        panic!("boom");
    }
    traced(
        |tracer| {
            let work = std::panic::AssertUnwindSafe(|| panicking(tracer));
            assert!(std::panic::catch_unwind(work).is_err());
            assert!(current::current().is_none());
        },
        "panicking ✗ panicked",
    );
}

/// Of the process, and named like the package. Nothing has called `init` for it here.
#[instrument]
fn of_the_process(n: u8) -> u8 {
    n + 1
}

#[instrument(crate = spandrel_transport_std::spandrel_core)]
fn by_another_path() -> u8 {
    1
}

#[test]
fn without_a_tracer_it_is_the_one_of_the_process() {
    assert_eq!(of_the_process(1) + by_another_path(), 3);
}
