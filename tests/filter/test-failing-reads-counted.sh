#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# One client's reads of a disk with bad sectors, front to back, again and
# again, across restarts: main fails at most four times for each bad
# sector, for ever (promise 5 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((2 << 20))
# Lone ones, pairs, a scratch; 168 in all.
lone=$(/usr/bin/python3 -c "
import random
random.seed(2)
print(*random.sample(range(0, 3400, 2), 100))")
# shellcheck disable=SC2086
bad_sectors bad.txt $lone 3401+2 3500+2 4000+64

for size in 512 4096 65536 1048576 2097152; do
  echo "==== $size"
  rm -f spare.img ops.txt
  for end in crash 'stop_nbdkit disk' crash; do
    serve
    SIZE=$size client <<'PY'
size = int(os.environ["SIZE"])
bad = set()
for line in open("bad.txt"):
    w = line.split()
    if w[-1] == "-":
        a, n = int(w[0], 16) // 512, int(w[1], 16) // 512
        bad.update(range(a, a + n))
is_(len(bad), 168)
for again in range(3):
    for at in range(0, 2 << 20, size):
        covered = range(at // SECTOR, (at + size) // SECTOR)
        wanted = "EIO" if bad.intersection(covered) else "ok"
        is_(outcome(h.pread, size, at), wanted, at)
# Sector by sector, all of them become known.
if size < 1048576:
    for s in sorted(bad):
        is_(outcome(read, s), "EIO")
PY
    $end
  done
  n=$(grep -c '^read .* EIO' ops.txt)
  echo "$n failing reads"
  [ "$n" -le $((4 * 168)) ] || fail "$n failing reads of 168 bad sectors"
done
