#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A worker of soak.sh: soak-fio.sh SECONDS.  fio writes on three connections
# while sectors go bad for writing; the server is killed, and everything is
# read and compared through the next one.  In some rounds a part of the disk
# is bad that is larger than the spare: writing there fails with ENOSPC, and
# succeeds when the spare has grown (promises 1, 3, 13, 17 and 18 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../filter/remap.sh"
requires_program fio
requires fio --enghelp=nbd

end=$((SECONDS + $1))
size=$((192 << 20))             # bytes of main
part=$((size / 3))              # of each connection
rounds=0 kills=0 written=0 bad=0 full=0 grown=0 spare_kb=2048 remapped=0

start ()
{
  serve baddisk-fail=write,zero spare-size="${spare_kb}k"
}

# A new disk, when the old one is worn out.
new_disk ()
{
  [ -z "${nbdkit_pids[disk]:-}" ] || stop_nbdkit disk
  rm -f main.img spare.img ops.txt
  truncate -s "$size" main.img
  : >bad.txt
  spare_kb=2048 bad=0
  start
}

# fail_more N: so many more bad sectors, in one step, while it is in use.
fail_more ()
{
  { cat bad.txt; awk -v n="$1" -v seed="$RANDOM$RANDOM" -v s="$size" 'BEGIN {
      srand (seed); for (i = 0; i < n; i++)
        printf "%d 512 -\n", int (rand () * s / 512) * 512 }'; } >bad.new
  mv bad.new bad.txt
  bad=$((bad + $1))
}

# job MEGABYTES ARG...: so much on each of three connections.
job ()
{
  local mb=$1
  shift
  fio --name=job --ioengine=nbd --uri="$uri" --numjobs=3 --thread \
      --size=$part --offset_increment=$part --io_size="${mb}M" --iodepth=16 \
      --bssplit=512/20:4k/60:64k/20 --randseed="$rounds" --verify=crc32c \
      --verify_fatal=1 --verify_state_save=0 --group_reporting "$@" \
      >fio.out 2>&1 </dev/null
}

must ()
{
  "$@" || { cat fio.out; fail "round $rounds: $*"; }
}

count_remaps ()
{
  remapped=$((remapped + $(grep -c '^write .* E' ops.txt || :)))
  rm -f ops.txt
}

figures ()
{
  echo "fio: $rounds rounds, $((written >> 20)) MiB written and compared" \
       "after $kills kill -9; $remapped writes failed on the disk and were" \
       "remapped; the spare was full $full times and grew $grown times"
}
cleanup_fn figures

# A stretch of bad sectors for which the spare is too small.
fill_spare ()
{
  local at=$((RANDOM % 100 * (1 << 20)))
  { cat bad.txt; echo "$at $((16 << 20)) -"; } >bad.new
  cp bad.txt bad.before
  mv bad.new bad.txt
  ! fio --name=full --ioengine=nbd --uri="$uri" --rw=write --bs=256k \
        --offset=$at --size=16M >fio.out 2>&1 </dev/null ||
    fail "16 MiB of bad sectors fit into a spare of $spare_kb KiB"
  assert_grep 'err=28' fio.out
  full=$((full + 1))
  # More room, and the same writes succeed.
  crash
  kills=$((kills + 1)) grown=$((grown + 1))
  spare_kb=$((spare_kb * 2 + 24 * 1024))
  start
  must fio --name=full --ioengine=nbd --uri="$uri" --rw=write --bs=256k \
       --offset=$at --size=16M --verify=crc32c --verify_fatal=1 \
       --output=fio.out
  cp bad.before bad.txt
}

new_disk
while [ "$SECONDS" -lt "$end" ]; do
  rounds=$((rounds + 1))
  [ $((rounds % 12)) -ne 0 ] || new_disk
  (for i in 1 2 3 4 5 6; do fail_more 40; sleep 0.3; done) &
  wearing=$!
  must job 8 --rw=randwrite --do_verify=0
  wait "$wearing"
  crash
  kills=$((kills + 1))
  count_remaps
  if [ $((rounds % 3)) -eq 0 ]; then
    spare_kb=$((spare_kb * 3 / 2)) grown=$((grown + 1))
  fi
  start
  must job 8 --rw=randwrite --verify_only
  written=$((written + 3 * (8 << 20)))
  if [ $((rounds % 12)) -eq 5 ]; then
    fill_spare
  fi
  figures >figures
done
stop_nbdkit disk
