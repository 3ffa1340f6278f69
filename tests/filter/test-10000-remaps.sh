#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# 10,000 remaps survive a crash, all of them, and nothing else changes
# (promises 1, 13 and 15 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

# All in the first half of the disk: so many bad sectors everywhere would
# make it look as if the disk were gone (promise 12).
make_main $((32 << 20))
/usr/bin/python3 - >sectors.txt <<'PY'
import random
random.seed(3)
print("\n".join(map(str, sorted(random.sample(range(32768), 10000)))))
PY
awk '{ printf "%d 512 -\n", $1 * 512 }' sectors.txt >bad.txt
serve
cat >check.py <<'PY'
sectors = [int(line) for line in open("sectors.txt")]
wanted = bytearray(orig(0, 65536))
for s in sectors:
    wanted[s * SECTOR:(s + 1) * SECTOR] = pattern(s)
def check():
    for at in range(0, len(wanted), 1 << 20):
        is_(bytes(h.pread(1 << 20, at)), bytes(wanted[at:at + (1 << 20)]), at)
PY
{ cat check.py - <<'PY'
random.seed(4)
todo = sectors[:]
random.shuffle(todo)
bufs = {s: nbd.Buffer.from_bytearray(bytearray(pattern(s))) for s in todo}
r = at_depth(32, todo,
             lambda c, s, done: c.aio_pwrite(bufs[s], s * SECTOR, done))
is_([s for s in r if r[s] != 0], [])
PY
} | client
for end in crash 'stop_nbdkit disk' crash; do
  $end
  rm ops.txt
  serve
  { cat check.py; echo 'check()'; echo 'is_(disk_log(), [])'; } | client
done
stop_nbdkit disk
cmp main.img orig.img
