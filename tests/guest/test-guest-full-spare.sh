#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A machine whose system is on the export: its programs are started from
# there, and it writes while sectors go bad.  The spare fills up, QEMU pauses
# the machine (werror=enospc), the spare is enlarged, by a restart and then in
# use, the machine goes on, having seen no error, and its filesystem is clean
# (promises 3, 13, 14 and 18 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"
. "${abs_top_srcdir:?}/tests/guest/guest.sh"

guest_requires
PATH=$PATH:/sbin:/usr/sbin
requires_program mke2fs e2fsck

# serve [PARAMETER...]: starts, or starts again, the disk.  An orderly end
# would wait until QEMU disconnects.
serve ()
{
  [ -z "${nbdkit_pids[disk]:-}" ] || kill_nbdkit disk
  start_nbdkit disk --filter=remap --filter=baddisk file main.img \
               spare=spare.img remap-control="$tmp/disk.ctl" \
               baddisk-list=bad.txt baddisk-fail=write,zero "$@"
}

# qmp COMMAND FIELD: asks QEMU, and prints a field of the answer.
qmp ()
{
  /usr/bin/python3 - "$tmp/qmp.sock" "$@" <<'PY'
import json, socket, sys
path, command, field = sys.argv[1:]
s = socket.socket(socket.AF_UNIX)
s.connect(path)
f = s.makefile("rw")
json.loads(f.readline())
for execute in "qmp_capabilities", command:
    f.write(json.dumps({"execute": execute}) + "\n")
    f.flush()
    # Events may come first.
    answer = {}
    while "return" not in answer:
        answer = json.loads(f.readline())
        assert "error" not in answer, answer
print(answer["return"].get(field))
PY
}

# await_pause: until QEMU has stopped the machine for lack of room.
await_pause ()
{
  until [ "$(qmp query-status status)" = io-error ]; do
    kill -0 "$guest_pid" 2>/dev/null || { guest_show; fail "QEMU ended"; }
    ! guest_said "written $1" || fail "it was not paused"
    sleep 0.2
  done
  remapctl -s disk.ctl status >status.out
  assert_grep '^health +critical' status.out
  assert_grep 'spare is full' status.out
}

# A root filesystem: busybox and what it is to do.
mkdir -p root/bin root/proc root/dev root/tmp root/data
cp "$(command -v busybox)" root/bin/busybox
for name in sh dd cat echo sha256sum sync; do
  ln -s busybox "root/bin/$name"
done
cat >root/work <<'EOF2'
write_files ()
{
  n=0
  while [ "$n" -lt "$2" ]; do
    n=$((n + 1))
    dd if=/dev/urandom of="/data/$1.$n" bs=256k count=1 conv=fsync \
      2>/tmp/dd.out || { cat /tmp/dd.out; exit 1; }
    sha256sum "/data/$1.$n" >>/data/sums
  done
  sync
  echo "GUEST: written $1"
}

write_files 0 4
write_files 1 16
write_files 2 40
EOF2
mke2fs -q -t ext4 -d root main.img 64M

cat >script <<'EOF2'
. /files/in-guest.sh
disk=/dev/vda
await 30 test -b "$disk"
mount -t ext4 "$disk" /mnt
mount -t devtmpfs dev /mnt/dev
chroot /mnt /bin/sh /work || fail "the system on the disk"
echo 3 >/proc/sys/vm/drop_caches
chroot /mnt /bin/sha256sum -c /data/sums >sums.out ||
  { cat sums.out; fail "files differ"; }
assert_equal "$(grep -c OK sums.out)" 60 "files that are whole"
umount /mnt/dev
umount /mnt
e2fsck -fn "$disk" >e2fsck.out 2>&1 || { cat e2fsck.out; fail "e2fsck"; }
! dmesg | grep -i "I/O error" || fail "the guest's kernel has seen errors"
EOF2

: >bad.txt
serve spare-size=1M
guest_start full-spare script -qmp "unix:$tmp/qmp.sock,server=on,wait=off" \
  -drive "file.driver=nbd,file.path=$tmp/disk.sock,file.reconnect-delay=600,\
format=raw,if=virtio,werror=enospc"
guest_await "written 0"
# Nearly all of the disk refuses to be written, from now on.
bad_sectors bad.txt 2000+120000
await_pause 1
serve spare-size=8M
qmp cont status
guest_await "written 1"
await_pause 2
remapctl -s disk.ctl grow 32M
qmp cont status
guest_end
remapctl -s disk.ctl status >status.out
assert_no_grep '^health +critical' status.out
stop_nbdkit disk

# On another day.
serve
nbdcopy "$uri" copy.img
stop_nbdkit disk
e2fsck -fn copy.img
# The disk alone isn't it.
! e2fsck -fn main.img >e2fsck.out 2>&1 || fail "the disk alone is clean, so nothing was tested"
