//! Runs every example as a newcomer does, and reads what it prints.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on must fail")]

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Command, Output};

use spandrel_examples::Collector;

/// The program of an example, which cargo builds next to the tests.
///
/// `cargo test --test examples` does not build it; `cargo test -p spandrel-examples` does.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = profile
        .join("examples")
        .join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    assert!(
        path.exists(),
        "first run `cargo build -p spandrel-examples --examples`"
    );
    path
}

/// Without any setting of the person who runs the tests.
fn command(name: &str) -> Command {
    let mut command = Command::new(program(name));
    let is_setting = |name: &str| {
        let names = ["COLUMNS", "LANG", "NO_COLOR", "RUST_BACKTRACE", "TERM"];
        let starts = ["CLICOLOR", "LC_", "OTEL_"];
        names.contains(&name) || starts.iter().any(|start| name.starts_with(start))
    };
    let settings = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_setting));
    for (name, _) in settings {
        command.env_remove(name);
    }
    command
}

/// The names of all examples.
fn examples() -> BTreeSet<String> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let files = std::fs::read_dir(folder).unwrap();
    let name = |file: PathBuf| file.file_stem().unwrap().to_str().unwrap().to_owned();
    files.map(|file| name(file.unwrap().path())).collect()
}

/// The examples that can be copied into a program as they are.
const STAND_ALONE: [&str; 3] = ["minimal", "minimal_async", "stdout"];

fn text(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert_eq!(
        stderr, "",
        "an example that works says nothing about itself"
    );
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// What an example prints; every span must have been delivered.
fn run(name: &str, spans: usize) -> String {
    let text = text(&command(name).output().unwrap());
    let ledger = format!("ended {spans} = exported {spans} + dropped 0 + buffered 0 + in flight 0");
    assert!(text.contains(&ledger), "{text}");
    text
}

fn assert_all(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in:\n{text}");
    }
}

#[test]
fn the_quickstart_delivers_over_http_with_gzip_and_draws_what_arrived() {
    let text = run("quickstart", 10);
    assert_all(
        &text,
        &[
            "/v1/traces -> 200\n10 spans in ",
            "bytes of gzip",
            "10 spans · ",
            "✓ POST /orders (server)",
            "│ └─✓ POST /charges (client)",
            "✗ the payment provider is busy",
        ],
    );
}

#[test]
fn examples_deliver_to_the_collector_of_the_environment() {
    let collector = Collector::start().unwrap();
    for variable in [
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    ] {
        // The variable of the signal is a whole URL, the other one a base.
        let path = if variable.contains("TRACES") {
            "/v1/traces"
        } else {
            ""
        };
        let endpoint = format!("{}{path}", collector.endpoint());
        for (name, spans) in [
            ("quickstart", 10),
            ("quickstart_async", 5),
            ("provider_call", 2),
            ("tracing_layer", 7),
            ("web", 13),
            ("minimal", 2),
            ("minimal_async", 2),
        ] {
            let output = command(name).env(variable, &endpoint).output();
            let text = text(&output.unwrap());
            assert!(!text.contains(" · "), "nothing can be drawn:\n{text}");
            let arrived = collector.take();
            assert_eq!(arrived.len(), spans, "{name}");
            for received in arrived.iter().filter(|_| !STAND_ALONE.contains(&name)) {
                let id = u128::from_be_bytes(received.span.trace_id.clone().try_into().unwrap());
                let line = format!("trace {id:032x} is at {endpoint}\n");
                assert_eq!(text.matches(&line).count(), 1, "{name}: {text}");
            }
        }
    }
}

#[test]
fn a_failed_delivery_ends_in_words() {
    let endpoint = "http://127.0.0.1:1";
    for (name, spans) in [
        ("quickstart", 10),
        ("quickstart_async", 5),
        ("provider_call", 2),
        ("minimal", 2),
        ("minimal_async", 2),
    ] {
        let output = command(name)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", endpoint)
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{name}");
        let stderr = String::from_utf8(output.stderr).unwrap();
        let fate = format!("not everything arrived: 0 exported, {spans} dropped, 0 left");
        assert!(stderr.contains(&fate), "{name}: {stderr}");
        assert!(!stderr.contains('"'), "{name}: {stderr}");
        if !STAND_ALONE.contains(&name) {
            let advice = format!(
                "Check that a collector takes OTLP over HTTP at {endpoint},\n\
                 or unset OTEL_EXPORTER_OTLP_ENDPOINT to use the example's own collector.\n"
            );
            assert!(stderr.contains(&advice), "{name}: {stderr}");
        }
    }
}

