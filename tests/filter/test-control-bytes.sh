#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A remap by command, byte by byte: the sector's content before it, where
# its slot is, what is written through NBD, the slot's raw bytes in the
# spare, and main's raw bytes, which don't change (promises 1 and 13 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
serve remap-control=ctl.sock
client <<'PY'
# The slots lie one after the other: where one is, the others are, too.
def slot_of(sector):
    for start, count, state, slot, why in table():
        if start <= sector < start + count:
            is_(state, "remapped", sector)
            return slot + sector - start
    assert False, sector
does("remap 9000", done=1)
write(9000, pattern(9000, 77))
h.flush()
found = places([pattern(9000, 77)])[pattern(9000, 77)]
is_(len(found), 1, "places of the first one")
base = found[0] - slot_of(9000) * 512
def in_spare(sector, count=1):
    with open("spare.img", "rb") as f:
        f.seek(base + slot_of(sector) * 512)
        return f.read(count * 512)

# Before; moved with its content.
is_(read(2048, 8), orig(2048, 8))
does("remap 2048 8", done=8, lost=0)
is_(read(2048, 8), orig(2048, 8))
is_(in_spare(2048, 8), orig(2048, 8), "the slots' raw bytes")
is_(raw(2048, 8), orig(2048, 8), "main's raw bytes")

# Written through NBD: it is in the slots, and main stays as it was.
write(2048, pattern(2048, 5, 8), nbd.CMD_FLAG_FUA)
is_(in_spare(2048, 8), pattern(2048, 5, 8), "the slots' raw bytes")
is_(raw(2048, 8), orig(2048, 8), "main's raw bytes")
h.pwrite(b"in the middle", 2050 * 512 + 100)
h.flush()
is_(in_spare(2050)[100:113], b"in the middle")
is_(raw(2050), orig(2050))

# The neighbours are on main.
write(2047, pattern(2047, 6))
write(2056, pattern(2056, 6))
h.flush()
is_(raw(2047), pattern(2047, 6))
is_(raw(2056), pattern(2056, 6))
PY
crash
serve remap-control=ctl.sock
client <<'PY'
want = bytearray(pattern(2048, 5, 8))
want[2 * 512 + 100:2 * 512 + 113] = b"in the middle"
is_(read(2048, 8), bytes(want), "after a crash")
is_(raw(2048, 8), orig(2048, 8), "main's raw bytes")

# Given back: main has it, the slots are free.
used = does("status")["spare"]["used"]
does("unmap 2048 8", done=8, bad=0)
is_(raw(2048, 8), bytes(want), "main's raw bytes")
is_(does("status")["spare"]["used"], used - 8)
is_(read(2048, 8), bytes(want))
PY
crash
serve remap-control=ctl.sock
client <<'PY'
is_([x for x in table() if x[0] != 9000], [])
is_(read(2050)[100:113], b"in the middle")
PY
stop_nbdkit disk
