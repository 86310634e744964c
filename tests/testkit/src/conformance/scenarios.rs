//! The rules.

use std::time::{Duration, Instant};

use spandrel_core::response::MAX_RESPONSE_BYTES;

use super::stage::{Act, LATE, Stage};
use super::{Scenario, Settings};
use crate::fault_server::{FaultServer, Reply, Script};

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

const FOREVER: Duration = Duration::from_secs(3600);
/// A bound on flush and shutdown that a request without an answer must not break.
const SHORT: Duration = ms(300);
const LONG: Duration = Duration::from_secs(5);
/// What the kernel's buffers may take beyond what a transport reads.
const SOCKET_BYTES: u64 = 12 << 20;

macro_rules! scenarios {
    ($($name:ident: $rule:literal;)*) => {
        /// All rules, simple ones first.
        pub const SCENARIOS: &[Scenario] = &[
            $(Scenario { name: stringify!($name), rule: $rule, play: $name },)*
        ];
    };
}

scenarios! {
    sends_otlp: "a request is a POST of OTLP in protobuf to /v1/traces";
    delivers_once: "after a 2xx nothing is sent again";
    retries_429: "a batch is repeated after a 429, with a pause";
    retries_502: "a batch is repeated after a 502, with a pause";
    retries_503: "a batch is repeated after a 503, with a pause";
    retries_504: "a batch is repeated after a 504, with a pause";
    obeys_retry_after: "a Retry-After is waited for";
    drops_other_4xx: "another 4xx drops the batch, once and counted";
    drops_other_5xx: "another 5xx drops the batch, once and counted";
    drops_413: "a batch that is too large for the collector is not repeated as it is";
    counts_partial_success: "spans that a 2xx rejects are dropped and counted";
    follows_no_redirect: "a redirect is an error: no other server gets the spans";
    survives_no_connection: "a batch waits for a collector that is not there yet";
    survives_reset_in_request: "a batch is repeated after a reset within the request";
    survives_reset_before_answer: "a batch is repeated after a reset before the answer";
    survives_reset_in_answer: "a batch is repeated after a reset within the answer";
    ends_hang: "a request without an answer ends with its time limit";
    ends_trickle: "an answer that trickles does not outlive the time limit";
    bounds_answer: "an answer without an end is read in part only";
    flush_delivers: "a flush sends at once what has ended";
    flush_is_bounded: "a flush returns at its time limit, and loses nothing";
    shutdown_delivers: "a shutdown sends at once what has ended";
    shutdown_is_bounded: "a shutdown returns at its time limit, and counts what is left";
    breaker_opens: "five failures in a row end all attempts until one probe";
    ledger_is_balanced: "every span is accounted for at every moment";
}

fn sends_otlp(stage: &mut Stage<'_>) {
    stage.act(Script::new(), |act| {
        act.record(3);
        act.until_exported();
        for request in act.server.requests() {
            act.require(request.method == "POST", || {
                format!("the method is {}", request.method)
            });
            act.require(request.target == "/v1/traces", || {
                format!("the path is {}", request.target)
            });
            let content_type = request.header("content-type").unwrap_or_default();
            act.require(content_type == "application/x-protobuf", || {
                format!("the content type is {content_type:?}")
            });
            if let Err(error) = &request.export {
                act.violation(format!("the body is no export request: {error}"));
            }
        }
        let bad = act.server.counters().bad_requests;
        act.require(bad == 0, || format!("{bad} requests are not HTTP/1.1"));
        act.require_met(1);
    });
}

fn delivers_once(stage: &mut Stage<'_>) {
    stage.act(Script::new(), |act| {
        for count in [1, 5, 2] {
            act.record(count);
            act.until_exported();
        }
        act.pass(ms(200));
        act.shutdown(LONG);
        act.require_met(1);
    });
}

fn retries_429(stage: &mut Stage<'_>) {
    retries(stage, 429);
}

fn retries_502(stage: &mut Stage<'_>) {
    retries(stage, 502);
}

fn retries_503(stage: &mut Stage<'_>) {
    retries(stage, 503);
}

fn retries_504(stage: &mut Stage<'_>) {
    retries(stage, 504);
}

