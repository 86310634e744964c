//! The program `spandrel-gateway` as its users run it.
#![cfg(feature = "gateway")]
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "the helpers of a test may fail it"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};

use rand_xoshiro::{SplitMix64, rand_core::SeedableRng};
use spandrel_core::link::{LinkConfig, LinkExporter};
use spandrel_core::prelude::*;

/// The program, deaf to the environment of the tests.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_spandrel-gateway"));
    command
        .env_clear()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

fn run(arguments: &[&str], input: &[u8]) -> (Output, String, String) {
    let mut child = program(arguments).spawn().unwrap();
    // A program that does not read may be gone already.
    let _ = child.stdin.take().unwrap().write_all(input);
    let output = child.wait_with_output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    (output, stdout, stderr)
}

/// The frames of a device with two spans.
fn line() -> Vec<u8> {
    let resource = Resource {
        attributes: &[KeyValue::new("service.name", "pump")],
        schema_url: "",
    };
    let registry = Registry::new([0_u8; 128], &resource).unwrap();
    let buffer = Buffer::new([0_u8; 1024]);
    let mut link = LinkExporter::new(LinkConfig::DEFAULT, 7, buffer, registry);
    let mut tracer = BareTracer::new(
        AlwaysOn,
        RandomIdGenerator::new(SplitMix64::seed_from_u64(1)),
    );
    for name in ["fill", "drain"] {
        let span = tracer.start::<128>(SpanBuilder::new(name), Instant::from_millis(1));
        span.end(Instant::from_millis(2), &mut link).unwrap();
    }
    let mut line = Vec::new();
    let mut frame = [0; 128];
    while let Some(len) = link.next_frame(Instant::from_millis(3), &mut frame) {
        line.extend(&frame[..len]);
    }
    line
}

#[test]
fn help_and_version_are_on_the_standard_output() {
    for argument in ["--help", "-h"] {
        let (output, stdout, stderr) = run(&[argument], b"");
        assert!(output.status.success() && stderr.is_empty());
        assert!(stdout.contains("Usage: spandrel-gateway") && stdout.contains("--attribute"));
        assert!(stdout.lines().all(|line| line.len() <= 100), "{stdout}");
    }
    let (output, stdout, _) = run(&["--version"], b"");
    assert!(output.status.success() && stdout.starts_with("spandrel-gateway "));
}

#[test]
fn mistakes_are_named_and_have_a_code_of_their_own() {
    let (output, _, stderr) = run(&["--atribute", "a=b"], b"");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        stderr.contains("--atribute") && stderr.contains("--help"),
        "{stderr}"
    );
    for (arguments, expected) in [
        (&["--serial", "/nowhere/tty"][..], "/nowhere/tty"),
        (&["--tcp", "256.0.0.1:1"], "256.0.0.1:1"),
        (&["--stdin", "--endpoint", "ftp://x"], "ftp"),
        (
            &[
                "--stdin",
                "--header",
                "a b=c",
                "--endpoint",
                "http://localhost:1",
            ],
            "header name",
        ),
    ] {
        let (output, _, stderr) = run(arguments, b"");
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn frames_on_the_standard_input_become_lines_on_the_standard_output() {
    let (output, stdout, stderr) = run(&["--stdin", "--attribute", "site=north"], &line());
    assert!(output.status.success(), "{stderr}");
    for expected in ["pump", "site", "north", "fill", "drain"] {
        assert!(stdout.contains(expected), "{expected} in {stdout}");
    }
    assert!(stdout.lines().all(|line| line.starts_with('{')));
    assert!(
        stderr.contains("received 2, delivered 2, waiting 0"),
        "{stderr}"
    );
    assert!(
        stderr.contains("ended 2 = exported 2 + dropped 0"),
        "{stderr}"
    );
}

#[test]
fn a_file_of_frames_is_read_once() {
    let path = std::env::temp_dir().join(format!("spandrel-gateway-{}", std::process::id()));
    std::fs::write(&path, line()).unwrap();
    let (output, stdout, stderr) = run(&["--serial", path.to_str().unwrap(), "--quiet"], b"");
    std::fs::remove_file(&path).unwrap();
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.contains("drain"));
}

#[test]
fn spans_that_could_not_be_sent_are_admitted() {
    // A port that nobody listens on.
    let port = TcpListener::bind("127.0.0.1:0").unwrap();
    let endpoint = format!("http://{}", port.local_addr().unwrap());
    drop(port);
    let arguments = [
        "--stdin",
        "--endpoint",
        &endpoint,
        "--shutdown-timeout",
        "0.3",
    ];
    let (output, _, stderr) = run(&arguments, &line());
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("dropped 2 (shutdown 2)"), "{stderr}");
}

/// Waits for a line with `text`; what stands behind it.
fn read_until(stderr: &mut impl BufRead, text: &str) -> String {
    loop {
        let mut line = String::new();
        assert!(stderr.read_line(&mut line).unwrap() > 0, "no {text:?}");
        if let Some((_, rest)) = line.split_once(text) {
            return rest.trim().to_owned();
        }
    }
}

#[cfg(unix)]
fn interrupt(child: &Child) {
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
}

#[cfg(unix)]
#[test]
fn an_interrupt_flushes_and_tells_where_everything_is() {
    let arguments = ["--tcp", "127.0.0.1:0", "--status", "1"];
    let mut child = program(&arguments).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let address = read_until(&mut stderr, "listening on ");
    let mut device = TcpStream::connect(address).unwrap();
    device.write_all(&line()).unwrap();
    // The status line comes by itself.
    read_until(&mut stderr, "received 2");
    interrupt(&child);
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{rest}");
    assert!(rest.contains("delivered 2, waiting 0"), "{rest}");
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert!(stdout.contains("fill") && stdout.contains("drain"));
}
