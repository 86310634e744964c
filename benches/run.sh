#!/bin/sh
# Spandrel and its rivals, side by side.
#
#   run.sh            measures everything; writes RESULTS.md, the chart, and the README's figures
#   run.sh --quick    the same with fewer rounds and without builds, into the folder `quick` alone
#   run.sh --report   the chart and the README's figures again, from RESULTS.md
#   run.sh --check    fails where the chart or the README says something else than RESULTS.md
set -eu
cd "$(dirname "$0")"

report() { cargo run --quiet --release --locked --no-default-features --bin report -- "$@"; }

case "${1:-}" in
    --report) report ;;
    --check) report --check ;;
    "" | --quick)
        cargo build --release --locked --bins
        cargo run --quiet --release --locked --bin all -- "$@"
        [ "${1:-}" = --quick ] || report
        ;;
    *) sed -n '2,7s/^#//p' "$0"; exit 2 ;;
esac
