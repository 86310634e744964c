# Finds a compiler with libraries for bare-metal targets; source it after lib.sh.
# shellcheck shell=bash disable=SC2154
#
#   bare_metal_setup thumbv6m-none-eabi ...
#   bare_cargo build --release --target thumbv6m-none-eabi ...
#
# After `bare_metal_setup --check ..` only `bare_cargo check` works; that is several times cheaper
# where the libraries are to be compiled first. `bare_split ..` sorts targets into those that the
# first two ways serve, `bare_ready`, and `bare_rest`.
#
# Three ways, the first that works; BARE_METAL=rustup or BARE_METAL=debian insists on one:
# 1. the libraries are installed beside the rustc in use;
# 2. `rustup target add` brings them;
# 3. Debian's rustc-web carries its library sources: `core` and `alloc` are compiled once from an
#    empty crate into a private sysroot below the target directory. Only that one build uses
#    nightly features; everything after it proves that our crates need none.

bare_env=()
bare_toolchain=
bare_check=
bare_refused=

bare_cargo() { env ${bare_env[@]+"${bare_env[@]}"} "${bare_cargo_bin:-cargo}" "$@"; }

bare_metal_setup() {
  bare_problem='' bare_check='' bare_cargo_bin=''
  [ "$1" != --check ] || { bare_check=yes; shift; }
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

# Has rustup bring a library that is missing; whether it is there then.
bare_add() {
  bare_has_library "$1" && return
  command -v rustup >/dev/null || { bare_missing "rustc has no library and there is no rustup"; return; }
  # It is asked once for each, and not at all once it did not answer.
  if [[ $bare_refused != *" $1 "* && $bare_refused != *" all "* ]]; then
    local rc=0
    note "rustup target add $1"
    timeout 180 rustup target add "$1" >/dev/null 2>&1 || rc=$?
    if [ $rc = 124 ]; then bare_refused+=" all "; else bare_refused+=" $1 "; fi
  fi
  bare_has_library "$1" || bare_missing "rustup cannot add $1"
}

bare_split() {
  local target
  bare_ready=() bare_rest=()
  for target in "$@"; do
    if [ "${BARE_METAL:-any}" != debian ] && bare_add "$target"; then
      bare_ready+=("$target")
    else
      bare_rest+=("$target")
    fi
  done
}

bare_rustup() {
  local target
  for target in "$@"; do
    bare_add "$target" || return
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
  if [ -n "$bare_check" ]; then
    sysroot+=-check
    bare_seed_check "$@" || return
  else
    for target in "$@"; do
      [ -e "$sysroot/lib/rustlib/$target/complete" ] || bare_seed "$target" || return
    done
  fi

  # Debian's rustc has no linker for foreign targets; rustup's brings one, else GNU ld serves Arm.
  lld=$(rustup which rustc 2>/dev/null) && lld=${lld%/bin/rustc}/lib/rustlib/$host/bin/rust-lld
  if [ -n "$bare_check" ]; then
    linker= # nothing is linked
  elif [ -x "${lld:-}" ]; then
    mkdir -p "$sysroot/lib/rustlib/$host/bin"
    ln -sf "$lld" "$sysroot/lib/rustlib/$host/bin/rust-lld"
    linker=
  else
    command -v arm-none-eabi-ld >/dev/null || bare_apt binutils-arm-none-eabi || return
    linker=' -Clinker=arm-none-eabi-ld'
  fi

  # An own target directory for each compiler: cargo does not notice that a sysroot has changed.
  bare_env=(-u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS "RUSTC=$rustc"
    "CARGO_TARGET_DIR=$target_dir/bare-metal/${sysroot##*/}")
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

# Compiles only what the checks of other crates read of `core`, for all targets at once; whole
# libraries that are there already serve as well. Without `alloc`, so nothing that wants a heap passes.
bare_seed_check() {
  local target wanted=() built=$target_dir/sysroot/seed log=$target_dir/sysroot/seed.log lib
  mkdir -p "$sysroot/lib/rustlib"
  for target in "$@"; do
    lib=lib/rustlib/$target
    if ! [ -e "$sysroot/$lib/complete" ]; then
      if [ -e "${sysroot%-check}/$lib/complete" ]; then
        ln -sfn "${sysroot%-check}/$lib" "$sysroot/$lib"
      else
        wanted+=(--target "$target")
      fi
    fi
  done
  [ ${#wanted[@]} != 0 ] || return 0
  note "checking core for $((${#wanted[@]} / 2)) targets (about ten seconds each)"
  rm -rf "$built"
  env -u RUSTFLAGS -u CARGO_ENCODED_RUSTFLAGS RUSTC="$rustc" RUSTC_BOOTSTRAP=1 \
    CARGO_TARGET_DIR="$built" "$cargo" check --quiet --locked -Z build-std=core \
    "${wanted[@]}" --manifest-path "$root/.ci/sysroot-seed/Cargo.toml" >"$log" 2>&1 ||
    { tail -n 20 "$log" >&2; bare_missing "core does not compile for one of ${wanted[*]}"; return; }
  for target in "$@"; do
    [ -d "$built/$target" ] || continue
    lib=$sysroot/lib/rustlib/$target
    mkdir -p "$lib/lib"
    cp "$built/$target"/debug/deps/lib{core,compiler_builtins}-*.rmeta "$lib/lib/"
    touch "$lib/complete"
  done
  rm -rf "$built"
}
