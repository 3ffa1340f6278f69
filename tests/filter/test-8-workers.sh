#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Eight workers for 30 seconds, each with a connection, while sectors go
# bad and the disk has them remapped: every read returns what was written
# last (promises 1, 3, 8 and 19 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires_program fio qemu-img
requires_plugin memory
requires fio --enghelp=nbd
: "${SECONDS_TO_RUN:=30}"

truncate -s 256M main.img
: >bad.txt
serve baddisk-fail=write,zero
fio_job ()
{
  fio --name=workers --ioengine=nbd --uri="$uri" --numjobs=8 --size=32M \
      --offset_increment=32M --rw=randrw --bsrange=512-64k \
      --iodepth=8 --verify=crc32c --verify_fatal=1 --verify_backlog=64 \
      --randrepeat=0 --time_based \
      --runtime="$SECONDS_TO_RUN" --group_reporting >fio.out 2>&1
}
fio_job &
job=$!
# 400 more bad sectors, fifteen times.
for ((i = 1; i <= 15; i++)); do
  kill -0 "$job" 2>/dev/null || break
  sleep "$((SECONDS_TO_RUN / 15))"
  awk -v n=$((i * 400)) 'BEGIN { srand (1);
    for (j = 0; j < n; j++) printf "%d 512 -\n", int (rand () * 524288) * 512
  }' >bad.new
  mv bad.new bad.txt
done
status=0
wait "$job" || status=$?
cat fio.out
[ "$status" -eq 0 ] || fail "fio: status $status"
assert_grep '^ *workers: .*err= 0' fio.out
assert_grep 'write: ' fio.out
stop_nbdkit disk
[ "$(grep -c '^write .* EIO' ops.txt)" -gt 100 ] ||
  fail "there were hardly any errors"
