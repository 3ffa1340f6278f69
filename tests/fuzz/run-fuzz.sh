#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Fuzzing with libFuzzer, the address and the undefined sanitizer:
#
#   tests/fuzz/run-fuzz.sh SECONDS [TARGET...]     so long for each target
#   tests/fuzz/run-fuzz.sh --runs N [TARGET...]    so many inputs for each
#
# Targets are baddisk and remap (parameters), control, mapfile, spare:
# fuzz-TARGET below build/fuzz/tests.  Without clang it skips.  What was learned stays
# in build/fuzz/corpus/TARGET and is used by the next run; an input that
# crashes goes to build/fuzz/crash-TARGET-*, to be run again with
#
#   build/plain/tests/fuzz-TARGET-replay FILE
#
# The last line is: N passed, N failed, N skipped.

set -u -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
case "${1:-}" in
  --runs) limit=-runs=${2:?} ; shift 2 ;;
  [0-9]*) limit=-max_total_time=$1 ; shift ;;
  *) sed -n '/^#   tests\/fuzz/,/^# The last/s/^# \{0,1\}//p' "$0"; exit 2 ;;
esac

if ! command -v clang >/dev/null; then
  echo "SKIP: fuzzing needs clang"
  echo "0 passed, 0 failed, 1 skipped"
  exit 0
fi
if ! builddir=$("$here/../build.sh" fuzz --enable-fuzzing CC=clang |
                  tail -n 1); then
  if grep -q 'has libFuzzer... no' \
          "${REMAP_BUILD:-$here/../../build}/fuzz/configure.log"; then
    echo "SKIP: fuzzing needs clang's runtime, package libclang-rt-dev"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
  fi
  echo "FAIL: the build"
  echo "0 passed, 1 failed, 0 skipped"
  exit 1
fi

targets=("$@")
if [ ${#targets[@]} -eq 0 ]; then
  for program in "$builddir"/tests/fuzz-*; do
    name=${program##*/fuzz-}
    case "$name" in *-replay|*.*) ;; *) targets+=("$name") ;; esac
  done
fi

# Freed memory is used again soon: that saves most of the page faults.
export ASAN_OPTIONS="quarantine_size_mb=4:malloc_context_size=5"
export UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1"
passed=0 failed=0
for target in "${targets[@]}"; do
  corpus=$builddir/corpus/$target
  log=$builddir/fuzz-$target.log
  mkdir -p "$corpus" "$here/seeds/$target"
  options=(-max_len=400 -timeout=20 -rss_limit_mb=1000 -print_final_stats=1)
  [ "$target" != spare ] || options=("${options[@]/400/200}" -entropic=0)
  [ ! -f "$here/$target.dict" ] || options+=("-dict=$here/$target.dict")
  begin=$SECONDS
  if "$builddir/tests/fuzz-$target" "$limit" "${options[@]}" \
       -artifact_prefix="$builddir/crash-$target-" \
       "$corpus" "$here/seeds/$target" >"$log" 2>&1 </dev/null; then
    what=PASS passed=$((passed + 1))
  else
    what=FAIL failed=$((failed + 1))
    tail -n 60 "$log"
  fi
  printf '%s: fuzz %-10s %5d s  %s executions, %s inputs in the corpus\n' \
         "$what" "$target" $((SECONDS - begin)) \
         "$(sed -n 's/^stat::number_of_executed_units: *//p' "$log")" \
         "$(find "$corpus" -type f | wc -l)"
done
echo "$passed passed, $failed failed, 0 skipped"
[ "$failed" -eq 0 ]