/// As under `| head -1`, at the worst moment: nothing reads from the start.
#[test]
fn a_closed_pipe_ends_no_example() {
    for name in examples() {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let mut command = command(&name);
        if name == "firmware_demo" {
            command.arg("--help"); // The rest needs QEMU.
        }
        let output = command.stdout(writer).output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        if STAND_ALONE.contains(&&*name) {
            // What they print are the spans, which were lost.
            assert_eq!(output.status.code(), Some(1), "{name}: {stderr}");
            // The library warns, since nothing else listens to it; the program has one line.
            let own: Vec<_> = stderr
                .lines()
                .filter(|line| !line.starts_with("spandrel: warning: "))
                .collect();
            assert_eq!(own.len(), 1, "{name}: {stderr}");
            assert!(own[0].starts_with("not everything "), "{name}: {stderr}");
        } else {
            assert!(output.status.success(), "{name}: {stderr}");
            assert_eq!(stderr, "", "{name}");
        }
    }
}

#[test]
fn the_drawing_suits_the_terminal() {
    for (variables, width, is_ascii, has_colour) in [
        (&[][..], 100, false, false),
        (&[("COLUMNS", "60")], 60, false, false),
        (&[("COLUMNS", "80"), ("TERM", "dumb")], 80, true, false),
        (&[("COLUMNS", "80"), ("LANG", "C")], 80, true, false),
        (&[("CLICOLOR_FORCE", "1")], 100, false, true),
        (
            &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")],
            100,
            false,
            false,
        ),
    ] {
        let mut command = command("quickstart");
        let text = text(&command.envs(variables.iter().copied()).output().unwrap());
        assert_eq!(text.is_ascii(), is_ascii, "{text}");
        assert_eq!(text.contains('\x1b'), has_colour, "{text}");
        let drawing = text.lines().skip_while(|line| !line.starts_with("trace "));
        // The bar of the root fills the width, and its line is the longest.
        let root = drawing.clone().find(|line| line.contains("POST /orders"));
        let columns = |line: &str| line.chars().count();
        if !has_colour {
            assert_eq!(root.map(columns), Some(width), "{text}");
            let is_wide = |line: &&str| columns(line) > width;
            let mut wide = drawing.take_while(|line| !line.is_empty()).filter(is_wide);
            assert_eq!(wide.next(), None, "{text}");
        }
    }
}

#[test]
fn the_smallest_programs_need_no_collector_and_no_other_crate() {
    for name in STAND_ALONE {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
        let source = std::fs::read_to_string(format!("{folder}/{name}.rs")).unwrap();
        assert!(!source.contains("spandrel_examples"), "{name}");
        let text = text(&command(name).output().unwrap());
        assert_eq!(text.lines().count(), 1, "{name}: {text}");
        let batch: serde_json::Value = serde_json::from_str(&text).unwrap();
        let spans = &batch["resourceSpans"][0]["scopeSpans"][0]["spans"];
        assert_eq!(spans.as_array().unwrap().len(), 2, "{name}");
        assert_eq!(spans[0]["parentSpanId"], spans[1]["spanId"], "{name}");
    }
}

#[test]
fn programs_that_use_tracing_deliver_and_nest() {
    let text = run("tracing_layer", 7);
    assert_all(
        &text,
        &[
            "trace 5b8efff798038103d269b633813fc60c",
            "╌• POST /orders (server)",
            "http.response.status_code=422",
            "├─• cook soup",
            "└─✗ cook ice",
            "shelf.reach",
            "ice cannot be cooked",
            " · 1 error",
        ],
    );
}

#[test]
fn services_that_call_each_other_make_one_trace_whose_id_is_in_the_log_and_sigterm_loses_nothing() {
    let text = text(&command("web").output().unwrap());
    let (_, rest) = text.split_once("\ntrace ").unwrap();
    let (trace, drawing) = rest.split_at(32);
    assert_all(
        drawing,
        &[
            " · 13 spans · ",
            "shop  ",
            "stock ",
            "• customer.visit",
            "├─• GET /orders/{item} (client)",
            "└─• GET /orders/{item} (server)",
            "└─✗ GET /stock/{item} (client)",
            "└─• GET /stock/{item} (server)",
            "shop: ended 10 = exported 10 + dropped 0 + buffered 0 + in flight 0",
            "stock: ended 3 = exported 3 + dropped 0 + buffered 0 + in flight 0",
        ],
    );
    let logged = format!(" trace_id={trace} span_id=");
    // What is logged outside of requests has no ids.
    assert_eq!(text.matches(&logged).count(), 6, "{text}");
    assert_eq!(text.matches("trace_id=").count(), 6, "{text}");
    // The last order was under way when the signal came.
    let (before, after) = text.split_once("SIGTERM: no new orders").unwrap();
    assert!(before.contains("an order item=\"bread\""), "{text}");
    assert!(after.contains("bread: 200 OK one of three"), "{text}");
}

#[test]
fn processors_remove_secrets_and_drop_health_checks() {
    let text = text(&command("processors").output().unwrap());
    assert_all(
        &text,
        &[
            "2 spans",
            "• POST /login (server)",
            "password=(removed)",
            "cloud.region=north",
            "password.check",
            "hash.rounds=12",
            "ended 5 = exported 2 + dropped 3 (filtered 3) + buffered 0 + in flight 0",
        ],
    );
    assert!(
        !text.contains("hunter2") && !text.contains("/health"),
        "{text}"
    );
}

