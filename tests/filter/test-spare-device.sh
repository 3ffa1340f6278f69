#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A block device as the spare: formatted if it is blank, held against
# others, and used to its end (promises 20 to 22 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_loop
requires_program mkfs.ext4 mount

make_main $((8 << 20))
bad_sectors bad.txt 100+200
truncate -s 4M device.img
loop=$(losetup --find --show device.img)
cleanup_fn losetup -d "$loop"
SPARE=$loop
PLUGIN='file main.img'
SAME=spare-same-disk=yes
serve $SAME
client <<'PY'
write(100, pattern(100, 1, 200))
PY

# In use: by a second server, and as far as the kernel is concerned.
cp orig.img second.img
PLUGIN='file second.img' refused "spare $loop: .*(in use|exclusive use)"
mkdir mnt
expect_failure mkfs.ext4 -q "$loop"
expect_failure mount "$loop" mnt
crash
serve $SAME
client <<<'is_(read(100, 200), pattern(100, 1, 200))'
stop_nbdkit disk

refused 'the device has 4194304 bytes' spare-size=5M
refused 'lies beyond the end of the device' spare-offset=5M
mkfs.ext4 -q -F "$loop"
refused 'is neither blank nor a spare'
mount "$loop" mnt
cleanup_fn umount -l mnt
refused "spare $loop: .*(mounted|in use)"
