#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A disk that has grown goes on with its spare when that is said, and what is
# beyond its former end is its own; one that has shrunk doesn't (promise 20 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((4 << 20))
bad_sectors bad.txt 5 8191 12000
serve
client <<'PY'
write(5, pattern(5))
write(8191, pattern(8191))
PY
stop_nbdkit disk

echo "==== larger: refused, accepted, and known from then on"
truncate -s $((8 << 20)) main.img
refused 'spare.img belongs to a disk of 4194304 bytes, but main has 8388608 bytes.*spare-main-grown=yes'
OPTIONS=-r refused 'start it once without -r' spare-main-grown=yes
serve spare-main-grown=yes
client <<'PY'
is_(h.get_size(), 8 << 20)
is_(read(5), pattern(5))
is_(read(8191), pattern(8191))
is_(read(8192, 100), bytes(51200))
write(8192, pattern(8192))
write(12000, pattern(12000))
PY
assert_grep 'its disk has grown, and has 8388608 bytes' disk.log
crash
serve
client <<'PY'
is_(read(8191, 2), pattern(8191) + pattern(8192))
is_(read(12000), pattern(12000))
PY
stop_nbdkit disk
serve spare-main-grown=yes
client <<<''
stop_nbdkit disk
assert_grep "main hasn't grown: leave that out" disk.log

echo "==== smaller: never"
cp main.img large.img
truncate -s $((4 << 20)) main.img
refused 'spare.img belongs to a disk of 8388608 bytes, but main has 4194304 bytes, which is less, and the spare holds 1 sectors beyond.*truncate -s 8388608'
refused 'which is less' spare-main-grown=yes
cp large.img main.img

echo "==== a last sector that was short, and is in the spare"
rm spare.img
truncate -s $(((4 << 20) - 100)) main.img
serve
client <<'PY'
h.pwrite(b"z" * 412, 8191 * 512)
PY
stop_nbdkit disk
truncate -s $((4 << 20)) main.img
refused 'last sector of main, 8191, had 412 bytes.*unmap' spare-main-grown=yes
