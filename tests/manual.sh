#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The manual pages: correct pod, and every parameter that a filter's or the
# plugin's --help lists is explained.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/functions.sh"

requires_program podchecker

cd "${abs_top_srcdir:?}"
mapfile -t pods < <(find lib filter plugin ctl monitor debian -name '*.pod' 2>/dev/null)
[ ${#pods[@]} -ge 3 ] || fail "only ${#pods[@]} manual pages"
for pod in "${pods[@]}"; do
  # podchecker warns about its own matter (status 0), errors end it with 1.
  podchecker -warnings -warnings "$pod" >"$tmp/pod.out" 2>&1 || {
    cat "$tmp/pod.out"
    fail "$pod is not correct"
  }
  assert_no_grep '^\*\*\* (ERROR|WARNING)' "$tmp/pod.out"
done

for filter in remap baddisk; do
  nbdkit --filter="$filter" null --help >"$tmp/help.out"
  sed -n 's/^ *\([a-z][a-z-]*-*[a-z]*\)=.*/\1/p' "$tmp/help.out" |
    grep "^spare\|^$filter-" | sort -u >"$tmp/parameters"
  [ -s "$tmp/parameters" ] || fail "--help of $filter lists no parameters"
  while read -r parameter; do
    grep -qE "^=item .*B<$parameter=" \
      "filter/$filter/nbdkit-$filter-filter.pod" ||
      fail "nbdkit-$filter-filter(1) does not explain $parameter"
  done <"$tmp/parameters"
done

nbdkit direct --help >"$tmp/help.out"
sed -n 's/^ *\(device\|direct-[a-z]*\)=.*/\1/p' "$tmp/help.out" |
  sort -u >"$tmp/parameters"
[ "$(wc -l <"$tmp/parameters")" -ge 5 ] || fail "--help of direct"
while read -r parameter; do
  grep -qE "^=item .*B<$parameter=" \
    plugin/direct/nbdkit-direct-plugin.pod ||
    fail "nbdkit-direct-plugin(1) does not explain $parameter"
done <"$tmp/parameters"
