#!/bin/sh
# Compares instruction counts with benches/counts.json; see src/bin/counts.rs. Arguments go on.
set -eu
cd "$(dirname "$0")"
if ! command -v valgrind >/dev/null 2>&1; then
    echo "counts: skipped, because valgrind is not installed"
    exit 0
fi
exec cargo run --quiet --release --locked --no-default-features --bin counts -- "$@"