fn retries(stage: &mut Stage<'_>, code: u16) {
    stage.act([Reply::status(code)], |act| {
        act.record(3);
        act.until_exported();
        act.require_met(2);
        let pause = act.settings.exporter.backoff.initial;
        act.require_pause(1, pause, pause + LATE);
    });
}

fn obeys_retry_after(stage: &mut Stage<'_>) {
    for code in [429, 503] {
        stage.act([Reply::retry_after(code, &["1"])], |act| {
            act.record(3);
            act.until_exported();
            act.require_met(2);
            act.require_pause(1, ms(1000), ms(1100) + LATE);
        });
    }
}

fn drops_other_4xx(stage: &mut Stage<'_>) {
    for code in [400, 401, 403, 404, 408, 422] {
        drops(stage, Reply::status(code));
    }
}

fn drops_other_5xx(stage: &mut Stage<'_>) {
    for code in [500, 501, 505, 599] {
        drops(stage, Reply::status(code));
    }
}

fn drops_413(stage: &mut Stage<'_>) {
    drops(stage, Reply::status(413));
}

fn drops(stage: &mut Stage<'_>, reply: Reply) {
    stage.act(reply, |act| {
        act.record(2);
        act.until_dropped();
        act.pass(ms(120));
        act.require_met(1);
    });
}

fn counts_partial_success(stage: &mut Stage<'_>) {
    let reply = Reply::PartialSuccess {
        rejected: 2,
        message: "two are too many".to_owned(),
    };
    stage.act([reply], |act| {
        act.record(5);
        act.until("two spans are dropped, three exported", |ledger, _| {
            ledger.dropped_total() == 2 && ledger.exported == 3
        });
        act.pass(ms(120));
        act.require_met(1);
    });
}

fn follows_no_redirect(stage: &mut Stage<'_>) {
    let other = FaultServer::start(Script::new());
    let location = format!("{}/v1/traces", other.url());
    for code in [301, 302, 303, 307, 308] {
        let location = location.clone();
        drops(stage, Reply::Redirect { code, location });
    }
    let strays = other.counters().accepted;
    stage.act(Script::new(), |act| {
        act.require(strays == 0, || {
            format!("{strays} connections to where a redirect led")
        });
    });
}

fn survives_no_connection(stage: &mut Stage<'_>) {
    stage.act(Script::new(), |act| {
        act.server.available(false);
        act.record(3);
        act.pass(ms(150));
        act.server.available(true);
        act.until_exported();
        act.require_met(1);
    });
}

fn survives_reset_in_request(stage: &mut Stage<'_>) {
    for reply in [Reply::ResetAfterHeaders, Reply::ResetAtBodyByte(10)] {
        stage.act([reply], |act| {
            act.record(3);
            act.until_exported();
            act.require_met(1);
        });
    }
}

fn survives_reset_before_answer(stage: &mut Stage<'_>) {
    for reply in [Reply::ResetAfterRequest, Reply::CloseBeforeResponse] {
        stage.act([reply], |act| {
            act.record(3);
            act.until_exported();
            act.require_met(2);
        });
    }
}

fn survives_reset_in_answer(stage: &mut Stage<'_>) {
    stage.act([Reply::ResetInResponse { after: 20 }], |act| {
        act.record(3);
        act.until_exported();
        act.require_met(2);
    });
}

fn ends_hang(stage: &mut Stage<'_>) {
    late(stage, Reply::Hang);
}

fn ends_trickle(stage: &mut Stage<'_>) {
    let byte_interval = ms(100);
    late(stage, Reply::SlowLoris { byte_interval });
}

fn late(stage: &mut Stage<'_>, reply: Reply) {
    stage.act([reply], |act| {
        act.record(3);
        act.until_exported();
        act.require_met(2);
        let limit = act.settings.exporter.request_timeout;
        act.require_pause(1, limit, limit + LATE);
    });
}

fn bounds_answer(stage: &mut Stage<'_>) {
    let set = |settings: &mut Settings| settings.exporter.request_timeout = ms(2_000);
    stage.act_with(Reply::EndlessBody, set, |act| {
        act.record(1);
        act.until("the request has ended", |ledger, server| {
            !server.requests().is_empty() && ledger.in_flight == 0
        });
        act.shutdown(LONG);
        let requests = act.server.counters().requests;
        let read = act.server.counters().response_bytes;
        let most = requests * (MAX_RESPONSE_BYTES as u64 + SOCKET_BYTES);
        act.require(read <= most, || {
            format!("{read} bytes of answers were read, over {most}")
        });
    });
}

