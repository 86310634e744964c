#!/usr/bin/env bash
# The firmware of examples/firmware: built for four boards, run in emulation, its spans compared
# with what the devices recorded, its sizes and instruction counts with examples/firmware/budgets.txt.
#
#   SPANDREL_FIRMWARE_BLESS=1 .ci/firmware.sh    writes new budgets
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh
. .ci/bare-metal-toolchain.sh
. .ci/firmware-image.sh

if ! command -v qemu-system-arm >/dev/null || ! command -v qemu-system-riscv32 >/dev/null; then
  in_ci || cannot "there is no QEMU: qemu-system-arm and qemu-system-misc"
  bare_apt qemu-system-arm qemu-system-misc || cannot "QEMU is missing:$bare_problem"
fi
targets=()
for board in "${firmware_boards[@]}"; do targets+=("$(firmware_target "$board")"); done
bare_metal_setup "${targets[@]}"

images=$target_dir/firmware
mkdir -p "$images"
for board in "${firmware_boards[@]}"; do
  note "$board ($(firmware_target "$board"))"
  files=$(firmware_build "$board" --quiet)
  for file in $files; do
    image=$images/$board-${file##*/}
    cp "$file" "$image"
    # A heap would be linked by mistake only; so would text made for people, and a panic, but the
    # TCP/IP stack can panic.
    forbidden='__rust_(no_)?alloc|core::unicode::|core::fmt::'
    case ${file##*/} in
    networked | compressed | demo) ;;
    *) forbidden+='|core::panicking::' ;;
    esac
    if found=$(nm -C "$image" | grep -E "$forbidden"); then
      fail "$image holds what it should not:"$'\n'"$found"
    fi
  done
done

# Debian's cargo has no clippy; its compiler's version is not the one of rustup's.
if [ "$bare_toolchain" = "$(rustc --version)" ]; then
  note "clippy"
  for board in lm3s6965evb virt; do
    firmware_cargo "$board" clippy --quiet -- -D warnings
  done
fi

SPANDREL_FIRMWARE_REQUIRED=1 SPANDREL_FIRMWARE_IMAGES=$images \
  cargo test --locked -p spandrel-tests --test device firmware::
cat examples/firmware/budgets.txt
