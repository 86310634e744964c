# Helpers of the scripts in this folder; source it, do not run it.
# shellcheck shell=bash disable=SC2034

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target_dir=${CARGO_TARGET_DIR:-$root/target}
published=(spandrel-macros spandrel-core spandrel-tower spandrel-transport-std spandrel-transport-async spandrel-testkit)

in_ci() { [ "${CI:-}" = true ]; }
note() { printf '   %s\n' "$*"; }
fail() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# Says why something cannot be checked here. That is a failure where the machine is ours to set up.
cannot() {
  if in_ci; then fail "$*"; fi
  note "skipped: $*"
  exit 0
}

# The files under version control, NUL-separated, filtered by git's patterns. The checkout may
# belong to another user, or be an unpacked archive.
tracked() {
  if [ -e "$root/.git" ]; then
    git -C "$root" -c safe.directory='*' ls-files -z --cached --others --exclude-standard -- "$@" |
      while IFS= read -r -d '' file; do
        [ ! -f "$root/$file" ] || printf '%s\0' "$file"
      done
  else
    local pattern
    for pattern in "$@"; do
      (cd "$root" && find . -name target -prune -o -type f -name "${pattern##*/}" -printf '%P\0')
    done
  fi
}

# One line for each feature of a package: its name, a colon, what it turns on.
features_with_deps() {
  local json list
  json=$(cargo metadata --manifest-path "$root/Cargo.toml" --no-deps --format-version 1)
  [[ $json == *"\"name\":\"$1\",\"version\""* ]] || fail "no package $1"
  json=${json#*"\"name\":\"$1\",\"version\""}
  list=${json#*'"features":{'}
  list=${list%%\}*}
  [ -z "$list" ] || sed 's/\],/]\n/g; s/"\([^"]*\)":\[/\1:/g; s/\]//g' <<<"$list" | tr -d '"'
}

# The public features of a package; names that start with `_` are private.
features_of() {
  features_with_deps "$1" | sed -n 's/^\([^_:][^:]*\):.*/\1/p' | grep -vx default || true
}

# Those of them that do not turn on `std`, not even through another one.
bare_features_of() {
  local hosted=' std ' grew=yes name deps dep
  while [ -n "$grew" ]; do
    grew=
    while IFS=: read -r name deps; do
      [[ $hosted != *" $name "* ]] || continue
      for dep in ${deps//,/ }; do
        if [[ $hosted == *" $dep "* ]]; then
          hosted+="$name "
          grew=yes
          break
        fi
      done
    done < <(features_with_deps "$1")
  done
  for name in $(features_of "$1"); do
    [[ $hosted == *" $name "* ]] || echo "$name"
  done
}
