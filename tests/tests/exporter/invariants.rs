//! Random lives.

use proptest::prelude::*;
use spandrel_tests::sim::schedule::schedules;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10000))]

    #[test]
    fn i1_the_ledger_is_balanced_after_every_step_and_closed_at_the_end(schedule in schedules()) {
        let (sim, report) = schedule.run();
        prop_assert_eq!(report.left, 0);
        prop_assert!(sim.ledger().is_closed());
    }
}
