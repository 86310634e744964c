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
  board=${boards[i]} target=${targets[i]} features=${boards[i]}
  case $board in lm3s6965evb | mps2-an386) features+=,net ;; esac
  note "$board ($target)"
  build=(--locked --release --target "$target" --features "$features"
    --manifest-path examples/firmware/Cargo.toml)
  files=$(bare_cargo build --quiet "${build[@]}" --message-format json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
  for file in $files; do
    image=$images/$board-${file##*/}
    cp "$file" "$image"
    # A heap would be linked by mistake only; so would text made for people, and a panic, but the
    # TCP/IP stack brings both.
    forbidden='__rust_(no_)?alloc|core::unicode::'
    [[ $image == *-networked ]] || forbidden+='|core::fmt::|core::panicking::'
    if found=$(nm -C "$image" | grep -E "$forbidden"); then
      fail "$image holds what it should not:"$'\n'"$found"
    fi
  done
done

# Debian's cargo has no clippy; its compiler's version is not the one of rustup's.
if [ "$bare_toolchain" = "$(rustc --version)" ]; then
  note "clippy"
  for i in 0 3; do
    features=${boards[i]}
    [ "$i" != 0 ] || features+=,net
    bare_cargo clippy --quiet --locked --release --target "${targets[i]}" --features "$features" \
      --manifest-path examples/firmware/Cargo.toml -- -D warnings
  done
fi

SPANDREL_FIRMWARE_REQUIRED=1 SPANDREL_FIRMWARE_IMAGES=$images \
  cargo test --locked -p spandrel-tests --test firmware
cat examples/firmware/budgets.txt
