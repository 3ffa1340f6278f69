#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The baddisk filter's slow areas: what they add to the time of which
# operations.  That is counted by its clock; without the clock it is waited
# for at least as long.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

truncate -s 64M main.img
# Sectors 2048 to 2049 are bad, 4096 to 4103 slow.
bad_sectors bad.txt 2048+2
bad_sectors slow.txt 4096+8

# slow [ARG...]: a disk with slow areas.
slow ()
{
  [ -z "${nbdkit_pids[disk]:-}" ] || stop_nbdkit disk
  rm -f ops.txt
  start_nbdkit disk --filter=baddisk file main.img baddisk-list=bad.txt \
               baddisk-log=ops.txt "$@"
  disk_uri=$uri
}

# totals REGEX: the end of the last line, after an orderly end.
totals ()
{
  stop_nbdkit disk
  assert_grep "^totals .* $1\$" ops.txt
}

echo "== reads, writes, zeroes and caches that touch one, once each"
slow baddisk-clock=on baddisk-delay=0 baddisk-slow=slow.txt,250.5
client <<'PY'
read(4095), read(4104)
read(4096)
read(4095, 100)
is_(outcome(h.pread, 1, 4096 * 512 + 511), "ok")
write(4103, pattern(4103))
h.zero(512, 4100 * 512)
h.cache(4096, 4096 * 512)
h.trim(512, 4100 * 512)
h.flush()
PY
totals "clock=1\.503 seek=0.000 stream=0.000 fail=0.000 seeks=[0-9]+ slow=1.503"

echo "== an operation that fails is slow as well"
slow baddisk-clock=on baddisk-stream=0 baddisk-slow=slow.txt,1000
client <<<'is_(outcome(read, 2048, 2049), "EIO")'
totals "clock=4.000 seek=0.000 stream=0.000 fail=3.000 seeks=0 slow=1.000"
assert_grep '^read 1048576 1049088 EIO 1 4.000$' ops.txt

echo "== areas that become slow while the disk is in use, and a badblocks list"
echo 3 >slow.txt
slow baddisk-clock=on baddisk-slow=slow.txt,1000 baddisk-block=4k
client <<'PY'
read(23), read(32)
read(24), read(31)
with open("new.txt", "w") as f:
    f.write("0 512 -\n")
os.rename("new.txt", "slow.txt")
read(24), read(31)
read(0)
PY
totals "seeks=[0-9]+ slow=3.000"

echo "== a file whose name has commas; without slow areas nothing is said"
bad_sectors a,5,b 0
slow baddisk-clock=on baddisk-slow=a,5,b,7
client <<<'read(0)'
totals "slow=0.007"
slow baddisk-clock=on
client <<<'read(0)'
totals "seeks=0"

echo "== really waited for"
bad_sectors slow.txt 4096+8
slow baddisk-slow=slow.txt,200 baddisk-delay=50 baddisk-fail-delay=100
client <<'PY'
def seconds(f, *args):
    t = time.monotonic()
    f(*args)
    return time.monotonic() - t
assert seconds(read, 4096) >= 0.25
assert seconds(write, 4096, pattern(4096)) >= 0.25
assert seconds(outcome, read, 2048, 2049) >= 0.3
PY

echo "== wrong values"
for value in slow.txt "slow.txt," slow.txt,x slow.txt,-1 slow.txt,3600001 ,5 \
             nothing.txt,5; do
  expect_failure nbdkit -U "$tmp/wrong.sock" --filter=baddisk memory 32k \
                 "baddisk-slow=$value" --run true
  assert_grep 'baddisk-slow' expect.out
  assert_equal "$(grep -c 'error:' expect.out)" 1 "messages of $value"
done
