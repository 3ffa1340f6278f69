#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A guest with two disks, one of QEMU's NBD client and one of the kernel's.
# Their drives go away when all that was written is flushed, and come back
# while ext4 on each of them is read and written: the guest sees no error, and
# has what it would have had (promise 12 of remap-promises(7)).
#
# REMAP_DROP_SECONDS=20: so long, see filter/remap.sh.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../filter/remap.sh"
. "${abs_top_srcdir:?}/tests/guest/guest.sh"

guest_requires

truncate -s 64M main.img
: >bad.txt
serve baddisk-gone=gone "$lost_wait"
# What the host says to the guest: it reads this disk.
truncate -s 4096 told.img

cat >script <<EOF2
seconds=${REMAP_DROP_SECONDS:-2} lost_wait=$lost_wait
EOF2
cat >>script <<'EOF2'
. /files/in-guest.sh
await 30 test -b /dev/vdb
modprobe nbd nbds_max=1
truncate -s 64M own.img
start_nbdkit own --filter="$remap" --filter="$baddisk" file own.img \
  spare=own.spare baddisk-gone=gone "$lost_wait"
nbd-client -unix "$PWD/own.sock" /dev/nbd0 >/dev/null

# write_files DISK NAME COUNT: each is synced.
write_files ()
{
  _i=0
  while [ "$_i" -lt "$3" ]; do
    _i=$((_i + 1))
    dd if=/dev/urandom of="/tmp/$1.new" bs=1k count=$((_i * 3)) 2>/dev/null
    dd if="/tmp/$1.new" of="/mnt/$1/$2-$_i" bs=64k conv=fsync 2>"$1.out" ||
      return
    echo "$(sha256sum <"/tmp/$1.new" | cut -d ' ' -f 1)  /mnt/$1/$2-$_i" \
      >>"$1.sums"
  done
}

for disk in vda nbd0; do
  mkfs.ext4 -q -F -E lazy_itable_init=0,lazy_journal_init=0 "/dev/$disk"
  mkdir "/mnt/$disk"
  mount -t ext4 -o noatime "/dev/$disk" "/mnt/$disk"
  write_files "$disk" before 10
done
sync
sync
# The last of it needs a read.
echo 3 >/proc/sys/vm/drop_caches

told ()
{
  dd if=/dev/vdb iflag=direct bs=512 count=1 2>/dev/null | grep -q gone
}
: >gone
say "at rest"
await 600 told
# through_it DISK: while the drive is away, and after that.
through_it ()
{
  write_files "$1" through 10 && sha256sum "/mnt/$1"/before-* >"$1.read" &&
    rm "/mnt/$1/before-1" && : >"$1.done"
}
through_it vda &
_vda=$!
through_it nbd0 &
_nbd0=$!
await 600 grep "main is lost" own.log
sleep "$seconds"
[ ! -e nbd0.done ] || fail "the drive wasn't away"
rm gone
# The server is a child as well.
wait "$_vda" "$_nbd0" || :
for disk in vda nbd0; do
  [ -e "$disk.done" ] || { cat "$disk.out"; fail "$disk saw an error"; }
  sync
  echo 3 >/proc/sys/vm/drop_caches
  grep -v before-1$ "$disk.sums" | sha256sum -c >sums.out ||
    { cat sums.out; fail "$disk: files differ"; }
  sort "$disk.read" >"$disk.read.sorted"
  grep before- "$disk.sums" | sort | cmp - "$disk.read.sorted" ||
    fail "$disk: read wrong"
  umount "/mnt/$disk"
  e2fsck -fn "/dev/$disk" >e2fsck.out 2>&1 || { cat e2fsck.out; fail "$disk"; }
done
grep "main is back" own.log
! dmesg | grep -i "error" || fail "the guest's kernel has seen errors"
nbd-client -d /dev/nbd0 >/dev/null
stop_nbdkit own
EOF2

guest_start drop script \
  -blockdev "driver=nbd,node-name=disk,server.type=unix,\
server.path=$tmp/disk.sock" \
  -device virtio-blk-pci,drive=disk \
  -blockdev "driver=file,node-name=told,filename=told.img,read-only=on" \
  -device virtio-blk-pci,drive=told
guest_await "at rest"
drive_goes
echo gone | dd of=told.img conv=notrunc 2>/dev/null
drive_returns
guest_end
assert_grep 'main is back' disk.log
assert_no_grep 'LOST|sectors remapped' disk.log
stop_nbdkit disk
