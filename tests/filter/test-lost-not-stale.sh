#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A read after a read error never returns what a slot held before: a
# sector that main can't read is an error until it is written (promises 1
# and 4 of remap-promises(7)), and a partial write of it is one, too
# (promise 6).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 100+200
serve
client <<'PY'
# Slots that have been used and freed.
for s in range(100, 300):
    write(s, pattern(s, 99))
h.zero(200 * SECTOR, 100 * SECTOR)
is_(read(100, 200), bytes(200 * SECTOR))
PY

lost='1000 1007 1016+3 16383'
# shellcheck disable=SC2086
bad_sectors bad.txt 100+200 $lost
client <<'PY'
lost = {1000, 1007, 1016, 1017, 1018, 16383}
is_(outcome(read, 992, 64), "EIO")
for _ in range(2):
    for s in list(range(990, 1030)) + [16382, 16383]:
        if s in lost:
            is_(outcome(read, s), "EIO", s)
        else:
            is_(read(s), orig(s), s)
n = len(disk_log())
for s in lost:
    is_(outcome(read, s), "EIO")
    is_(outcome(h.pread, 1, s * SECTOR + 511), "EIO")
    is_(outcome(h.pwrite, b"x", s * SECTOR + 511), "EIO")
    is_(outcome(h.pwrite, b"x" * 511, s * SECTOR), "EIO")
is_(len(disk_log()), n, "main is not asked for a LOST sector")
PY

# They stay what they are, even if main reads well again: nobody knows
# whether that is what was written last.
crash
: >bad.txt
serve
client <<'PY'
lost = [1000, 1007, 1016, 1017, 1018, 16383]
for s in lost:
    is_(outcome(read, s), "EIO")
write(1007, pattern(1007, 5))
h.zero(SECTOR, 1016 * SECTOR)
is_(read(1007), pattern(1007, 5))
is_(read(1016), bytes(SECTOR))
is_(outcome(read, 1017), "EIO")
is_(raw(1007), orig(1007))
PY
