#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A spare on main's own disk needs saying so, and main behind the page
# cache is warned of, once (promise 22 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires_loop
requires_program mkfs.ext4 mount umount

truncate -s 32M disk.img
mkfs.ext4 -q disk.img
loop=$(losetup --find --show disk.img)
mkdir mnt mem
cleanup_fn losetup -d "$loop"
mount "$loop" mnt
cleanup_fn umount -l mnt
mount -t tmpfs tmpfs mem
cleanup_fn umount -l mem

PLUGIN="file $loop"
SPARE=mnt/spare.img refused "mnt/spare.img: lies on the disk that main"
[ ! -e mnt/spare.img ] || fail "a spare was left there"
SPARE=$loop refused "spare $loop: .*(is main itself|in use|mounted)"

# The loop device lies on a file: whoever wants that says so as well.
SPARE=mnt/spare.img
start_nbdkit same --filter=remap file "$loop" spare=$SPARE spare-size=2M \
             spare-same-disk=yes
assert_equal "$(grep -c 'warning: main .* page cache' same.log)" 1 warnings
stop_nbdkit same
start_nbdkit other --filter=remap file "$loop" spare=mem/spare.img \
             spare-size=2M
assert_equal "$(grep -c 'warning: main .* page cache' other.log)" 1 warnings
stop_nbdkit other

# A file is no such main.
start_nbdkit file --filter=remap file disk.img spare=mem/other.img \
             spare-size=2M
assert_no_grep 'page cache' file.log
assert_equal "$(grep -c 'warning: ' file.log)" 2 "warnings of the spare alone"
