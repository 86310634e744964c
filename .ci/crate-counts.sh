#!/usr/bin/env bash
# How many crates a user compiles, the package itself included, against the budget.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh

host=$(rustc -vV | sed -n 's/^host: //p')
over=0

# count NAME BUDGET CARGO-TREE-ARGUMENTS...; a budget of `-` only reports.
count() {
  local name=$1 budget=$2 tree crates
  shift 2
  tree=$(cargo tree --locked --target "$host" -e normal --prefix none "$@")
  crates=$(awk '{ print $1, $2 }' <<<"$tree" | sort -u | wc -l)
  printf '   %-42s %3d crates, budget %s\n' "$name" "$crates" "$budget"
  [ "$budget" = - ] || [ "$crates" -le "$budget" ] || over=1
}

count "core" 12 -p spandrel-core --no-default-features
count "core, std" - -p spandrel-core --no-default-features --features std
count "core, all features" - -p spandrel-core --all-features
count "tower" - -p spandrel-tower
# The best blocking sender that we know of has 46, without gzip.
count "transport-std with TLS and gzip" 60 -p spandrel-transport-std
count "transport-async" - -p spandrel-transport-async
[ "$over" = 0 ] || fail "over budget"