#[test]
fn only_the_order_that_failed_and_the_slow_one_are_kept() {
    let text = text(&command("keep_errors").output().unwrap());
    assert_all(
        &text,
        &[
            "• POST /orders (server)",
            "order.number=13",
            "nothing left of article 7",
            "order.number=31",
            "ended 120 = exported 6 + dropped 114 (tail_dropped 114) + buffered 0 + in flight 0",
        ],
    );
    assert_eq!(text.matches("payment.charge").count(), 2, "{text}");
}

#[test]
fn commands_carry_their_outcome() {
    let text = run("command_execution", 2);
    assert_all(
        &text,
        &[
            "command.execute",
            "command=no-such-program --help  user=ada",
            "◆ exception",
            " · 1 error",
        ],
    );
}

#[test]
fn provider_calls_carry_what_they_cost() {
    let text = run("provider_call", 2);
    assert_all(
        &text,
        &[
            "✓ provider.generate (client)",
            "provider=example  model=large-1  prompt_length=18  prompt_tokens=5",
            "completion_tokens=12  duration_ms=",
            "cost=0.00034",
            "✗ the provider answered 400: the prompt is empty",
        ],
    );
}

#[test]
fn an_error_ends_the_step_and_the_workflow() {
    let text = run("nested_workflow", 6);
    assert_all(
        &text,
        &[
            "✗ auto.workflow",
            "goal=add a login page",
            "├─• auto.spec_generation",
            "├─• auto.plan_generation",
            "feature_count=1  task_count=3",
            "├─✓ auto.step_execution",
            "step_index=0  step_type=create",
            "└─✗ auto.step_execution",
            " · 2 errors",
        ],
    );
}

#[test]
fn baggage_reaches_another_service_and_a_child_process() {
    let text = run("baggage", 4);
    assert_all(
        &text,
        &[
            "to the warehouse: baggage: tenant=acme,user=Am%C3%A9lie,priority=high",
            "to the child process: BAGGAGE, TRACEPARENT",
            "trace 5b8efff798038103d269b633813fc60c · 3 spans",
            "tenant=acme  user=Amélie  priority=high",
            "• POST /webhook (server)",
        ],
    );
}

#[test]
fn a_batch_sums_up_the_errors_of_its_threads() {
    let text = run("concurrent_batch", 6);
    assert_all(
        &text,
        &[
            "item 2 has an unknown id\nitem 4 has no id\n",
            "✗ batch.process",
            "batch_size=5",
            "✗ 2 items failed",
            "✗ batch.process_item",
            "item_index=4  item_id=\"\"",
        ],
    );
}

/// Attempts after 100, 150, 225 and 338 ms, open at the fifth failure,
/// probes 30 s apart.
#[test]
fn the_outage_loses_nothing_and_keeps_its_times() {
    let text = run("outage", 360);
    assert_all(
        &text,
        &[
            " 15.50 s  closed ",
            " 15.60 s  closed ",
            " 15.75 s  closed ",
            " 15.97 s  closed ",
            " 16.31 s  open ",
            " 46.31 s  half-open ",
            " 46.31 s  open ",
            " 76.31 s  half-open ",
            " 76.31 s  closed ",
            "the collector has 360 spans: all of them, once",
        ],
    );
    // The README shows an excerpt.
    let readme = include_str!("../../README.md");
    let rows = readme.lines().filter(|line| line.get(6..9) == Some(" s "));
    assert!(rows.clone().count() > 8);
    for row in rows {
        assert!(text.contains(row), "{row:?} is not in:\n{text}");
    }
}

#[test]
fn a_test_captures_spans_and_its_assertions_say_what_is_missing() {
    let text = text(&command("testing").output().unwrap());
    assert_all(
        &text,
        &[
            "captured 3 spans:",
            "└─ payment.charge (client) ✗ declined",
            "mail.send 0ns..25ms\n└─ smtp.connect 5ms..25ms\n",
            "there is no span \"payment.refund\", only",
            "> └─ payment.charge (client)\n",
        ],
    );
}

#[test]
fn a_transport_of_one_function_meets_every_rule() {
    let text = text(&command("conformance").output().unwrap());
    assert_all(
        &text,
        &[
            "✓ delivers_once                after a 2xx nothing is sent again\n",
            "25 of 25 rules are met",
        ],
    );
}

#[test]
fn a_driver_of_ones_own_delivers() {
    let text = run("own_driver", 6);
    assert_all(
        &text,
        &[
            "exported 6 spans in 1 attempt",
            "└─• sensor.read",
            "temperature.celsius=20.5",
        ],
    );
}

#[test]
fn the_firmware_demo_says_what_is_missing_and_what_to_do() {
    let output = command("firmware_demo").env("PATH", "").output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("qemu-system-arm is not installed"),
        "{stderr}"
    );
    assert!(
        stderr.contains("apt-get install qemu-system-arm"),
        "{stderr}"
    );

    let output = command("firmware_demo").args(["--board", "pdp11"]).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_all(&stderr, &["there is no board pdp11", "lm3s6965evb", "virt"]);
}
