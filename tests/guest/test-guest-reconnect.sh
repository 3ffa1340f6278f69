#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A guest whose disk is QEMU's NBD client with reconnect-delay: the server
# is killed and started again three times while the guest writes, and the
# guest sees no error at all, and reads what it wrote (promises 1, 3, 13 and
# 14 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"
. "${abs_top_srcdir:?}/tests/guest/guest.sh"

guest_requires

start_server ()
{
  start_nbdkit disk --filter=remap --filter=baddisk file main.img \
               spare=spare.img baddisk-list=bad.txt baddisk-fail=write,zero
}

truncate -s 64M main.img
bad_sectors bad.txt 100+8 4000+8 30001 65536+100
start_server

cat >script <<'EOF2'
. /files/in-guest.sh
disk=/dev/vda
await 30 test -b "$disk"
mkfs.ext4 -q -F "$disk"
mount -t ext4 "$disk" /mnt
for _i in 1 2 3; do
  say "writing $_i"
  # Goes on until the host has killed the server, and for a while after.
  _n=0
  until [ "$_n" -ge 40 ]; do
    dd if=/dev/urandom of="/mnt/file$_i.$_n" bs=64k count=4 conv=fsync \
      2>dd.out || { cat dd.out; fail "a write failed"; }
    sha256sum "/mnt/file$_i.$_n" >>/tmp/sums
    _n=$((_n + 1))
  done
done
echo 3 >/proc/sys/vm/drop_caches
sha256sum -c /tmp/sums >sums.out || { cat sums.out; fail "files differ"; }
umount /mnt
e2fsck -fn "$disk" >e2fsck.out 2>&1 || { cat e2fsck.out; fail "e2fsck"; }
! dmesg | grep -i "error" || fail "the guest's kernel has seen errors"
EOF2

guest_start reconnect script \
  -blockdev "driver=nbd,node-name=disk,reconnect-delay=600,server.type=unix,\
server.path=$tmp/disk.sock" \
  -device virtio-blk-pci,drive=disk
for i in 1 2 3; do
  guest_await "writing $i"
  sleep 1
  bad_sectors bad.txt 100+8 4000+8 30001 65536+100 \
              "$((10000 * i))+$((i * 500))"
  kill_nbdkit disk
  start_server
done
guest_end
stop_nbdkit disk
