//! A decoder of gzip that shares no code with ours or with flate2: the zlib of Python.

use std::io::Write;
use std::process::{Command, Stdio};

const PROGRAM: &str =
    "import sys, gzip; sys.stdout.buffer.write(gzip.decompress(sys.stdin.buffer.read()))";

/// What `member` decodes to; `None` where there is no Python.
///
/// # Panics
///
/// When Python refuses it.
#[must_use]
pub fn gunzip_by_python(member: &[u8]) -> Option<Vec<u8>> {
    let spawned = Command::new("python3")
        .args(["-c", PROGRAM])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut python = spawned.ok()?;
    // It reads everything before it writes, so neither waits for the other.
    let mut input = python.stdin.take().expect("it is piped");
    input.write_all(member).expect("it reads");
    drop(input);
    let output = python.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{output:?}");
    Some(output.stdout)
}
