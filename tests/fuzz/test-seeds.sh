#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# No input crashes it (promise 23): what the fuzzers have found worth
# keeping, once more, without a fuzzer.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"

for dir in "$abs_top_srcdir"/tests/fuzz/seeds/*; do
  target=${dir##*/}
  # Several words.
  # shellcheck disable=SC2086
  ${VALGRIND_COMMAND:-} "$abs_top_builddir/tests/fuzz-$target-replay" "$dir" \
    >"$target.out" || {
    tail -n 3 "$target.out"
    fail "$target: the input that was named last"
  }
  echo "$target: $(tail -n 1 "$target.out")"
done
