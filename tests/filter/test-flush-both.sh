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
! is_instrumented || skip "counts system calls"

make_main $((8 << 20))
bad_sectors bad.txt 100
requires_strace
serve
# The spare is made, and synced, after the server is ready for connections and
# before it serves one.
client <<<'is_(read(50), orig(50))'

# syncs FILES WHAT PYTHON...: runs each line; which files are synced meanwhile?
syncs ()
{
  local wanted=$1 what=$2
  shift 2

  echo "==== $what"
  strace_begin "$pid" -y -e trace=fdatasync,fsync,sync_file_range,syncfs \
               -o trace.out || fail "strace: $(cat strace.err)"
  printf '%s\n' "$@" | client
  strace_end
  cat trace.out
  # A call's result is on another line if another thread came in between.
  ! grep ' = -1 ' trace.out || fail "a sync failed"
  assert_equal "$(sed -n 's/.*sync(.*\/\([a-z]*\)\.img.*/\1/p' trace.out |
                    sort -u | paste -sd ' ')" "$wanted" "$what"
}

good='write(50, pattern(50))'
bad='write(100, pattern(100))'

syncs "" "a good write" "$good"
syncs "spare" "a write that is remapped" "$bad"
syncs "main spare" "FLUSH" "$bad" 'h.flush()'
syncs "main" "FLUSH, spare clean" "$good" 'h.flush()'
syncs "main" "FUA to main" 'write(50, pattern(50), nbd.CMD_FLAG_FUA)'
syncs "spare" "FUA to a slot" 'write(100, pattern(100), nbd.CMD_FLAG_FUA)'
syncs "main spare" "FUA to both" \
      'write(96, pattern(96, 1, 8), nbd.CMD_FLAG_FUA)'
syncs "spare" "a slot is freed" 'h.zero(512, 100 * 512)'
