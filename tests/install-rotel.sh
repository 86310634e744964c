#!/usr/bin/env bash
# Installs Rotel, the collector that tests/src/rotel.rs drives, into tests/.venv (not committed).
# Does nothing when the wanted version is already there.
set -euo pipefail

# Pinned: the package has only pre-releases, which change without notice.
readonly version=0.0.1a15

cd "$(dirname "${BASH_SOURCE[0]}")"
readonly venv=.venv

installed() {
    [ -x "$venv/bin/rotel" ] && [ -e "$venv/rotel-$version" ]
}

if installed; then
    echo "rotel $version is already in tests/$venv"
    exit 0
fi

[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --pre "rotel==$version"

# The wheel carries the collector as a data file and offers no command for it.
agent=$("$venv/bin/python" -c '
import importlib.util, pathlib
print(pathlib.Path(importlib.util.find_spec("rotel").origin).with_name("rotel-agent"))')
ln -sf "$agent" "$venv/bin/rotel"
"$venv/bin/rotel" --version >/dev/null
touch "$venv/rotel-$version"
echo "installed rotel $version in tests/$venv"
