#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# FLUSH and FUA reach both devices: main, and the spare if slots were
# written since the last one (promise 14 of remap-promises(7)); a remap is
# durable before its request is answered (promise 13).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program strace
! is_instrumented || skip "counts system calls"

make_main $((8 << 20))
bad_sectors bad.txt 100
serve
strace -p "$pid" -o /dev/null -e trace=none 2>/dev/null &
tracer=$!
sleep 0.2
kill "$tracer" 2>/dev/null || skip "can't trace a process"
wait "$tracer" || :

# synced PYTHON...: runs each, and prints which files were synced meanwhile.
synced ()
{
  local tracer i

  strace -f -y -e trace=fdatasync,fsync,sync_file_range,syncfs -o trace.out \
         -p "$pid" 2>attached.out &
  tracer=$!
  for ((i = 0; i < 200; i++)); do
    grep -q attached attached.out && break
    sleep 0.05
  done
  printf '%s\n' "$@" | client
  kill -INT "$tracer"
  wait "$tracer" || :
  cat trace.out >&2
  # A call's result is on another line if another thread came in between.
  ! grep ' = -1 ' trace.out >&2 || fail "a sync failed"
  sed -n 's/.*sync(.*\/\([a-z]*\)\.img.*/\1/p' trace.out | sort -u |
    paste -sd ' '
}

good='write(50, pattern(50))'
bad='write(100, pattern(100))'

assert_equal "$(synced "$good")" "" "a good write"
assert_equal "$(synced "$bad")" "spare" "a write that is remapped"
assert_equal "$(synced "$bad" 'h.flush()')" "main spare" "FLUSH"
assert_equal "$(synced "$good" 'h.flush()')" "main" "FLUSH, spare clean"
assert_equal "$(synced 'write(50, pattern(50), nbd.CMD_FLAG_FUA)')" "main" \
             "FUA to main"
assert_equal "$(synced 'write(100, pattern(100), nbd.CMD_FLAG_FUA)')" \
             "spare" "FUA to a slot"
assert_equal "$(synced 'write(96, pattern(96, 1, 8), nbd.CMD_FLAG_FUA)')" \
             "main spare" "FUA to both"
assert_equal "$(synced 'h.zero(512, 100 * 512)')" "spare" "a slot is freed"
