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

make_main $((8 << 20))

# counted SIZE BYTES: reads the first BYTES of the disk in pieces of SIZE.
counted ()
{
  local end n bad

  rm -f spare.img ops.txt
  for end in crash 'stop_nbdkit disk' crash; do
    serve
    SIZE=$1 BYTES=$2 client <<'PY'
size, end = int(os.environ["SIZE"]), int(os.environ["BYTES"])
bad = set()
for line in open("bad.txt"):
    w = line.split()
    if w[-1] == "-":
        a, n = int(w[0], 16) // 512, int(w[1], 16) // 512
        bad.update(range(a, a + n))
open("bad", "w").write(str(len(bad)))
for again in range(3):
    for at in range(0, end, size):
        covered = range(at // SECTOR, (at + size) // SECTOR)
        wanted = "EIO" if bad.intersection(covered) else "ok"
        is_(outcome(h.pread, size, at), wanted, at)
# Sector by sector, all of them become known.
for s in sorted(bad):
    is_(outcome(read, s), "EIO")
PY
    $end
  done
  bad=$(cat bad)
  n=$(grep -c '^read .* EIO' ops.txt)
  echo "$1 bytes at a time: $n failing reads of $bad bad sectors"
  [ "$n" -ge "$bad" ] || fail "only $n failing reads of $bad bad sectors"
  [ "$n" -le $((4 * bad)) ] || fail "$n failing reads of $bad bad sectors"
}

# Lone ones, pairs and a scratch, close together.
near=$(/usr/bin/python3 -c "
import random
random.seed(2)
print(*random.sample(range(0, 3400, 2), 100))")
# shellcheck disable=SC2086
bad_sectors bad.txt $near 3401+2 3500+2 4000+64
for size in 512 4096 65536 $((1 << 20)) $((2 << 20)); do
  counted $size $((2 << 20))
done

# Each on its own, where the search is longest.
bad_sectors bad.txt 100 2100 5000 6200 10239 10241 13000 16383
for size in 4096 8192 65536 131072 $((1 << 20)); do
  counted $size $((8 << 20))
done
