#!/usr/bin/env bash
# The core and the embassy transport on every instruction set that we know to work: they compile
# without `std`, without a heap, and on parts without compare-and-swap or 64-bit atomics.
#
# A compiler error about a missing `std` here means that a feature of a dependency has let it in.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh
. .ci/bare-metal-toolchain.sh

targets=(
  thumbv6m-none-eabi thumbv7m-none-eabi thumbv7em-none-eabihf thumbv8m.main-none-eabihf
  armv7r-none-eabihf aarch64-unknown-none
  riscv32imc-unknown-none-elf riscv32imac-unknown-none-elf riscv64gc-unknown-none-elf
  wasm32-unknown-unknown x86_64-unknown-none
)
features=$(for package in spandrel-core spandrel-transport-async; do
  bare_features_of $package | sed "s|^|$package/|"
done | paste -sd, -)

# The step `features` has each package by itself; here they are built together, without features and
# with all that do not want `std`.
check() {
  local set target all=()
  for target in "$@"; do all+=(--target "$target"); done
  bare_metal_setup --check "$@"
  for set in "" "$features"; do
    note "${set:-no features}: $# targets"
    bare_cargo check --quiet --locked -p spandrel-core -p spandrel-transport-async \
      --no-default-features --features "$set" "${all[@]}"
  done
}

# rustup does not have all of them everywhere.
bare_split "${targets[@]}"
[ ${#bare_ready[@]} = 0 ] || check "${bare_ready[@]}"
[ ${#bare_rest[@]} = 0 ] || check "${bare_rest[@]}"
