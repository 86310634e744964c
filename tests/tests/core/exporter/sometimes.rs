//! A green run in which nothing interesting happened is a failed run.

use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::TestRunner;
use spandrel_testkit::strategies::exporter::schedules;
use spandrel_tests::models::coverage::Coverage;

#[test]
fn sometimes_everything_that_can_happen_to_an_exporter_happens() {
    let mut runner = TestRunner::deterministic();
    let mut seen = Coverage::default();
    for _ in 0..1_000 {
        let schedule = schedules().new_tree(&mut runner).expect("a life").current();
        let (sim, _) = schedule.run();
        seen.add(sim.seen());
    }
    assert_eq!(seen.missing(), [""; 0], "{seen:?}");
    // Three that the ledger names `retry_exhausted` instead, the sender's own reason, and the hosts'.
    let unused = [
        "throttled",
        "unavailable",
        "unreachable",
        "out_of_memory",
        "filtered",
        "tail_dropped",
    ];
    assert_eq!(seen.missing_reasons(), unused, "{seen:?}");
}
