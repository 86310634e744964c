//! Spans of devices without a network, from serial lines and TCP to an OTLP collector.
//! See `spandrel-gateway --help` and [`spandrel_transport_std::gateway`].

use std::process::ExitCode;

fn main() -> ExitCode {
    spandrel_transport_std::gateway::run_program(std::env::args_os().skip(1))
}
