#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# ext4 on a disk whose sectors go bad while it is in use, through nbdfuse
# and a loop device; kill -9 of the server in the middle, and a check after
# the restart: everything that was synced is there (promises 1, 3, 13 and
# 14 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires_loop
requires_fuse
requires_program mkfs.ext4 e2fsck mount umount

truncate -s 64M main.img
: >bad.txt
mkdir fuse mnt

cleanup_fn detach

# Bad for writing only: what was never read through the filter is zeroes.
serve baddisk-fail=write,zero
attach
mkfs.ext4 -q -b 4096 "$loop"
mount "$loop" mnt

# wear N: more sectors go bad, a tenth of a percent each time.
wear ()
{
  awk -v n="$(($1 * 130))" 'BEGIN { srand (2); for (i = 0; i < n; i++)
    printf "%d 512 -\n", int (rand () * 131072) * 512 }' >bad.new
  mv bad.new bad.txt
}
for i in 1 2 3 4 5; do
  wear "$i"
  mkdir "mnt/$i"
  for ((j = 0; j < 20; j++)); do
    head -c $((j * 9999)) /dev/urandom >"mnt/$i/$j"
  done
  rm -f "mnt/$i"/1?
done
sync -f mnt
(cd mnt && find . -type f -print0 | sort -z | xargs -0 sha256sum) >sums.txt
echo "$(wc -l <sums.txt) files"

# Something is being written when the server dies.
(for ((j = 0; ; j++)); do
   head -c 100000 /dev/urandom >"mnt/late-$j" || break
   sync "mnt/late-$j" || break
 done) 2>/dev/null &
writer=$!
eventually exists mnt/late-3 || fail "nothing is written"
crash
wait "$writer" || :
detach
dmesg 2>/dev/null | tail -n 3 || :

serve baddisk-fail=write,zero
attach
status=0
e2fsck -f -y "$loop" >fsck.out 2>&1 || status=$?
cat fsck.out
# 1: the journal was replayed, errors are corrected; what ext4 itself
# noted of the server's death is one.
[ "$status" -le 1 ] || fail "e2fsck: status $status"
mount "$loop" mnt
(cd mnt && sha256sum --quiet -c ../sums.txt)
head -c 1000000 /dev/urandom >mnt/after
sync mnt/after
umount mnt
e2fsck -f -n "$loop"
[ "$(grep -c '^write .* EIO' ops.txt)" -gt 10 ] || fail "no errors?"
cmp -s main.img <(cat fuse/disk) && fail "nothing was remapped"
true
