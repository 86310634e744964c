//! M1 to M4 as far as a real pipeline shows them: full buffers, odd sizes.

use spandrel_core::hosted::config::WhenFull;
use spandrel_core::response::DropReason;
use spandrel_tests::fault_server::{Reply, Script};

use crate::harness::{PATIENCE, Rig, ms, until};

#[test]
fn m1_what_does_not_fit_is_counted_exactly() {
    let rig = Rig::with(Script::new(), |config| {
        config.max_queue_size = Some(8);
        config.max_span_bytes = Some(512);
        config.shard_bytes = Some(2048);
        config.breaker.as_mut().unwrap().open =
            spandrel_core::breaker::OpenInterval::Fixed(std::time::Duration::from_secs(3600));
    });
    rig.server.available(false);
    rig.record(1);
    let _ = rig.telemetry.force_flush(ms(1));
    until("open", || rig.telemetry.stats().circuit_opened == 1);
    rig.record(500);
    let ledger = rig.telemetry.ledger();
    assert!(ledger.is_balanced(), "{ledger}");
    let (lost, held) = (ledger.dropped(DropReason::QueueFull), ledger.buffered);
    assert!(lost > 0 && held >= 8 && lost + held == 501, "{ledger}");
    rig.server.available(true);
    rig.close().is(held, &[(DropReason::QueueFull, lost)]);
}

#[test]
fn m1_dropping_the_oldest_keeps_the_newest() {
    let rig = Rig::with(Reply::Hang, |config| {
        config.when_full = WhenFull::DropOldest;
        config.max_queue_size = Some(4);
        config.max_export_batch_size = Some(1);
        config.timeout = Some(ms(150));
    });
    rig.record(1);
    let _ = rig.telemetry.force_flush(ms(1));
    assert!(rig.server.wait_for_requests(1, ms(5000)));
    rig.record(20);
    let newest = rig.tracer().start("newest");
    let key = newest.context().span_id().to_bytes();
    rig.end(newest);
    rig.server.set_default(Reply::Ok);
    let _ = rig.flush();
    let arrived = rig.server.oracle().acked();
    assert!(arrived.iter().any(|it| it.span == key));
    let end = rig.close();
    let lost = end.ledger.dropped(DropReason::QueueFull);
    end.is(
        22 - lost,
        &[(DropReason::QueueFull, lost)][..usize::from(lost > 0)],
    );
}

#[test]
fn m2_queues_of_any_size_deliver_everything_at_a_steady_pace() {
    for (queue, batch) in [(1, 1), (2, 1), (3, 3), (7, 5), (7, 100)] {
        let rig = Rig::with(Script::new(), |config| {
            config.max_queue_size = Some(queue);
            config.max_export_batch_size = Some(batch);
        });
        for _ in 0..5 {
            rig.deliver(usize::try_from(queue).unwrap());
        }
        let end = rig.close();
        end.is(u64::from(queue) * 5, &[]);
        let largest = end
            .server
            .requests()
            .iter()
            .map(|it| it.spans().count())
            .max();
        assert!(largest.unwrap() <= batch.min(queue) as usize);
    }
}

#[test]
fn m3_a_span_beyond_all_limits_arrives_with_what_fits() {
    let rig = Rig::with(Script::new(), |config| config.max_span_bytes = Some(2048));
    let mut span = rig.tracer().start("huge");
    span.set_attribute("first", "kept");
    let text = "x".repeat(65_536);
    for number in 0..200 {
        span.set_attribute(&format!("attribute.{number}"), text.as_str());
        span.add_event("event", &[]);
    }
    rig.end(span);
    rig.record(1);
    assert!(rig.flush().is_success());
    let requests = rig.server.requests();
    let huge = requests[0].spans().next().unwrap();
    assert_eq!(huge.attributes[0].key, "first");
    let attributes = u32::try_from(huge.attributes.len()).unwrap();
    assert_eq!(attributes + huge.dropped_attributes_count, 201);
    let events = u32::try_from(huge.events.len()).unwrap();
    assert_eq!(events + huge.dropped_events_count, 200);
    rig.close().is(2, &[]);
}

#[test]
fn m4_no_request_is_larger_than_the_limit() {
    const LIMIT: usize = 8192;
    let rig = Rig::with(Script::new(), |config| {
        config.max_span_bytes = Some(2048);
        config.max_request_bytes = Some(LIMIT);
    });
    let text = "x".repeat(700);
    for _ in 0..60 {
        let mut span = rig.tracer().start("large");
        span.set_attribute("text", text.as_str());
        rig.end(span);
    }
    assert!(rig.flush().is_success());
    let end = rig.close();
    end.is(60, &[]);
    let sizes: Vec<_> = end
        .server
        .requests()
        .iter()
        .map(|request| request.decoded().unwrap().len())
        .collect();
    assert!(sizes.iter().all(|size| *size <= LIMIT), "{sizes:?}");
    assert!(sizes.len() <= 9, "{sizes:?}");
}

/// The advice for a burst, as the documents give it: with the defaults much of it is lost; a pause
/// while many spans wait, or a large enough shard, lets everything arrive.
#[test]
fn x6_a_burst_arrives_whole_with_a_pause_or_a_large_shard() {
    const SPANS: u64 = 30_000;
    let rig = |shard_bytes| {
        Rig::with(Script::new(), |config| {
            config.shard_bytes = Some(shard_bytes);
            config.max_span_bytes = Some(1024);
            config.timeout = Some(PATIENCE);
        })
    };
    let burst = |rig: &Rig, pause: bool| {
        let tracer = rig.tracer();
        for number in 0..SPANS {
            while pause && number % 64 == 0 && rig.telemetry.ledger().buffered > 1000 {
                std::thread::sleep(ms(1));
            }
            tracer.start("burst").end();
        }
        let report = rig.telemetry.shutdown(PATIENCE);
        assert_eq!(report.is_success(), report.lost == 0, "{report}");
        report.lost
    };
    assert!(burst(&rig(4 << 10), false) > 0);
    assert_eq!(burst(&rig(256 << 10), true), 0);
    assert_eq!(burst(&rig(8 << 20), false), 0);
}
