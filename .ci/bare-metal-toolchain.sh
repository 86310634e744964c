# Finds a compiler with libraries for bare-metal targets; source it after lib.sh.
# shellcheck shell=bash disable=SC2154
#
#   bare_metal_setup thumbv6m-none-eabi ...
#   bare_cargo build --release --target thumbv6m-none-eabi ...
#
# Three ways, the first that works; BARE_METAL=rustup or BARE_METAL=debian insists on one:
# 1. the libraries are installed beside the rustc in use;
# 2. `rustup target add` brings them;
# 3. Debian's rustc-web carries its library sources: `core` and `alloc` are compiled once from an
#    empty crate into a private sysroot below the target directory. Only that one build uses
#    nightly features; everything after it proves that our crates need none.

bare_env=()
bare_toolchain=

bare_cargo() { env ${bare_env[@]+"${bare_env[@]}"} "${bare_cargo_bin:-cargo}" "$@"; }

bare_metal_setup() {
  bare_problem=
  case ${BARE_METAL:-any} in
  rustup) bare_rustup "$@" ;;
  debian) bare_debian "$@" ;;
  any) bare_rustup "$@" || bare_debian "$@" ;;
  *) fail "BARE_METAL is neither rustup nor debian: $BARE_METAL" ;;
  esac || cannot "no toolchain for ${*}:$bare_problem"
  note "toolchain: $bare_toolchain"
}

bare_missing() { bare_problem+=$'\n'"     - $1"; return 1; }

bare_has_library() {
  local dir
  dir=$(rustc --print target-libdir --target "$1" 2>/dev/null) &&
    compgen -G "$dir/libcore-*.rlib" >/dev/null
}

bare_rustup() {
  local target
  for target in "$@"; do
    bare_has_library "$target" && continue
    command -v rustup >/dev/null || { bare_missing "rustc has no library and there is no rustup"; return; }
    note "rustup target add $target"
    timeout 180 rustup target add "$target" >/dev/null 2>&1 || true
    bare_has_library "$target" || { bare_missing "rustup cannot add $target"; return; }
  done
  bare_env=("CARGO_TARGET_DIR=$target_dir")
  bare_toolchain=$(rustc --version)
}

# Installing packages is only for machines that are ours to change.
bare_apt() {
  local get=(apt-get)
  in_ci || [ "${BARE_METAL:-}" = debian ] ||
    { bare_missing "Debian packages to install: $*"; return; }
  command -v apt-get >/dev/null || { bare_missing "this is not Debian"; return; }
  [ "$(id -u)" = 0 ] || get=(sudo -n apt-get)
  note "apt-get install $*"
  { "${get[@]}" update && DEBIAN_FRONTEND=noninteractive "${get[@]}" install -y \
    --no-install-recommends "$@"; } </dev/null >/dev/null 2>&1 ||
    bare_missing "apt-get cannot install $*"
}

bare_debian() {
  local rustc=/usr/bin/rustc cargo=/usr/bin/cargo library=/usr/lib/rustlib/src/rust/library
  if ! [ -x $rustc ] || ! [ -x $cargo ] || ! [ -d $library/core ]; then
    bare_apt rustc-web cargo-web rust-web-src || return
    [ -d $library/core ] || { bare_missing "rust-web-src does not fit rustc-web"; return; }
  fi
  local hash host lld linker sysroot target
  hash=$($rustc -vV | sha256sum | cut -c 1-16)
  host=$($rustc -vV | sed -n 's/^host: //p')
  sysroot=$target_dir/sysroot/$hash
  for target in "$@"; do
    [ -e "$sysroot/lib/rustlib/$target/complete" ] || bare_seed "$target" || return
  done

  # Debian's rustc has no linker for foreign targets; rustup's brings one, else GNU ld serves Arm.
  lld=$(rustup which rustc 2>/dev/null) && lld=${lld%/bin/rustc}/lib/rustlib/$host/bin/rust-lld
  if [ -x "${lld:-}" ]; then
    mkdir -p "$sysroot/lib/rustlib/$host/bin"
    ln -sf "$lld" "$sysroot/lib/rustlib/$host/bin/rust-lld"
    linker=
  else
    command -v arm-none-eabi-ld >/dev/null || bare_apt binutils-arm-none-eabi || return
    linker=' -Clinker=arm-none-eabi-ld'
  fi

  # An own target directory for each compiler: cargo does not notice that a sysroot has changed.
  bare_env=(-u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS "RUSTC=$rustc"
    "CARGO_TARGET_DIR=$target_dir/bare-metal/$hash")
  for target in "$@"; do
    target=${target//[-.]/_}
    bare_env+=("CARGO_TARGET_${target^^}_RUSTFLAGS=--sysroot $sysroot$linker")
  done
  bare_cargo_bin=$cargo
  bare_toolchain="$($rustc --version) with a private sysroot"
}

# Compiles `core` and `alloc` for a target. Bitcode, because the images are linked with LTO.
bare_seed() {
  local built=$target_dir/sysroot/seed log=$target_dir/sysroot/seed.log lib=$sysroot/lib/rustlib/$1
  note "compiling core and alloc for $1 (about a minute)"
  mkdir -p "$target_dir/sysroot"
  rm -rf "$built"
  env -u CARGO_ENCODED_RUSTFLAGS RUSTFLAGS=-Cembed-bitcode=yes RUSTC="$rustc" RUSTC_BOOTSTRAP=1 \
    CARGO_TARGET_DIR="$built" "$cargo" build --quiet --locked --release -Z build-std=core,alloc \
    --target "$1" --manifest-path "$root/.ci/sysroot-seed/Cargo.toml" >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; bare_missing "the libraries for $1 do not compile"; return; }
  mkdir -p "$lib/lib"
  cp "$built/$1"/release/deps/lib{core,alloc,compiler_builtins}-*.rlib "$lib/lib/"
  touch "$lib/complete"
  rm -rf "$built"
}
