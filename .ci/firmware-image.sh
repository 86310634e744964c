#!/usr/bin/env bash
# One image of examples/firmware: the last line on the standard output is its path, everything else
# goes to the standard error.
#
#   .ci/firmware-image.sh BOARD PROGRAM
#
# Sourced after lib.sh and bare-metal-toolchain.sh it only defines functions.

firmware_boards=(lm3s6965evb mps2-an386 microbit virt)

firmware_target() {
  case $1 in
  lm3s6965evb) echo thumbv7m-none-eabi ;;
  mps2-an386) echo thumbv7em-none-eabihf ;;
  microbit) echo thumbv6m-none-eabi ;;
  virt) echo riscv32imac-unknown-none-elf ;;
  *) return 1 ;;
  esac
}

# firmware_cargo BOARD COMMAND ARGUMENTS...; the micro:bit has no network.
firmware_cargo() {
  local board=$1 command=$2 features=$1
  shift 2
  [ "$board" = microbit ] || features+=,net
  bare_cargo "$command" --locked --release --target "$(firmware_target "$board")" \
    --features "$features" --manifest-path "$root/examples/firmware/Cargo.toml" "$@"
}

# firmware_build BOARD CARGO-ARGUMENTS...: builds, and prints the paths of the images.
firmware_build() {
  local board=$1
  shift
  firmware_cargo "$board" build "$@" --message-format json-render-diagnostics |
    sed -n 's/.*"executable":"\([^"]*\)".*/\1/p'
}

[ "${BASH_SOURCE[0]}" = "$0" ] || return 0

set -euo pipefail
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/bare-metal-toolchain.sh"
# Whoever calls this wants an image, so what cannot be had is an error everywhere.
cannot() { fail "$*"; }
exec 3>&1 >&2

target=$(firmware_target "${1:-}") && [ $# = 2 ] ||
  fail "usage: .ci/firmware-image.sh BOARD PROGRAM, with a board of ${firmware_boards[*]}"
bare_metal_setup "$target"
image=$(firmware_build "$1" --bin "$2")
[ -f "$image" ] || fail "no image of $2 for $1"
printf '%s\n' "$image" >&3
