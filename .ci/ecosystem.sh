#!/usr/bin/env bash
# Instrumentation crates of others, unchanged, over Spandrel: a program each, in a workspace of its own.
# Each checks its one trace and the ledger, and ends with an error if something is wrong.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh

export CARGO_TARGET_DIR=$target_dir/ecosystem CARGO_PROFILE_DEV_DEBUG=0 CARGO_INCREMENTAL=0
cd tests/ecosystem

# The SDK is not needed. Azure's crate brings its own, which is not used.
tree=$(cargo tree --locked -p spandrel-ecosystem -e normal --prefix none)
! grep '^opentelemetry_sdk ' <<<"$tree" || fail "opentelemetry_sdk is in the tree"
note "$(awk '{ print $1, $2 }' <<<"$tree" | sort -u | wc -l) crates, without opentelemetry_sdk"

timeout 1200 cargo build --quiet --locked -p spandrel-ecosystem -p spandrel-ecosystem-azure
run() {
  note "$*"
  timeout 60 "$CARGO_TARGET_DIR/debug/$1" "${@:2}" | tail -n 1
}
for file in src/bin/*.rs; do
  name=${file##*/}
  run "${name%.rs}"
done
run axum_tracing_opentelemetry ours
run spandrel-ecosystem-azure
