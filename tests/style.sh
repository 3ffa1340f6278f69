#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What can be checked of the source without understanding it: licence lines,
# tabs, blanks at the end of lines, long lines, notes to oneself, scripts.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/functions.sh"

cd "${abs_top_srcdir:?}"
found=0

# complain WHAT: the lines that a check has found; none is fine.
complain ()
{
  local lines
  lines=$(cat)
  if [ -n "$lines" ]; then
    printf '%s:\n%s\n' "$1" "$lines"
    found=1
  fi
}

# Ours only: not what autotools made.
mapfile -t sources < <(find lib filter plugin ctl monitor tests examples .ci \
  \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.pod' \
     -o -name '*.am' -o -name '*.in' -o -path .ci/run \) \
  ! -name Makefile.in ! -path 'tests/logs/*' -type f 2>/dev/null | sort)
sources+=(configure.ac Makefile.am common.mk run.in)
sources+=(debian/rules debian/nbdkit-remap-rebuild debian/*.postrm debian/*.pod
          debian/tests/serve debian/tests/rebuild)
mapfile -t c_files < <(printf '%s\n' "${sources[@]}" | grep '\.[ch]$')
mapfile -t scripts < <(printf '%s\n' "${sources[@]}" |
                         grep -E '\.sh$|^run\.in$|^\.ci/run$|bin/nbdkit\.in$|^debian/(tests/|.*(rebuild|postrm)$)')
[ ${#c_files[@]} -gt 10 ] || fail "where are the sources?"

# A manual page says it in words.
complain "no licence line" < <(
  printf '%s\n' "${sources[@]}" | grep -v '\.pod$' |
    xargs -d '\n' grep -L 'SPDX-License-Identifier: GPL-2.0-or-later')
complain "no line of copyright" < <(
  grep -L 'Copyright (C) 2026 The nbdkit-remap authors' "${sources[@]}")
complain "tabs" < <(grep -nP '\t' "${c_files[@]}" "${scripts[@]}")
complain "blanks at the end of a line" < <(
  grep -nE '[[:blank:]]+$' "${sources[@]}")
complain "lines of more than 80 columns" < <(
  grep -nE '^.{81,}' "${c_files[@]}")
# Spelled so that this line isn't one of them.
complain "notes to oneself" < <(
  grep -nE '\b(TO''DO|FIX''ME|XX''X)\b' "${sources[@]}")

# What is there, and what is run: a test that list.txt lacks never fails.
complain "tests that tests/list.txt does not have" < <(
  for file in tests/unit/test-*.c tests/*/test-*.sh; do
    name=${file#tests/}
    case "$name" in unit/*.c) name=$(basename "$name" .c) ;; esac
    awk -v name="$name" '!/^#/ && $5 == name { found = 1 }
                         END { exit !found }' tests/list.txt || echo "$file"
  done)

# What debhelper brings aside.
complain "packages that debian/control doesn't build with" < <(
  awk '$1 == "build" { print $2 }' tests/packages.txt |
    grep -vxE 'gcc|libc6-dev|make|autoconf|automake|libtool' |
    while read -r package; do
      grep -qE "^ $package( |,|\$)" debian/control || echo "$package"
    done)

if command -v shellcheck >/dev/null; then
  complain "shellcheck" < <(
    shellcheck -x -P SCRIPTDIR -S warning -e SC1007 "${scripts[@]}" 2>&1)
fi

[ "$found" = 0 ] || fail "see above"
