#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What a dying disk is put through, counted by its own log: without retries
# no more failing reads than ddrescue -d needs on its own, one more a bad
# sector by default, and none when it is read again, also after a restart
# (promises 4 and 5 of remap-promises(7)).  Everything that can be read is
# recovered.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires_program nbdcopy
requires_plugin pattern

# 64 MiB; 80 bad sectors in 12 runs, none of them across a multiple of 64K.
bad=80 runs=12
bad_sectors bad.txt 131+1 4100+30 9000+2 20000+9 33333 50010+10 65000+3 \
            65160+8 77777 90124+4 100000+10 131071
PLUGIN="pattern size=64M"
OPTIONS=-r
start_nbdkit good pattern size=64M
nbdcopy "$uri" want.img

# failing: how many reads have failed since the last time, in $n.
failing ()
{
  n=$(grep -c '^read .* EIO' ops.txt || :)
  : >ops.txt
}

# recovered: out.img has all the good sectors, and nothing else.
recovered ()
{
  /usr/bin/python3 - <<'PY'
bad = set()
for line in open("bad.txt"):
    w = line.split()
    if w[-1] == "-":
        bad.update(range(int(w[0], 16) // 512,
                         (int(w[0], 16) + int(w[1], 16)) // 512))
with open("out.img", "rb") as out, open("want.img", "rb") as want:
    for s in range((64 << 20) // 512):
        a, b = out.read(512).ljust(512, b"\0"), want.read(512)
        assert a == (bytes(512) if s in bad else b), s
PY
}

# copy PASS MAX: copies the disk; at most MAX reads may fail.
copy ()
{
  rm -f out.img
  nbdcopy --synchronous "$disk_uri" out.img
  failing
  recovered
  echo "retries=$retries, $1 pass: $n failing reads, at most $2"
  [ "$n" -le "$2" ] || fail "more failing reads than that"
}

for retries in 0 1; do
  rm -f spare.img ops.txt
  serve remap-lost=zero remap-retries=$retries
  copy first $((bad * (1 + retries) + runs))
  copy second 0
  serve remap-lost=zero remap-retries=$retries
  copy third 0
done

# ddrescue by itself, and through the filter.
if ! command -v ddrescue >/dev/null || ! command -v nbdfuse >/dev/null ||
   ! [ -w /dev/fuse ]; then
  echo "ddrescue or FUSE are missing: not compared"
  exit 0
fi
mkdir mnt
fuse=
unmount ()
{
  [ -n "$fuse" ] || return 0
  end_fuse_mount mnt "$fuse"
  fuse=
}
cleanup_fn unmount

# rescue URI
rescue ()
{
  rm -f out.img rescue.map
  nbdfuse -r mnt/disk "$1" 2>/dev/null &
  fuse=$!
  await_fuse mnt/disk "$fuse"
  ddrescue -q -d -b 512 mnt/disk out.img rescue.map
  unmount
}
stop_nbdkit good
rm -f spare.img
start_nbdkit plain -r --filter=baddisk pattern size=64M \
             baddisk-list=bad.txt baddisk-log=ops.txt
rescue "$uri"
stop_nbdkit plain
failing
recovered
alone=$n
serve remap-retries=0
rescue "$disk_uri"
failing
recovered
echo "ddrescue: $alone failing reads, through the filter $n"
[ "$n" -le "$alone" ] || fail "more failing reads than without the filter"