fn flush_delivers(stage: &mut Stage<'_>) {
    stage.act_with(
        Script::new(),
        |settings| settings.exporter.batch.scheduled_delay = FOREVER,
        |act| {
            act.record(4);
            let is_done = act.flush(LONG);
            act.require(is_done, || "the flush says it is not done".to_owned());
            let exported = act.ledger().exported;
            act.require(exported == 4, || {
                format!("{exported} of 4 spans are exported")
            });
            act.require_met(1);
        },
    );
}

fn flush_is_bounded(stage: &mut Stage<'_>) {
    stage.act_with(
        Reply::Hang,
        |settings| settings.exporter.request_timeout = ms(60_000),
        |act| {
            act.record(4);
            let is_done = act.flush(SHORT);
            act.require(!is_done, || "the flush says it is done".to_owned());
            let lost = act.ledger().dropped_total();
            act.require(lost == 0, || format!("the flush dropped {lost} spans"));
        },
    );
}

fn shutdown_delivers(stage: &mut Stage<'_>) {
    stage.act_with(
        Script::new(),
        |settings| settings.exporter.batch.scheduled_delay = FOREVER,
        |act| {
            act.record(4);
            act.shutdown(LONG);
            let exported = act.ledger().exported;
            act.require(exported == 4, || {
                format!("{exported} of 4 spans are exported")
            });
            act.require_met(1);
        },
    );
}

fn shutdown_is_bounded(stage: &mut Stage<'_>) {
    stage.act_with(
        Reply::Hang,
        |settings| settings.exporter.request_timeout = ms(60_000),
        |act| {
            act.record(4);
            act.shutdown(SHORT);
            let ledger = act.ledger();
            act.require(ledger.dropped_total() == 4, || {
                format!("four spans were not delivered, but: {ledger}")
            });
        },
    );
}

fn breaker_opens(stage: &mut Stage<'_>) {
    const OPEN: Duration = ms(600);
    stage.act_with(
        Reply::status(503),
        |settings| settings.exporter.batch.max_export_batch_size = 1,
        |act| {
            act.record(1);
            act.until("five attempts", |_, server| server.requests().len() >= 5);
            act.record(3);
            stays_silent(act, 5, OPEN / 2);
            act.until("a probe", |_, server| server.requests().len() >= 6);
            act.require_pause(5, OPEN, OPEN + LATE);
            stays_silent(act, 6, OPEN / 2);
            act.server.set_default(Reply::Ok);
            act.until("a closed circuit", |ledger, _| {
                ledger.exported > 0 && ledger.buffered == 0 && ledger.in_flight == 0
            });
        },
    );
}

/// Nothing comes beyond `count` requests for so long after the last one.
fn stays_silent(act: &mut Act, count: usize, time: Duration) {
    let requests = act.server.requests();
    let Some(last) = requests.get(count - 1) else {
        return;
    };
    let rest = (last.arrived + time).saturating_duration_since(Instant::now());
    act.pass(rest);
    let requests = act.server.requests().len();
    act.require(requests <= count, || {
        format!("the circuit should be open, but there are {requests} requests, not {count}")
    });
}

fn ledger_is_balanced(stage: &mut Stage<'_>) {
    let rejected = Reply::PartialSuccess {
        rejected: 1,
        message: String::new(),
    };
    let script = Script::new()
        .then(Reply::Ok)
        .then(Reply::status(503))
        .then(Reply::status(400))
        .then(rejected)
        .then(Reply::ResetAfterRequest)
        .then(Reply::Ok.delayed(ms(100)))
        .then(Reply::status(502));
    stage.act_with(
        script,
        |settings| settings.exporter.batch.scheduled_delay = ms(5),
        |act| {
            for count in 1..8 {
                act.record(count);
                act.pass(ms(40));
            }
            act.until("no span is held", |ledger, _| {
                ledger.buffered == 0 && ledger.in_flight == 0
            });
        },
    );
}
