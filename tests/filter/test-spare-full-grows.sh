#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A spare that is full: a write that needs a slot fails with ENOSPC, what is
# mapped goes on, LOST is still recorded, and a larger spare resumes
# service; it grows with its file if what follows is blank (promise 18 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 1000+4000 16000
serve spare-size=1M
client <<'PY'
n = 0
while outcome(write, 1000 + n, pattern(1000 + n, 1, 10)) == "ok":
    n += 10
assert 500 < n < 2048, n
is_(outcome(write, 4000, pattern(4000, 1, 64)), "ENOSPC")
is_(outcome(read, 16000), "EIO")
for s in range(1000, 1000 + n):
    is_(read(s), pattern(s))
    write(s, pattern(s, 2))
write(6000, pattern(6000))

# A slot that was freed is one that can be used.
h.zero(20 * SECTOR, 1000 * SECTOR)
write(4990, pattern(4990, 1, 10))
open("n", "w").write(str(n))
PY
cat >check.py <<'PY'
n = int(open("n").read())
is_(read(1000, 20), bytes(20 * SECTOR))
for s in range(1020, 1000 + n):
    is_(read(s), pattern(s, 2), s)
is_(read(4990, 10), pattern(4990, 1, 10))
is_(outcome(read, 16000), "EIO")
PY
crash
cp spare.img small.img

# Main reads 16000 well again, but that it was LOST was recorded.
bad_sectors bad.txt 1000+4000

# What follows isn't blank: it is left alone, and said.
truncate -s 4M spare.img
printf x | dd of=spare.img bs=1 seek=$((3 << 20)) conv=notrunc status=none
rm disk.log
serve
assert_grep 'warning: spare .*spare.img: stays at 1048576.*not blank' disk.log
client <check.py
stop_nbdkit disk
refused "can't be enlarged.*not blank" spare-size=5M
cmp <(tail -c +1048577 spare.img) \
    <(head -c $((2 << 20)) /dev/zero; printf x; head -c 1048575 /dev/zero)

# Blank: it grows by itself with the file, and when told to.
cp small.img spare.img
truncate -s 2M spare.img
serve
{ cat check.py - <<'PY'
for s in range(2990, 3990, 10):
    write(s, pattern(s, 1, 10))
PY
} | client
crash
serve spare-size=8M
{ cat check.py - <<'PY'
write(1000, pattern(1000, 7, 4000))
is_(read(1000, 4000), pattern(1000, 7, 4000))
PY
} | client
crash
serve
client <<<'is_(read(1000, 4000), pattern(1000, 7, 4000))'
assert_equal "$(stat -c %s spare.img)" $((8 << 20)) "size of the spare"
stop_nbdkit disk
cmp -n $((6000 * 512)) main.img orig.img
