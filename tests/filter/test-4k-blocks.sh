#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A main whose smallest unit is 4 KiB: clients may ask for any size, main is
# only asked for whole blocks, and a bad sector costs its block (promises 2
# and 6 of remap-promises(7)); a block size that changed between two runs is
# accepted.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_filter blocksize-policy

make_main $((8 << 20))
bad_sectors bad.txt 1003 2000 3007+2
with_4k ()
{
  # Anything that isn't aligned to 4 KiB is refused below.
  BELOW=--filter=blocksize-policy \
    serve blocksize-minimum=4096 blocksize-preferred=4096 \
          blocksize-error-policy=error
}
cat >check.py <<'PY'
is_(read(1000, 8), pattern(1000, 1, 3) + pattern(1003, 2) +
    pattern(1004, 1, 4))
is_(outcome(read, 2000, 8), "EIO")
is_(outcome(read, 2007), "EIO")
is_(read(2001), pattern(2001))
is_(read(3000, 16), pattern(3000, 1, 8) + pattern(3008, 1, 8))
for offset, count in [(1, 1), (511, 2), (4095, 4098), (100 * 512, 512)]:
    is_(bytes(h.pread(count, offset)),
        (orig(0, 1) + b"zz" + orig(0, 1000)[514:])[offset:offset + count])
PY
with_4k
{ cat <<'PY'; cat check.py; } | client
is_(h.get_block_size(nbd.SIZE_MINIMUM), 1)
h.pwrite(b"zz", 512)
write(1000, pattern(1000, 1, 8))
write(1003, pattern(1003, 2))
is_(outcome(read, 2000), "EIO")
# Less than a sector of what can't be read can't be written; a sector can,
# and its neighbours are still what they were.
is_(outcome(h.pwrite, b"x" * 100, 2001 * SECTOR), "EIO")
write(2001, pattern(2001))
write(3000, pattern(3000, 1, 16))

# Whole blocks are in the spare.
contents = [pattern(s) for s in range(3000, 3016)]
where = places(contents)
is_([len(where[c]) for c in contents], [1] * 16)
is_(raw(999) + raw(1008), orig(999) + orig(1008))
PY
crash
with_4k
client <check.py
crash

# The next day it is a disk of 512-byte blocks, and then of 4 KiB again: one
# of the two blocks that are mixed now can't be read as a whole.
bad_sectors bad.txt 1003 2000 3007+2 5000 6000
serve
{ cat check.py; cat <<'PY'; } | client
write(5000, pattern(5000))
write(6000, pattern(6000))
PY
stop_nbdkit disk
bad_sectors bad.txt 1003 2000 3007+2 5000
with_4k
{ cat check.py; cat <<'PY'; } | client
for s in 5000, 6000:
    is_(read(s), pattern(s))
    write(s + 1, pattern(s + 1))
    is_(read(s, 2), pattern(s, 1, 2))
is_(outcome(read, 5002), "EIO")
is_(read(6000, 8), pattern(6000, 1, 2) + orig(6002, 6))
h.zero(8 * SECTOR, 2000 * SECTOR)
is_(read(2000, 8), bytes(8 * SECTOR))
PY
