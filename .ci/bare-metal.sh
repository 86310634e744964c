#!/usr/bin/env bash
# The core on microcontrollers: it compiles for a part without compare-and-swap (thumbv6m) and for
# one with a floating-point unit (thumbv7em), with all features that do not want `std`; and a
# program that records and delivers spans links without an allocator.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh
. .ci/bare-metal-toolchain.sh

targets=(thumbv6m-none-eabi thumbv7em-none-eabihf)
bare_metal_setup "${targets[@]}"

features=$(bare_features_of spandrel-core | paste -sd, -)
for target in "${targets[@]}"; do
  note "$target: no features${features:+, then $features}"
  bare_cargo build --quiet --locked -p spandrel-core --target "$target" --no-default-features
  [ -z "$features" ] || bare_cargo build --quiet --locked -p spandrel-core --target "$target" \
    --no-default-features --features "$features"
done

image=$(bare_cargo build --locked --release --target thumbv6m-none-eabi \
  --manifest-path .ci/no-heap/Cargo.toml --message-format json-render-diagnostics |
  sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
[ -f "$image" ] || fail "no-heap was built without an image"

# `core::fmt` would add about 10 KiB to every firmware; the allocator's shims must not be there.
symbols=$(nm -C "$image")
if found=$(grep -E 'core::fmt::|__rust_(no_)?alloc|core::unicode::' <<<"$symbols"); then
  fail "the image without a heap holds what it should not:"$'\n'"$found"
fi
size "$image" | awk 'NR == 2 {
  printf "   no-heap on thumbv6m: %d bytes of flash, %d bytes of static RAM\n", $1 + $2, $2 + $3
}'
