#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A request of many sectors over one bad sector leaves its neighbours
# alone: they go to main, and the spare has the bad sector only (promise 2
# of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

for partial in none good random; do
  echo "==== baddisk-partial=$partial"
  rm -f spare.img ops.txt
  make_main $((8 << 20))
  bad_sectors bad.txt 3001 5000+3 8191
  serve baddisk-partial=$partial
  client <<'PY'
bad = {3001, 5000, 5001, 5002, 8191}

# 1 MiB over one bad sector, 64 KiB over three, 4 KiB with the last one bad.
ranges = [(2048, 2048), (4992, 128), (8184, 8)]
for start, count in ranges:
    write(start, pattern(start, 1, count))
for start, count in ranges:
    is_(read(start, count), pattern(start, 1, count))
    for s in range(start, start + count):
        is_(raw(s), orig(s) if s in bad else pattern(s), s)

# Nothing else of these writes is in the spare, nor beside them on main.
written = [s for start, count in ranges for s in range(start, start + count)]
where = places([pattern(s) for s in written])
for s in written:
    is_(len(where[pattern(s)]), 1 if s in bad else 0, s)
for start, count in ranges:
    is_(raw(start - 1), orig(start - 1))
    is_(raw(start + count), orig(start + count))

# Reading over it: slots and main side by side.
is_(read(2047, 2050), orig(2047) + pattern(2048, 1, 2048) + orig(4096))
PY
done
