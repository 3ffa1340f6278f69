#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# ddrescue over nbdfuse recovers everything that can be read, and finds
# the bad sectors, no more (promises 1, 2 and 4 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires_program ddrescue ddrescuelog
requires_fuse

make_main $((8 << 20))
bad_sectors bad.txt 7 100+3 5000 16380+4
serve
mkdir mnt
nbdfuse mnt/disk "$uri" &
fuse=$!
unmount ()
{
  end_fuse_mount mnt "$fuse"
}
cleanup_fn unmount
await_fuse mnt/disk "$fuse"

ddrescue -q -d -b 512 -r 1 mnt/disk rescued.img rescue.map
cat rescue.map
ddrescuelog -b 512 --list-blocks=- rescue.map >found.txt
printf '%s\n' 7 100 101 102 5000 16380 16381 16382 16383 >wanted.txt
diff wanted.txt found.txt

# Everything else is there; what isn't was left out.
dd if=/dev/zero of=zero bs=512 count=4 status=none
for place in 7+1 100+3 5000+1 16380+4; do
  dd if=zero of=orig.img bs=512 seek="${place%+*}" count="${place#*+}" \
     conv=notrunc status=none
done
cmp -n $((16380 * 512)) orig.img rescued.img

