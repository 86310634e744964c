#!/bin/sh
# Builds everything, measures everything, writes RESULTS.md and results.svg. `run.sh [--quick]`
set -eu
cd "$(dirname "$0")"
cargo build --release --locked --bins
exec cargo run --quiet --release --locked --bin all -- "$@"
