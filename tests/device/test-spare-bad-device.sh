#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The spare is a block device that has bad sectors of its own: slots that
# can't be written are retired, others are taken, and what was acknowledged
# is there after a crash (promise 17 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/device.sh"
requires nbdsh --version
requires_bad_device

make_main $((4 << 20))
for sector in 512 4096; do
  echo "==== sectors of $sector bytes"
  rm -f spare-disk.img disk.log
  truncate -s 4M spare-disk.img
  : >bad.txt
  [ "$sector" = 512 ] || LOSETUP_ARGS="--sector-size $sector"
  make_bad_device spare-disk.img
  cp bad.txt main-bad.txt

  # The disk: 1000 bad sectors.  baddisk reads bad.txt for the spare.
  bad_sectors main-bad.txt 2000+1000
  start_nbdkit disk -v -D remap.verbose=1 --filter=remap --filter=baddisk \
               file main.img spare="$loop" spare-same-disk=yes \
               baddisk-list=main-bad.txt
  disk_uri=$uri
  client <<'PY'
write(2000, pattern(2000, 1, 100))
# Where the slots are, and some of the next ones go bad.
first = places({pattern(2000)}, "spare-disk.img")[pattern(2000)][0] // SECTOR
with open("slots", "w") as f:
    f.write(" ".join(str(first + n) for n in (0, 1, 130, 200, 201, 300)))
PY
  # shellcheck disable=SC2046
  bad_sectors bad.txt $(cat slots)
  client <<'PY'
for s in range(2100, 2900, 10):
    write(s, pattern(s, 1, 10))
h.flush()
# A slot that was good before: another one is taken for it.
write(2000, pattern(2000, 2, 2))
is_(read(2000, 2), pattern(2000, 2, 2))
is_(read(2010, 890), pattern(2010, 1, 890))
PY
  crash
  assert_no_grep 'the spare has failed|spare.*failed' disk.log
  start_nbdkit disk --filter=remap --filter=baddisk \
               file main.img spare="$loop" spare-same-disk=yes \
               baddisk-list=main-bad.txt
  disk_uri=$uri
  client <<'PY'
is_(read(2000, 2), pattern(2000, 2, 2))
is_(read(2010, 890), pattern(2010, 1, 890))
PY
  stop_nbdkit disk
  # Less than a sector is read before it is written.
  grep -qE '^(read|write) .* EIO' device-ops.txt || fail "no slot was bad"
  detach_loop "$loop"
  end_fuse
  stop_nbdkit device
  rm device-ops.txt
done
