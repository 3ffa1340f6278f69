#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A worker of soak.sh: soak-ext4.sh SECONDS.  An ext4 filesystem on a disk
# whose sectors go bad for writing, through nbdfuse and a loop device.  The
# server is killed while files are written; then fsck must succeed, and each
# file that was synced before must have its content (promises 1, 3, 13 and 14
# of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../filter/remap.sh"
requires_loop
requires_fuse
requires_program mkfs.ext4 e2fsck mount umount

end=$((SECONDS + $1))
size=$((64 << 20))
mkdir mnt
rounds=0 kills=0 files=0 compared=0 bad=0 remapped=0 taken=0

loop='' fuse='' dir='' writer=''
attach ()
{
  local i
  # A new one each time: what an nbdfuse that aborted leaves may be busy.
  dir=$(mktemp -d fuse-XXXXXX)
  # Some versions abort when their server is killed.
  nbdfuse "$dir/disk" "$uri" 2>>nbdfuse.log &
  fuse=$!
  for ((i = 0; i < 400; i++)); do
    [ -e "$dir/disk" ] && break
    sleep 0.05
  done
  loop=$(losetup --find --show --direct-io=on "$dir/disk")
}
detach ()
{
  local i
  # If we are ended in the middle of a round, the writer doesn't know.
  [ -z "$writer" ] || { kill "$writer" && wait "$writer" || :; } 2>/dev/null
  writer=
  ! mountpoint -q mnt || umount mnt || umount -l mnt
  [ -z "$loop" ] || losetup -d "$loop" || :
  loop=
  if [ -n "$dir" ]; then
    for ((i = 0; i < 100; i++)); do
      fusermount3 -u "$dir" 2>/dev/null && break
      sleep 0.05
    done
    fusermount3 -uz "$dir" 2>/dev/null || :
    rmdir "$dir" || :
    dir=
  fi
  [ -z "$fuse" ] || wait "$fuse" 2>/dev/null || :
  fuse=
}
cleanup_fn detach

figures ()
{
  echo "ext4: $rounds rounds, $files files written; after $kills kill -9 and" \
       "fscks $compared synced files compared; $remapped writes failed on the" \
       "disk and were remapped; the loop device was taken away $taken times"
}
cleanup_fn figures

start ()
{
  serve baddisk-fail=write,zero spare-size="$((4 << rounds % 20 / 5))M"
  attach
}

fail_more ()
{
  { cat bad.txt; awk -v n="$1" -v seed="$RANDOM$RANDOM" -v s="$size" 'BEGIN {
      srand (seed); for (i = 0; i < n; i++)
        printf "%d 512 -\n", int (rand () * s / 512) * 512 }'; } >bad.new
  mv bad.new bad.txt
  bad=$((bad + $1))
}

new_disk ()
{
  rm -f main.img spare.img ops.txt sums.txt
  truncate -s "$size" main.img
  : >bad.txt
  bad=0
  start
  mkfs.ext4 -q -b 4096 "$loop"
}

# Files of all sizes; some are removed again.
write_files ()
{
  local i name
  rm -rf "mnt/$((rounds - 3))"
  mkdir -p "mnt/$rounds"
  for ((i = 0; i < 24; i++)); do
    name=mnt/$rounds/$i
    head -c $((RANDOM * (1 + i % 4))) /dev/urandom >"$name"
    [ $((i % 4)) -ne 3 ] || fail_more 20
    files=$((files + 1))
  done
  rm -f "mnt/$rounds"/1?
  sync -f mnt
  (cd mnt && find . -type f ! -name 'late-*' -print0 | sort -z |
     xargs -0 sha256sum) >sums.txt
}

check_and_mount ()
{
  local status=0

  e2fsck -f -y "$loop" >fsck.out 2>&1 || status=$?
  [ "$status" -le 1 ] || { cat fsck.out; return 1; }
  mount "$loop" mnt
}

# Loop devices belong to all of a machine: somebody who detaches one twice
# may detach ours.
is_taken ()
{
  [ "$(losetup -n -O BACK-FILE "$loop" 2>/dev/null)" != "$tmp/$dir/disk" ]
}

while [ "$SECONDS" -lt "$end" ]; do
  if [ $((rounds % 20)) -eq 0 ]; then
    [ "$rounds" -eq 0 ] || { detach; stop_nbdkit disk; }
    rounds=$((rounds + 1))
    new_disk
  else
    rounds=$((rounds + 1))
  fi
  mount "$loop" mnt
  write_files
  # Something is being written when the server dies.
  (for ((j = 0; ; j++)); do
     head -c 100000 /dev/urandom >"mnt/late-$((j % 50))" || break
     sync "mnt/late-$((j % 50))" || break
   done) 2>/dev/null &
  writer=$!
  sleep "0.$((RANDOM % 10))"
  crash
  kills=$((kills + 1))
  wait "$writer" || :
  writer=
  detach
  remapped=$((remapped + $(grep -c '^write .* E' ops.txt || :)))
  rm -f ops.txt
  start
  check_and_mount || {
    is_taken || fail "round $rounds: fsck and mount"
    # Not our server's doing: once more.
    taken=$((taken + 1))
    detach
    attach
    check_and_mount || fail "round $rounds: fsck and mount, once more"
  }
  (cd mnt && sha256sum --quiet -c ../sums.txt) ||
    fail "round $rounds: a file that was synced"
  compared=$((compared + $(wc -l <sums.txt)))
  umount mnt
  figures >figures
done
detach
stop_nbdkit disk
