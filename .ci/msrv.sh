#!/usr/bin/env bash
# The core and what belongs to it compile with the oldest Rust that they promise. Clippy's `incompatible_msrv` sees newer
# library functions, but not newer language features: for those only the old compiler will do.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh

version=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if ! command -v rustup >/dev/null; then
  note "skipped: no rustup, so no Rust $version"
  exit 0
fi
if ! rustup run "$version" rustc --version >/dev/null 2>&1; then
  note "rustup toolchain install $version"
  timeout 300 rustup toolchain install "$version" --profile minimal --no-self-update \
    >/dev/null 2>&1 || { note "skipped: Rust $version cannot be installed here"; exit 0; }
fi
note "$(rustup run "$version" rustc --version)"
rustup run "$version" cargo check --quiet --locked -p spandrel-core --no-default-features
rustup run "$version" cargo check --quiet --locked -p spandrel-core --all-features
rustup run "$version" cargo check --quiet --locked -p spandrel-tower --features axum
