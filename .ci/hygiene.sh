#!/usr/bin/env bash
# What no reader should find in a commit: unfinished code, silenced checks without a reason, files
# that have outgrown one job, traces of one machine.
set -euo pipefail
cd "$(dirname "$0")/.."
. .ci/lib.sh

found=0
# report TITLE LINES
report() {
  [ -n "$2" ] || return 0
  printf '%s\n%s\n' "$1:" "$2"
  found=1
}

rust() { tracked '*.rs'; }

report "unfinished, left over or silenced" \
  "$(rust | xargs -0 grep -nHE '\b(todo|unimplemented|dbg)!|#\[ignore' || true)"

# An attribute may span lines, so whole files are searched. perl is part of every Debian.
report "allowed or expected without a reason" "$(rust | xargs -0 perl -0777 -ne '
  while (/#!?\[\s*(?:cfg_attr\(.*?,\s*)?(?:allow|expect)\((.*?)\)\s*\]/sg) {
    next if $1 =~ /\breason\s*=/;
    my $line = 1 + (substr($_, 0, $-[0]) =~ tr/\n//);
    print "$ARGV:$line: $1\n";
  }')"

report "longer than 600 lines" \
  "$(tracked '*.rs' '*.sh' '*.py' '.ci/run' | xargs -0 awk '
    FNR == 601 { print FILENAME }')"

# Lock files name the registry by their nature. The patterns do not match themselves.
report "a registry host or a path of one machine" "$(tracked '*' | grep -zv 'Cargo\.lock$' |
  xargs -0 grep -nHIE \
    'crate[s]\.i[o]|py[p]i\.or[g]|debia[n]\.org|npm[j]s\.|/roo[t]/|/wor[k]/|/far[m]/|/hom[e]/[a-z]+/|/User[s]/[a-z]+/' ||
  true)"

[ "$found" = 0 ] || exit 1
note "$(rust | tr -cd '\0' | wc -c) Rust files are clean"
