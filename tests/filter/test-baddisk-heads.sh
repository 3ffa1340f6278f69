#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The baddisk filter's dead heads: which sectors are on them, and what fails
# there.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

# heads ARG...: an empty disk of 96 sectors and a half.
heads ()
{
  [ -z "${nbdkit_pids[disk]:-}" ] || stop_nbdkit disk
  rm -f ops.txt
  start_nbdkit disk --filter=baddisk memory $((96 * 512 + 256)) \
               baddisk-log=ops.txt "$@"
  disk_uri=$uri
}

# dead N DEAD RUN-IN-SECTORS: checks each sector against the arithmetic.
dead ()
{
  heads baddisk-heads="$1,$2,$(($3 * 512))"
  client <<PY
dead = [int(d) for d in "$2".split("+")]
bad = [s for s in range(96) if s // $3 % $1 in dead]
is_([s for s in range(96) if outcome(read, s) != "ok"], bad)
tail = 96 // $3 % $1 in dead
is_(outcome(h.pread, 256, 96 * 512), "EIO" if tail else "ok")
r = random.Random(1)
for i in range(200):
    a = r.randrange(96 * 512)
    n = r.randrange(1, 96 * 512 + 257 - a)
    touched = range(a // 512, (a + n - 1) // 512 + 1)
    fails = any(s // $3 % $1 in dead for s in touched)
    is_(outcome(h.pread, n, a), "EIO" if fails else "ok", (a, n))
PY
}

echo "== which sectors"
dead 4 2 8
dead 4 0+3 8
dead 3 0+1+2 5
dead 1 0 1
dead 2 1 96
dead 64 63+17 1
dead 8 7 1000

echo "== reads fail, writes don't, and don't help; nothing is counted"
heads baddisk-heads=4,1,4k baddisk-heal=write baddisk-recover=2
client <<'PY'
is_([outcome(read, 8) for i in range(3)], ["EIO"] * 3)
is_(outcome(write, 8, pattern(8, 1, 8)), "ok")
is_([outcome(read, 8) for i in range(3)], ["EIO"] * 3)
is_(outcome(h.zero, 4096, 4096), "ok")
is_(outcome(read, 0, 96), "EIO")
h.trim(4096, 4096)
PY
assert_equal "$(grep -c '^read 4096 512 EIO 0$' ops.txt)" 6 "tries"
assert_grep '^write 4096 4096 ok 0$' ops.txt
assert_grep '^read 0 49152 EIO 0$' ops.txt
assert_grep '^trim 4096 4096 ok 0$' ops.txt

echo "== writes and zeroes, too; what they leave"
heads baddisk-heads=4,1+2,1k baddisk-heads-fail=write,zero \
      baddisk-partial=good baddisk-errno=ENOSPC
client <<'PY'
is_(outcome(write, 0, pattern(0, 1, 16)), "ENOSPC")
lost = [2, 3, 4, 5, 10, 11, 12, 13]
for s in range(16):
    is_(read(s), bytes(512) if s in lost else pattern(s))
is_(outcome(h.zero, 16 * 512, 0, nbd.CMD_FLAG_NO_HOLE), "ENOSPC")
is_(read(0, 16), bytes(16 * 512))
PY

echo "== beside bad sectors: the first one counts"
bad_sectors bad.txt 1 20
heads baddisk-heads=4,1,4k baddisk-list=bad.txt baddisk-clock=on \
      baddisk-stream=128 baddisk-delay=0
client <<'PY'
is_(outcome(read, 0, 96), "EIO")
is_(outcome(read, 2, 40), "EIO")
is_(outcome(read, 16, 8), "EIO")
PY
# 512 bytes take half a millisecond to pass by.
assert_grep '^read 0 49152 EIO 1 3.001$' ops.txt
assert_grep '^read 1024 20480 EIO 0 6.003$' ops.txt
assert_grep '^read 8192 4096 EIO 3 9.005$' ops.txt

echo "== wrong values"
for value in '' 4 4,1 4,,8M ,1,8M 0,0,8M 65,0,8M 4,4,8M 4,1+,8M 4,+1,8M \
             4,-1,8M 4,1,0 4,1,100 4,1,x 4,1,-512 4294967297,0,8M \
             4,1,99999999999999999999; do
  expect_failure nbdkit -U "$tmp/wrong.sock" --filter=baddisk memory 32k \
                 "baddisk-heads=$value" --run true
  assert_equal "$(grep -c 'error:' expect.out)" 1 "messages of '$value'"
done
expect_failure nbdkit -U "$tmp/wrong.sock" --filter=baddisk memory 32k \
               baddisk-heads-fail=trim --run true
assert_grep "'trim' is not an operation" expect.out
