#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Sector 0, the last one, a tail of less than a sector, requests of odd
# sizes and the largest ones (promises 2 and 6 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

# 32 MiB, and a tail of 100 bytes: sector 65536.
make_main $(((32 << 20) + 100))
bad_sectors bad.txt 0 1000 2000+2 65535+2
serve
client <<'PY'
size = (32 << 20) + 100
is_(h.get_size(), size)
model = bytearray(open("orig.img", "rb").read())

def put(data, offset, wanted="ok"):
    is_(outcome(h.pwrite, data, offset), wanted, offset)
    if wanted == "ok":
        model[offset:offset + len(data)] = data

def get(count, offset):
    is_(bytes(h.pread(count, offset)), bytes(model[offset:offset + count]),
        (count, offset))

# What is partly written is read first: before the whole has been written,
# that is an error, and changes nothing.
put(b"a" * 1, 0, "EIO")
put(b"b" * 100, size - 101, "EIO")
put(b"c" * 700, 999 * SECTOR, "EIO")
get(999 * SECTOR - 512, 512)

put(b"d" * 512, 0)
put(b"e" * 612, size - 612)
put(b"f" * 512, 1000 * SECTOR)
put(b"g" * 3000, 1999 * SECTOR)
for count, offset in [(1, 0), (511, 1), (513, 0), (100, size - 100),
                      (101, size - 101), (1, size - 1), (613, size - 613),
                      (4097, 999 * SECTOR + 7), (1025, 2000 * SECTOR - 1)]:
    get(count, offset)
    put(bytes([count % 251]) * count, offset)
    get(count, offset)
    get(min(count + 600, size - max(0, offset - 300)), max(0, offset - 300))

random.seed(1)
spots = [0, 1000 * SECTOR, 2000 * SECTOR, 65535 * SECTOR, 65536 * SECTOR]
for i in range(1000):
    count = random.choice([1, 3, 511, 512, 513, 1000, 4096, 5001])
    offset = random.choice(spots) + random.randrange(-count, 600)
    offset = max(0, min(offset, size - count))
    if i % 3 == 0:
        put(random.randbytes(count), offset)
    elif i % 7 == 0:
        h.zero(count, offset)
        model[offset:offset + count] = bytes(count)
    get(count, offset)

# The largest requests, across it all.
n = 32 << 20
get(n, 100)
put(random.randbytes(n), 100)
get(n, 0)
h.zero(size, 0)
model[:] = bytes(size)
get(n, 0)
get(n, 100)
PY

# Beyond the end there is nothing: neither here nor after a crash.
crash
serve
client <<'PY'
size = (32 << 20) + 100
is_(h.get_size(), size)
for at in range(0, size, 1 << 20):
    n = min(1 << 20, size - at)
    is_(bytes(h.pread(n, at)), bytes(n))
h.set_strict_mode(h.get_strict_mode() & ~nbd.STRICT_BOUNDS)
is_(outcome(h.pread, 512, 65536 * SECTOR), "EINVAL")
is_(outcome(h.pwrite, b"x" * 512, 65536 * SECTOR), "ENOSPC")
PY
assert_equal "$(stat -c %s main.img)" $(((32 << 20) + 100)) "main's size"
