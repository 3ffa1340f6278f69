#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Whoever starts a server with a spare at a bad place is told: one in memory,
# and one on the filesystem that main's image is on (promise 22 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires_loop

# serve MAIN SPARE: what is said at the start is in err.
serve ()
{
  # shellcheck disable=SC2016
  nbdkit -U - --filter=remap file "$1" spare="$2" --run 'nbdinfo --size "$uri"' \
         >size 2>err
  assert_equal "$(cat size)" 1048576 "size"
  cat err
}

mkdir memory disk
mount -t tmpfs -o size=100M none memory
cleanup_fn umount "$PWD/memory"
truncate -s 200M disk.img
mkfs.ext4 -q disk.img
mount -o loop disk.img disk
cleanup_fn umount "$PWD/disk"
truncate -s 1M main.img disk/main.img memory/main.img

serve main.img memory/spare.img
assert_grep 'warning: spare .*memory/spare.img: is in memory' err
serve disk/main.img disk/spare.img
assert_grep 'warning: spare .*disk/spare.img: lies on the filesystem that main \(.*disk/main.img\) is on' err
# Each time, as long as it is so.
serve disk/main.img disk/spare.img
assert_grep 'warning: spare .*disk/spare.img: lies on' err
serve memory/main.img disk/other.img
assert_no_grep 'is in memory|lies on' err
