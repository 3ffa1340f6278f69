#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The baddisk filter counts how often each sector was read.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((1 << 20))
bad_sectors bad.txt 100

# counted ARG...: main.img, with one bad sector.
counted ()
{
  [ -z "${nbdkit_pids[disk]:-}" ] || stop_nbdkit disk
  start_nbdkit disk --filter=baddisk file main.img baddisk-list=bad.txt \
               baddisk-reads=reads.txt "$@"
  disk_uri=$uri
}

# expect: the file must be what is on stdin, once the server has ended.
expect ()
{
  stop_nbdkit disk
  diff -u - reads.txt
}

echo "== every good sector once"
counted
client <<'PY'
for s in range(0, 96, 32):
    read(s, 32)
for s in range(96, 104):
    outcome(read, s)
read(104, 2048 - 104)
PY
expect <<'END'
0 51200 1
51712 996864 1
END

echo "== parts of sectors, several times; failing reads and other operations"
counted baddisk-recover=3
client <<'PY'
h.pread(2, 5 * 512 + 511)
h.pread(1, 6 * 512)
is_([outcome(read, 96, 8) for i in range(4)], ["EIO", "EIO", "ok", "ok"])
write(200, pattern(200))
h.zero(512, 201 * 512)
h.trim(512, 202 * 512)
h.cache(512, 203 * 512)
h.flush()
read(2000), read(1000), read(2000)
PY
expect <<'END'
2560 512 1
3072 512 2
49152 4096 2
512000 512 1
1024000 512 2
END

echo "== nothing"
echo old >reads.txt
counted
client </dev/null
expect </dev/null

echo "== a disk whose last sector is short; many connections"
start_nbdkit disk --filter=baddisk memory 1030 baddisk-reads=reads.txt
disk_uri=$uri
client <<'PY'
at_depth(16, range(1000), lambda c, i, done: c.aio_pread(
    nbd.Buffer(1030), 0, completion=done))
for i in range(10):
    connect().pread(6, 1024)
PY
expect <<'END'
0 1024 1000
1024 512 1010
END

echo "== a file that can't be created, or written"
expect_failure nbdkit -U "$tmp/wrong.sock" --filter=baddisk memory 32k \
               baddisk-reads=nothing/reads.txt --run true
assert_grep "baddisk-reads=.*No such file" expect.out
expect_failure nbdkit -U "$tmp/wrong.sock" --filter=baddisk memory 32k \
               baddisk-reads= --run true
if [ -c /dev/full ]; then
  rm -f disk.log
  counted baddisk-reads=/dev/full
  client <<<'read(0)'
  stop_nbdkit disk
  assert_grep "can't write the file" disk.log
fi
