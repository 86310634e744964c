#!/usr/bin/env bash
# The firmware of examples/firmware: built for four boards, run in emulation, its spans compared
# with what the devices recorded, its sizes and instruction counts with examples/firmware/budgets.txt.
#
#   SPANDREL_FIRMWARE_BLESS=1 .ci/firmware.sh    writes new budgets
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh
. .ci/bare-metal-toolchain.sh

boards=(lm3s6965evb mps2-an386 microbit virt)
targets=(thumbv7m-none-eabi thumbv7em-none-eabihf thumbv6m-none-eabi riscv32imac-unknown-none-elf)

if ! command -v qemu-system-arm >/dev/null || ! command -v qemu-system-riscv32 >/dev/null; then
  in_ci || cannot "there is no QEMU: qemu-system-arm and qemu-system-misc"
  bare_apt qemu-system-arm qemu-system-misc || cannot "QEMU is missing:$bare_problem"
fi
bare_metal_setup "${targets[@]}"

images=$target_dir/firmware
mkdir -p "$images"
for i in "${!boards[@]}"; do
  board=${boards[i]} target=${targets[i]}
  note "$board ($target)"
  files=$(bare_cargo build --quiet --locked --release --target "$target" --features "$board" \
    --manifest-path examples/firmware/Cargo.toml --message-format json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
  for file in $files; do
    name=${file##*/}
    cp "$file" "$images/$board${name/#/-}"
  done
  mv "$images/$board-program" "$images/$board"

  # A heap, or text made for people, would be linked by mistake only.
  for image in "$images/$board" "$images/$board-record" "$images/$board-export"; do
    if found=$(nm -C "$image" | grep -E 'core::fmt::|__rust_(no_)?alloc|core::unicode::'); then
      fail "$image holds what it should not:"$'\n'"$found"
    fi
  done
done
note "clippy"
cargo_clippy=(clippy --quiet --locked --release --manifest-path examples/firmware/Cargo.toml)
[ "$bare_toolchain" != "$(rustc --version)" ] ||
  bare_cargo "${cargo_clippy[@]}" --target thumbv7m-none-eabi --features lm3s6965evb -- -D warnings

SPANDREL_FIRMWARE_REQUIRED=1 SPANDREL_FIRMWARE_IMAGES=$images \
  cargo test --locked -p spandrel-tests --test firmware
cat examples/firmware/budgets.txt
