#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A block device as the spare: formatted if it is blank, held against
# others, and used to its end (promises 20 to 22 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_loop
requires_program mkfs.ext4 mount

make_main $((8 << 20))
PLUGIN='file main.img'
SAME='spare-same-disk=yes'
mkdir mnt

# One with sectors of 4096 bytes, and a spare in the middle of it: slots and
# the log are not aligned to them.
for sector in 4096 512; do
  echo "==== sectors of $sector bytes"
  bad_sectors bad.txt 100+8000
  rm -f device.img
  truncate -s 2M device.img
  attach_loop device.img --sector-size $sector || fail "$(cat losetup.err)"
  SPARE=$loop
  OFFSET=$((sector == 4096 ? 4096 * 5 + 512 : 0))
  serve $SAME spare-offset=$OFFSET
  client <<'PY'
rnd = random.Random(3)
wanted = {}
def one(c, s, done):
    wanted[s] = rnd.randbytes(SECTOR)
    b = nbd.Buffer.from_bytearray(bytearray(wanted[s]))
    c.aio_pwrite(b, s * SECTOR, done)
    return b
# Beside each other in the spare, at the same time.
for again in range(2):
    sectors = rnd.sample(range(100, 4000), 300)
    is_(set(at_depth(16, sectors, one).values()), {0})
for s in wanted:
    is_(read(s), wanted[s], s)
n = 4000
while outcome(write, n, pattern(n, 1, 50)) == "ok":
    n += 50
# To the last slot.
while outcome(write, n, pattern(n)) == "ok":
    n += 1
is_(outcome(write, n, pattern(n)), "ENOSPC")
assert 4000 < n < 8000, n
with open("wanted", "wb") as f:
    for s in range(100, n):
        f.write(wanted.get(s) or (orig(s) if s < 4000 else pattern(s)))
PY

  # In use: by a second server, and as far as the kernel is concerned.
  cp orig.img second.img
  PLUGIN='file second.img' refused "spare $loop: .*(in use|exclusive use)"
  expect_failure mkfs.ext4 -q "$loop"
  expect_failure mount "$loop" mnt
  crash

  # It grows with its device.
  truncate -s 8M device.img
  losetup -c "$loop"
  serve $SAME spare-offset=$OFFSET
  client <<'PY'
wanted = open("wanted", "rb").read()
for s in range(100, 100 + len(wanted) // SECTOR):
    if s < 4000 and outcome(read, s) == "EIO":
        is_(wanted[(s - 100) * SECTOR:][:SECTOR], orig(s), s)
    else:
        is_(read(s), wanted[(s - 100) * SECTOR:][:SECTOR], s)
write(8000, pattern(8000, 1, 100))
PY
  crash
  serve $SAME spare-offset=$OFFSET
  client <<<'is_(read(8000, 100), pattern(8000, 1, 100))'
  stop_nbdkit disk
  [ "$sector" = 512 ] || detach_loop "$loop"
done

refused 'the device has 8388608 bytes' spare-size=9M
refused 'lies beyond the end of the device' spare-offset=9M
mkfs.ext4 -q -F "$loop"
refused 'is neither blank nor a spare'
mount "$loop" mnt
cleanup_fn umount -l mnt
refused "spare $loop: .*(mounted|in use)"
