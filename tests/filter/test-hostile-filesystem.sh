#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The filesystem that the spare is on: full when a spare that exists is to
# grow; mounted read-only; made read-only by the kernel while the server runs.
# What is mapped can be read, good sectors are served, nothing falls back from
# a slot to main, and it says what is wrong (promises 16 to 18 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_loop
requires_program mkfs.ext4 mount umount

make_main $((8 << 20))
bad_sectors bad.txt 100+10
truncate -s 32M fs.img
mkfs.ext4 -q -m 0 -O ^has_journal -E lazy_itable_init=0 fs.img
mkdir fs
mount -o loop,errors=remount-ro fs.img fs
cleanup_fn umount -l fs
SPARE=fs/spare.img

serve spare-size=2M
client <<'PY'
write(100, pattern(100))
PY
stop_nbdkit disk

# Full: growing fails with a message, and the spare is what it was.
head -c 100M /dev/zero >fs/filler 2>/dev/null || :
sync -f fs
status=0
start_nbdkit_may_fail refused --filter=remap file main.img spare=fs/spare.img \
                      spare-size=64M || status=$?
if [ "$status" -eq 0 ]; then
  ! URI=$uri client <<<'' 2>/dev/null || fail "a client was served"
  wait "$pid" || :
  unset "nbdkit_pids[refused]"
fi
assert_grep "spare .*: can't be (enlarged|made).*(No space|too large)" \
            refused.log
serve
client <<'PY'
is_(read(100), pattern(100))
write(100, pattern(100, 2))
is_(read(100), pattern(100, 2))
h.flush()
PY
stop_nbdkit disk
rm fs/filler

# Mounted read-only.
mount -o remount,ro fs
refused 'spare .*fs/spare.img: .*Read-only file system'
SPARE=fs/new.img refused 'spare .*fs/new.img: .*Read-only file system'
mount -o remount,rw fs

# The kernel finds an error in the filesystem while the server runs.
name=$(basename "$(findmnt -n -o SOURCE fs)")
trigger=/sys/fs/ext4/$name/trigger_fs_error
[ -w "$trigger" ] || skip "ext4 here has no trigger_fs_error"
serve
client <<'PY'
is_(read(100), pattern(100, 2))
PY
echo test >"$trigger"
! touch fs/probe 2>/dev/null || skip "it stays read-write"
client <<'PY'
is_(read(100), pattern(100, 2))
is_(read(99), orig(99))
write(99, pattern(99))
r = outcome(write, 101, pattern(101))
assert r in ("EIO", "ENOSPC", "ok"), r
ok = r == "ok"
is_(read(100), pattern(100, 2))
# Not from main, whatever became of it.
if ok:
    is_(read(101), pattern(101))
is_(read(99), pattern(99))
PY
kill_nbdkit disk

# Repaired, and all is well.
umount fs
e2fsck -f -y fs.img || [ $? -le 1 ]
mount -o loop fs.img fs
serve
client <<'PY'
is_(read(100), pattern(100, 2))
is_(read(99), pattern(99))
write(102, pattern(102))
is_(read(102), pattern(102))
PY
stop_nbdkit disk
