#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A sector that makes the disk vanish whenever it is read: a copy of the disk
# gets everything else, in one go, and the sector is LOST, with a reason and a
# line in the log (promise 12 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors vanish.txt 4000

# The disk is back when it has been asked once more: that is for a sign of life,
# a second later.
serve baddisk-vanish=vanish.txt baddisk-vanish-requests=1 main-lost-wait=600 \
      remap-retries=0 remap-control="$PWD/control.sock"
client <<'END'
MB = 1 << 20
got = bytearray(8 * MB)
# Many requests at once, as copying programs have.
cs = [connect() for _ in range(4)]
todo, bad = list(range(0, 8 * MB, 256 << 10)), []
def copy(c):
    while todo:
        try:
            offset = todo.pop(0)
        except IndexError:
            return
        try:
            got[offset:offset + (256 << 10)] = c.pread(256 << 10, offset)
        except nbd.Error as e:
            is_(errno.errorcode[e.errnum], "EIO")
            bad.append(offset)
threads = [threading.Thread(target=copy, args=(c,)) for c in cs]
[t.start() for t in threads]
[t.join() for t in threads]
is_(bad, [4000 * 512 >> 18 << 18])
# Of the piece around it sector by sector.
for s in range(bad[0] // 512, (bad[0] + (256 << 10)) // 512):
    if s != 4000:
        got[s * 512:s * 512 + 512] = read(s)
is_(outcome(read, 4000), "EIO")
got[4000 * 512:4001 * 512] = orig(4000)
assert got == open("orig.img", "rb").read()
vanished = [w for w in disk_log("read") if w[4] != "0"]
# Lost with others, lost with its request alone, twice alone; and perhaps once
# with a request that had read ahead of that.
assert 3 <= len(vanished) <= 6, vanished
for w in vanished[-2:]:
    is_(w[1:3], [str(4000 * 512), "512"])
END
remapctl -s control.sock table >table.txt
stop_nbdkit disk
cat table.txt
assert_grep '^ *4000 +1 lost .* vanish$' table.txt
assert_equal "$(wc -l <table.txt)" 2 "lines of the table"
assert_grep 'block at 0x1f4000: main was lost 2 times' disk.log
