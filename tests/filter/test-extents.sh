#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Block status: what main says of its holes counts for DIRECT sectors alone.
# A remapped sector over a hole is data, or a client that copies only data
# would lose it (promise 1 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program nbdcopy

truncate -s 8M main.img
bad_sectors bad.txt 4096+8 8192
serve baddisk-fail=write,zero
client <<'PY'
write(4096, pattern(4096, 1, 8))
PY
/usr/bin/python3 - "$uri" <<'PY'
import nbd, sys
h = nbd.NBD()
h.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
h.connect_uri(sys.argv[1])
where = {}
def extent(context, offset, entries, err):
    for length, flags in zip(entries[::2], entries[1::2]):
        for s in range(offset // 512, (offset + length) // 512):
            where[s] = flags
        offset += length
offset = 0
while offset < 8 << 20:
    h.block_status((8 << 20) - offset, offset, extent)
    offset = 512 * (max(where) + 1)
assert all(where[s] == 0 for s in range(4096, 4104)), where[4096]
assert all(where[s] & nbd.STATE_ZERO for s in range(4096)), "main's holes"
assert all(where[s] & nbd.STATE_ZERO for s in range(4104, 16384))
PY
nbdcopy "$uri" copy.img
cmp -n 4096 -i $((4096 * 512)):0 copy.img <(client <<'PY'
sys.stdout.flush()
os.write(1, read(4096, 8))
PY
) || fail "a copy without the remapped sectors"
