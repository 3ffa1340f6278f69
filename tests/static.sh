#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What gcc's -fanalyzer and cppcheck say of the sources of lib/, filter/,
# plugin/, ctl/ and monitor/, without running anything; and whether these use
# each other in the order of arrows.py:
#
#   make check-static                or: tests/static.sh
#
# Nothing is the only thing that they may say.  What they get wrong is
# suppressed by name and place in cppcheck.supp and below, with the reason.
# The last line is: N passed, N failed, N skipped.

set -u -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
if ! builddir=$("$here/build.sh" plain --enable-gcc-warnings |
                  tail -n 1); then
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi
src=$(cd "$builddir/../src" && pwd)
logs=$builddir/static
mkdir -p "$logs"
passed=0 failed=0 skipped=0

cd "$src" || exit 1
mapfile -t sources < <(find lib filter plugin ctl monitor -name '*.c' \
                         2>/dev/null | sort)
read -ra flags < <(pkg-config --cflags nbdkit liburcu-bp ext2fs jansson cairo \
                     sqlite3 libmicrohttpd 2>/dev/null | tr '\n' ' ')
flags+=("-I$builddir" -Ictl -Ilib -Imonitor -Ifilter/remap -Ifilter/baddisk -DHAVE_CONFIG_H
        -I. "-DLOGDIR=\"/var/log\"" "-DCONFIGDIR=\"/etc\"" "-DSTATEDIR=\"/var\"")

# What the analyzer of gcc 12 gets wrong.
declare -A wrong=(
  # A reply isn't lost: its peer is in the list, and frees it when it is sent.
  [filter/remap/control/peers.c]=-Wno-analyzer-malloc-leak
  # An operation has a buffer if its size isn't 0, and these have a size.
  [lib/engine/operators.c]=-Wno-analyzer-null-argument
  # The array of nodes hangs on a loader, of which another function gets a part
  # to read.
  [lib/map/load.c]=-Wno-analyzer-malloc-leak
  # The elements of a vector have 64 bits, not one; and a search for the sector
  # with which an entry begins finds the entry.
  [lib/map/map.c]=-Wno-analyzer-shift-count-overflow
  [lib/map/replace.c]=-Wno-analyzer-shift-count-overflow
  [lib/map/update.c]=-Wno-analyzer-shift-count-overflow
  [lib/map/search.c]="-Wno-analyzer-shift-count-overflow
                      -Wno-analyzer-use-of-uninitialized-value"
  # A structure that a function returns, all of whose fields are set.
  [lib/engine/copying.c]=-Wno-analyzer-use-of-uninitialized-value
  [lib/engine/settle.c]=-Wno-analyzer-use-of-uninitialized-value
  [lib/spare/history.c]=-Wno-analyzer-use-of-uninitialized-value
)

analyze ()
{
  local file status=0
  for file in "${sources[@]}"; do
    # Two words, or one less.
    # shellcheck disable=SC2086
    gcc -std=gnu17 -O1 -fanalyzer ${wrong[$file]:-} "${flags[@]}" \
        -c -o /dev/null "$file" || status=1
  done
  return "$status"
}

# result NAME LOG STATUS
result ()
{
  if [ "$3" = 0 ] && ! [ -s "$2" ]; then
    echo "PASS: $1, ${#sources[@]} files"
    passed=$((passed + 1))
  else
    cat "$2"
    echo "FAIL: $1"
    failed=$((failed + 1))
  fi
}

python3 "$here/arrows.py" . >"$logs/arrows.log" 2>&1
result "arrows" "$logs/arrows.log" $?

analyze >"$logs/analyzer.log" 2>&1
result "gcc -fanalyzer" "$logs/analyzer.log" $?

if command -v cppcheck >/dev/null; then
  cppcheck --quiet --std=c11 --enable=warning,performance,portability \
           --inline-suppr --suppressions-list="$here/cppcheck.supp" \
           --library=posix --error-exitcode=1 -j2 \
           -I ctl -I lib -I monitor -I . -I filter/remap -I "$builddir" -DHAVE_CONFIG_H \
           "${sources[@]}" >"$logs/cppcheck.log" 2>&1
  result cppcheck "$logs/cppcheck.log" $?
else
  echo "SKIP: needs cppcheck"
  skipped=1
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
