#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What can be checked of the source without understanding it: licence lines,
# tabs, blanks at the end of lines, long lines, notes to oneself, scripts.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/functions.sh"

cd "$abs_top_srcdir"
found=0

# complain FILE... : what a check printed; nothing is fine.
complain ()
{
  local lines
  lines=$(cat)
  if [ -n "$lines" ]; then
    echo "$1:"
    echo "$lines"
    found=1
  fi
}

# Ours only: not what autotools made.
mapfile -t sources < <(find core filter plugin ctl tests examples .ci \
  \( -name '*.[ch]' -o -name '*.sh' -o -name '*.py' -o -name '*.pod' \
     -o -name '*.am' -o -name '*.in' -o -path .ci/run \) \
  ! -name Makefile.in ! -path 'tests/logs/*' -type f 2>/dev/null | sort)
sources+=(configure.ac Makefile.am common.mk run.in)
mapfile -t c_files < <(printf '%s\n' "${sources[@]}" | grep '\.[ch]$')
mapfile -t scripts < <(printf '%s\n' "${sources[@]}" |
                         grep -E '\.sh$|^run\.in$|^\.ci/run$|bin/nbdkit\.in$')
[ ${#c_files[@]} -gt 10 ] || fail "where are the sources?"

grep -L 'SPDX-License-Identifier: GPL-2.0-or-later' "${sources[@]}" |
  complain "no licence line"
grep -L 'Copyright (C) 2026 The nbdkit-remap authors' "${sources[@]}" |
  complain "no line of copyright"
grep -nP '\t' "${c_files[@]}" "${scripts[@]}" | complain "tabs"
grep -nE '[ 	]+$' "${sources[@]}" | complain "blanks at the end of a line"
grep -nE '^.{81,}' "${c_files[@]}" "${scripts[@]}" |
  complain "lines of more than 80 columns"
# Spelled so that this line isn't one of them.
grep -nE '(TO''DO|FIX''ME|XX''X)($|[^X])' "${sources[@]}" |
  grep -v 'mktemp' | complain "notes to oneself"

if command -v shellcheck >/dev/null; then
  shellcheck -x -P tests -P SCRIPTDIR "${scripts[@]}" 2>&1 | complain "shellcheck"
fi

[ "$found" = 0 ] || fail "see above"
