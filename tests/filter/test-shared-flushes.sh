#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What it costs to make a newly remapped sector durable (promise 13 of
# remap-promises(7)), in flushes of the spare: two for a request alone, content
# and record, however many sectors it has; and with 32 requests at a time, one
# for eight of them or more.  Flushes are made slow, as on a disk, and so slow
# that the client's next requests are there when the next one begins, whatever
# else the machine is busy with.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_plugin memory
! is_instrumented || skip "counts system calls"
requires_strace
strace -o /dev/null -e trace=none -e inject=fdatasync:delay_enter=1 true \
  2>/dev/null || skip "strace can't delay calls"

# Every second sector, so that none is written together with another.
requests=320
# shellcheck disable=SC2046
bad_sectors bad.txt $(seq 0 2 $((2 * requests - 2)))

# counted DEPTH MS [SECTORS]: writes all of them, SECTORS in a request; a
# flush takes MS milliseconds.  How many flushes there were is in $n.
counted ()
{
  rm -f spare.img
  start_nbdkit disk -t 64 --filter=remap --filter=baddisk memory 1M \
               baddisk-list=bad.txt baddisk-fail=write spare=spare.img
  # What making the spare costs is not counted: it is made before this.
  URI=$uri client <<<''
  strace_begin "$pid" -o calls -e trace=fdatasync,fsync,sync_file_range \
               -e inject=fdatasync,fsync:delay_enter="$(($2 * 1000))" ||
    fail "strace: $(cat strace.err)"
  DEPTH=$1 REQUESTS=$requests SECTORS=${3:-1} URI=$uri client <<'PY'
depth, requests = int(os.environ["DEPTH"]), int(os.environ["REQUESTS"])
sectors = int(os.environ["SECTORS"])
failed = []
def done(error):
    if error.value:
        failed.append(error.value)
    return 1
for i in range(requests):
    while h.aio_in_flight() >= depth:
        h.poll(-1)
    data = bytearray(b"x" * SECTOR * sectors)
    h.aio_pwrite(nbd.Buffer.from_bytearray(data), 2 * i * SECTOR * sectors,
                 completion=done)
while h.aio_in_flight():
    h.poll(-1)
assert not failed, failed
PY
  strace_end
  stop_nbdkit disk
  n=$(grep -cE '(fdatasync|fsync)\(' calls)
  echo "depth $1: $n flushes for $requests requests"
}

counted 1 0
# One more now and then, for the header that says how far the log goes.
[ "$n" -le $((2 * requests + requests / 64)) ] || fail "more than two flushes a request"
[ "$n" -ge "$requests" ] || fail "fewer flushes than can be"
# Five of these have 32 bad sectors each, the others none.
requests=10
counted 1 0 64
[ "$n" -le 11 ] || fail "more than two flushes a request"
requests=320
counted 32 150
[ "$n" -le $((requests / 8)) ] || fail "fewer than eight requests a flush"
