#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Errors of many sectors at once, on several connections: each sector is
# remapped once, and each has a slot of its own (promises 1, 2, 8 and 19
# of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 1024+1024 4096+1024
OPTIONS=--threads=16
serve baddisk-recover=2
client <<'PY'
random.seed(7)

# 0 .. 3 write each a share of the first bad area, in any order, and all of
# them the same 64 sectors; 4 and 5 read the second area, which reads at
# the second try: weak sectors, both see the same ones.
errors = []
def work(n):
    c = connect()
    try:
        if n < 4:
            todo = [s for s in range(1024, 2048) if s % 4 == n or s < 1088]
            random.shuffle(todo)
            bufs = {s: nbd.Buffer.from_bytearray(bytearray(pattern(s)))
                    for s in todo}
            r = at_depth(32, todo, lambda c, s, done:
                         c.aio_pwrite(bufs[s], s * SECTOR, done), c)
        else:
            todo = list(range(4096, 5120))
            random.shuffle(todo)
            bufs = {s: nbd.Buffer(SECTOR) for s in todo}
            r = at_depth(32, todo, lambda c, s, done:
                         c.aio_pread(bufs[s], s * SECTOR, done), c)
            for s in todo:
                is_(bytes(bufs[s].to_bytearray()), orig(s), s)
        is_([s for s in r if r[s] != 0], [])
    except BaseException as e:
        errors.append(e)

threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
for t in threads:
    t.start()
for t in threads:
    t.join()
assert not errors, errors

def check(handle):
    for s in range(1024, 2048):
        is_(read(s, 1, handle), pattern(s), s)
    for s in range(4096, 5120):
        is_(read(s, 1, handle), orig(s), s)
check(h)

# A sector that was a canary (promise 12) has failed once before it was
# read, and needs no slot; there are few of these.
written = [pattern(s) for s in range(1024, 2048)]
weak = [orig(s) for s in range(4096, 5120)]
where = places(written + weak)
is_([len(where[c]) for c in written], [1] * 1024, "slots of each sector")
moved = [c for c in weak if where[c]]
is_([len(where[c]) for c in moved], [1] * len(moved), "slots of each sector")
assert len(moved) > 1000, len(moved)
is_(len({where[c][0] for c in written + moved}), 1024 + len(moved))
PY
crash
cmp main.img orig.img

serve baddisk-recover=2
client <<'PY'
for s in range(1024, 2048):
    is_(read(s), pattern(s), s)
for s in range(4096, 5120):
    is_(read(s), orig(s), s)
is_(read(0, 1024), orig(0, 1024))
is_(read(5120, 1024), orig(5120, 1024))
PY
