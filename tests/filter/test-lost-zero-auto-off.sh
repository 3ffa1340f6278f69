#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# remap-lost=zero serves zeroes for LOST sectors, logs them, and makes the
# export read-only; remap-auto=off changes no DIRECT sector (promise 7 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 50 100 200+2 300
serve
client <<'PY'
write(50, pattern(50))
is_(outcome(read, 100), "EIO")
h.zero(SECTOR, 300 * SECTOR)
PY

rm -f disk.log
serve remap-lost=zero
client <<'PY'
is_(h.is_read_only(), True)
is_(outcome(connect().pwrite, b"x" * 512, 0), "EPERM")
is_(read(100), bytes(SECTOR))
is_(read(96, 8), orig(96, 4) + bytes(SECTOR) + orig(101, 3))
is_(read(192, 16), orig(192, 8) + bytes(2 * SECTOR) + orig(202, 6))
is_(read(50) + read(300), pattern(50) + bytes(SECTOR))
PY
stop_nbdkit disk
# The first at once, the others summed up: sector 100 twice, 200 and 201.
assert_grep 'sectors 100-100 .*: LOST, read as zeroes' disk.log
sed -En 's/.*sectors [0-9]+-[0-9]+ .*, ([0-9]+) bytes.: LOST, read as zeroes/\1 512/p
         s/.* ([0-9]+) more LOST sectors? read as zeroes .*/\1 1/p' disk.log |
  awk '{ n += $1 / $2 } END { exit n != 4 }' || fail "not all was logged"
cmp main.img orig.img

# What read as zeroes is still LOST.
serve
client <<<'is_([outcome(read, s) for s in (100, 200, 201)], ["EIO"] * 3)'

# No automatic changes: errors are passed on, and gone with the bad
# sectors; what is in the map behaves as ever.
bad_sectors bad.txt 50 100 200+2 300 400 500
serve remap-auto=off
client <<'PY'
is_(outcome(read, 400), "EIO")
is_(outcome(write, 500, pattern(500)), "EIO")
is_(outcome(h.zero, SECTOR, 500 * SECTOR), "EIO")
n = len(disk_log())
is_(read(50), pattern(50))
write(50, pattern(50, 2))
is_(outcome(read, 100), "EIO")
write(100, pattern(100))
is_(read(300), bytes(SECTOR))
write(300, pattern(300))
is_(len(disk_log()), n)
os.truncate("bad.txt", 0)
is_(read(400), orig(400))
write(500, pattern(500))
is_(raw(500), pattern(500))
PY
crash
serve
client <<'PY'
is_(read(50) + read(100) + read(300),
    pattern(50, 2) + pattern(100) + pattern(300))
is_(raw(50) + raw(100) + raw(300), orig(50) + orig(100) + orig(300))
PY
