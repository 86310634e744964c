#!/usr/bin/env bash
# Runs every fuzz target in turn for the given number of seconds (60), on one core, and prints a
# table. New inputs go to corpus/, crashes to artifacts/; both stay out of the repository.
#
# Without a sanitizer: what is fuzzed has no unsafe code, and so runs several times as often.
#
#   fuzz/run-all.sh [seconds] [target...]
set -uo pipefail
cd "$(dirname "$0")"

seconds="${1:-60}"
shift || true
targets=("$@")
[ ${#targets[@]} -gt 0 ] || mapfile -t targets < <(cargo +nightly fuzz list --fuzz-dir .)

cargo +nightly fuzz build --fuzz-dir . --sanitizer none || exit 1
logs="$(mktemp -d)"
failed=0
rows=()
for target in "${targets[@]}"; do
    mkdir -p "corpus/$target"
    log="$logs/$target.log"
    verdict=ok
    cargo +nightly fuzz run --fuzz-dir . --sanitizer none "$target" "corpus/$target" "seeds/$target" -- \
        -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -len_control=20 \
        -max_len=8192 -print_final_stats=1 >"$log" 2>&1 || { verdict="FAILED, see $log"; failed=1; }
    executions="$(sed -n 's/^stat::number_of_executed_units: *//p' "$log" | tail -1)"
    coverage="$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' "$log" | tail -1)"
    inputs="$(find "corpus/$target" -type f | wc -l)"
    rows+=("$(printf '| %-12s | %12s | %6s | %6s | %s |' \
        "$target" "${executions:-?}" "${coverage:-?}" "$inputs" "$verdict")")
    echo "${rows[-1]}"
done

echo
echo "| target       |   executions |  edges | corpus | result |"
echo "|--------------|--------------|--------|--------|--------|"
printf '%s\n' "${rows[@]}"
exit "$failed"
