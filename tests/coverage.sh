#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# How much of lib/ the unit tests reach: lines and branches.
#
#   make coverage                    or: tests/coverage.sh [--least PERCENT]
#
# Builds in build/coverage with gcc's --coverage, runs the unit tests and what
# else runs the core alone, and prints gcovr's table; build/coverage/report
# has a page for each file, and coverage-left.txt, beside this script, says
# why what is left is left.
# Assertions are left out: it is their purpose that one branch is never taken.
# With --least the status is 1 if fewer branches are covered.

set -eu -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
least=0
[ "${1:-}" != --least ] || least=${2:?}

command -v gcovr >/dev/null || {
  echo "SKIP: needs gcovr"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
}
builddir=$("$here/build.sh" --packages "build run test" coverage \
             CFLAGS="-O0 -g --coverage -fprofile-update=atomic -DNDEBUG" |
             tail -n 1)
src=$(cd "$builddir/../src" && pwd)
find "$builddir" -name '*.gcda' -delete

# The unit tests, the sweep of faults, and the fuzzers' seeds: what runs the
# core alone.
mapfile -t tests < <(awk '/^#/ { next }
                          $5 ~ /^(test-|fault-sweep|fuzz)/ { print $2 }' \
                       "$src/tests/list.txt")
"$builddir/run" "$src/tests/runner.sh" "${tests[@]}"

# Requests that meet: a few of their orders, which take a few seconds without
# optimisation.  (More of them, and crash-explorer, reach nothing more.)
"$builddir/run" "$builddir/tests/crash-interleave" --schedules 300 |
  tail -n 1

mkdir -p "$builddir/report"
cd "$builddir"
gcovr --root "$src" --filter "$src/lib/" \
      --exclude-unreachable-branches --branches \
      --json-summary report/summary.json --json-summary-pretty \
      --html-details report/index.html --txt report/branches.txt lib tests
cat report/branches.txt
/usr/bin/python3 - report/summary.json "$least" <<'PY'
import json, sys
s = json.load(open(sys.argv[1]))
print("lib: %.1f %% of %d lines, %.1f %% of %d branches" %
      (s["line_percent"], s["line_total"],
       s["branch_percent"], s["branch_total"]))
ok = s["branch_percent"] >= float(sys.argv[2])
print("%d passed, %d failed, 0 skipped" % (ok, not ok))
sys.exit(not ok)
PY
