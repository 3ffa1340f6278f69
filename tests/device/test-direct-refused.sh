#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What the direct plugin doesn't serve: one clear error, before the server
# goes into the background (promise 23 of remap-promises(7)); and what it
# serves with a warning, or read-only.

# shellcheck source-path=SCRIPTDIR disable=SC2016
. "$(dirname "$0")/device.sh"
requires nbdinfo --version

# refused_by_direct REGEX [ARG...]: without -f, so that an error that comes
# after the fork would be a success.
refused_by_direct ()
{
  local regex=$1
  shift

  echo "# direct $*"
  expect_failure nbdkit -U "$tmp/refused.sock" direct "$@"
  assert_grep "$regex" expect.out
  assert_equal "$(grep -c 'error:' expect.out)" 1 "errors"
}

truncate -s 1M disk.img
: >empty.img
mkfifo pipe
refused_by_direct 'device=PATH is required'
refused_by_direct 'a path is needed' device=
refused_by_direct 'another one was given before' disk.img device=disk.img
refused_by_direct "no parameter 'file'" file=disk.img
refused_by_direct "direct-io=fast: must be" disk.img direct-io=fast
refused_by_direct "direct-timeout" disk.img direct-timeout=-1
refused_by_direct "direct-timeout" disk.img direct-timeout=soon
refused_by_direct 'could not decipher boolean' disk.img direct-trim=maybe
refused_by_direct 'not-there: No such file or directory' /dev/not-there
refused_by_direct "$tmp: is a directory: a block device or" "$tmp"
refused_by_direct '/dev/null: is a character device' /dev/null
refused_by_direct 'pipe: is a pipe' pipe
refused_by_direct 'empty.img: has a size of 0 bytes' empty.img
# A filesystem that has no O_DIRECT, and a file that can't be empty.
file=/sys/kernel/profiling
[ -f "$file" ] || file=/sys/kernel/uevent_seqnum
refused_by_direct "$file: can't open: .*no O_DIRECT: use nbdkit's file" "$file"

# Files that may only be read are served so.
nbdkit -U - direct disk.img --run 'nbdinfo "$uri"' >info.out
assert_grep 'is_read_only: false' info.out

requires_loop
PATH=$PATH:/sbin:/usr/sbin
requires_program mkfs.ext4 mount
make_loop disk.img --read-only
nbdkit -U - direct "$loop" --run 'nbdinfo "$uri"' >info.out
assert_grep 'is_read_only: true' info.out
detach_loop "$loop"

# A device that vanished before it was opened: nothing is behind its name.
mknod gone b 240 7 || skip "can't make device nodes"
refused_by_direct 'gone: .*(there is no device behind this name|No such dev)' \
                  gone

make_loop empty.img
refused_by_direct "$loop: has a size of 0 bytes" "$loop"
detach_loop "$loop"

# Nobody but root and the device's group.
make_loop disk.img
chmod 600 "$loop"
if setpriv --reuid=65534 --regid=65534 --clear-groups \
           head -c 1 "$DIRECT_PLUGIN" >/dev/null 2>&1 &&
   ! is_instrumented; then
  expect_failure setpriv --reuid=65534 --regid=65534 --clear-groups \
    "$REMAP_NBDKIT" -U - "$DIRECT_PLUGIN" "$loop" --run true
  assert_grep "$loop: can't open: Permission denied: be root" expect.out
else
  echo "somebody else can't read the plugin: not tested"
fi
chmod 660 "$loop"

# In use: by another server, by a filesystem, and a partition of it.
start_nbdkit first direct "$loop"
refused_by_direct "$loop: can't open: Device or resource busy: it is mounted" \
                  "$loop"
stop_nbdkit first
mkfs.ext4 -q -O ^has_journal "$loop"
mkdir mnt
mount "$loop" mnt
cleanup_fn eval 'umount -l mnt 2>/dev/null || :'
refused_by_direct "$loop: can't open: Device or resource busy: it is mounted" \
                  "$loop"
start_nbdkit forced direct "$loop" direct-force=on
assert_grep "warning: $loop: is mounted or in use" forced.log
[ "$(nbdinfo --size "$uri")" = $((1 << 20)) ] || fail "size"
stop_nbdkit forced
umount mnt

# An MBR with one partition: sectors 2048 to 6143.
truncate -s 4M parted.img
/usr/bin/python3 - <<'PY'
import struct
with open("parted.img", "r+b") as f:
    f.seek(446)
    f.write(struct.pack("<8B2L", 0, 0, 0, 0, 0x83, 0, 0, 0, 2048, 4096))
    f.seek(510)
    f.write(b"\x55\xaa")
PY
detach_loop "$loop"
make_loop parted.img
name=$(basename "$loop")
# The kernel may not know MBRs, and /dev may lack the node.
if partx -a "$loop" && [ -e "/sys/block/$name/${name}p1/dev" ]; then
  cleanup_fn eval "partx -d '$loop' 2>/dev/null || :"
  IFS=: read -r major minor <"/sys/block/$name/${name}p1/dev"
  mknod part b "$major" "$minor"
  mkfs.ext4 -q -O ^has_journal part
  mount part mnt
  refused_by_direct "$loop: can't open: .*busy: it is mounted" "$loop"
  refused_by_direct "part: can't open: .*busy: it is mounted" part
  umount mnt
  nbdkit -U - direct part --run 'nbdinfo --size "$uri"' >size
  assert_equal "$(cat size)" $((2 << 20)) "size of a partition"
else
  echo "no partitions of loop devices here: not tested"
fi
