#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# qemu-img: convert in and out, compare, and map: what was remapped is data
# even where main has a hole (promises 1 and 2 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program qemu-img nbdinfo

# Sparse: 1 MiB of data in the middle of 16.
random_file data 1048576
truncate -s 16M in.img
dd if=data of=in.img bs=1M seek=8 conv=notrunc status=none
truncate -s 16M main.img
bad_sectors bad.txt 100 4096 16384+1 17000+8 32767
serve

qemu-img convert -n -f raw -O raw -W -m 16 in.img "$uri"
qemu-img compare -f raw -F raw in.img "$uri"
qemu-img convert -f raw -O qcow2 "$uri" out.qcow2
qemu-img compare in.img out.qcow2

# Whoever copies only what is data gets all of it.
URI=$uri client <<'PY'
write(4096, pattern(4096))
write(30000, b"\0" * SECTOR)
PY
dd if=/dev/zero of=expected bs=1 count=0 status=none
cp in.img expected
/usr/bin/python3 - <<'PY'
import struct
with open("expected", "r+b") as f:
    f.seek(4096 * 512)
    f.write(struct.pack("<QQ", 4096, 1) * 32)
PY
qemu-img map -f raw --output=json "$uri" >map.json
nbdinfo --map --json "$uri" >info.json
cat map.json info.json
/usr/bin/python3 - <<'PY'
import json
def covers(extents, start, length, is_data):
    for e in extents:
        a, n = (e["start"] if "start" in e else e["offset"]), e["length"]
        if a <= start and start + length <= a + n:
            return is_data(e)
    raise Exception("no extent has %d" % start)
for name, is_data in [("map.json", lambda e: e["data"] and not e["zero"]),
                      ("info.json", lambda e: e["type"] == 0)]:
    with open(name) as f:
        extents = json.load(f)
    # Remapped, in a hole of main; written to main; a hole.
    assert covers(extents, 4096 * 512, 512, is_data), name
    assert covers(extents, 8 << 20, 512, is_data), name
    assert not covers(extents, 2 << 20 >> 1, 512, is_data), name
PY
nbdcopy "$uri" out.img
cmp expected out.img
qemu-img convert -f raw -O raw -S 4k "$uri" out.img
cmp expected out.img
