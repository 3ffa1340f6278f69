#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A block device with bad sectors, served by the direct plugin under the
# remap filter: what can be read is delivered to the sector, what can't is
# LOST and nothing else, in no more failing reads than promise 5 of
# remap-promises(7) allows; writes that fail are remapped, and they alone
# (promises 2 to 4); and all of that is there after a crash (13).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/device.sh"
requires nbdsh --version
requires_bad_device

make_main $((8 << 20))
# Served with the direct plugin, without another baddisk in between.
serve_direct ()
{
  # Each failing read is a line with -v alone.
  start_nbdkit disk -v -D remap.verbose=1 --filter=remap direct "$loop" \
               spare=spare.img spare-size=4M "$@"
  disk_uri=$uri
}

one_disk ()
{
  local block=$1 method=$2 n lines blocks

  echo "==== sectors of $block bytes, $method"
  rm -f spare.img disk.log
  cp orig.img main.img
  bad_sectors bad.txt 8 100 2000+3 2007 5001 9000+64 16383
  if [ "$block" = 4096 ]; then
    LOSETUP_ARGS="--sector-size 4096" make_bad_device main.img
  else
    make_bad_device main.img
  fi

  serve_direct "$method"
  BLOCK=$block client <<'PY'
per_block = int(os.environ["BLOCK"]) // SECTOR
bad = {8, 100, 2000, 2001, 2002, 2007, 5001, 16383, *range(9000, 9064)}
lost = {s for b in bad for s in range(b // per_block * per_block,
                                      (b // per_block + 1) * per_block)}
is_(h.get_block_size(nbd.SIZE_MINIMUM), 1)
# Everything, in requests of several sizes; then each sector by itself where
# a request failed.
suspects = set()
for size in (1 << 20, 65536, 4096):
    n = size // SECTOR
    for at in range(0, 8 << 20, size):
        s = at // SECTOR
        if lost.intersection(range(s, s + n)):
            is_(outcome(read, s, n), "EIO", s)
            if size == 65536:
                suspects.update(range(s, s + n))
        else:
            is_(read(s, n), orig(s, n), s)
got_lost = set()
for s in sorted(suspects):
    if outcome(read, s) == "ok":
        is_(read(s), orig(s), s)
    else:
        got_lost.add(s)
is_(got_lost, lost)
open("blocks", "w").write(str(len(lost) // per_block))
PY
  n=$(grep -c 'debug: direct: .*: failed read of' disk.log)
  blocks=$(cat blocks)
  echo "$n failing reads of $blocks bad blocks"
  [ "$n" -ge "$blocks" ] || fail "only $n failing reads"
  [ "$n" -le $((4 * blocks)) ] || fail "$n failing reads of $blocks blocks"
  # Without, they are summed up.
  lines=$(grep -c 'error: direct: .*\(: read of\|failures of: read\)' disk.log)
  [ "$lines" -ge 1 ] && [ "$lines" -lt "$n" ] || fail "$lines lines of $n reads"

  # More go bad, and are written before anybody reads them.
  bad_sectors bad.txt 8 100 2000+3 2007 5001 9000+64 16383 300 777+2 12345
  BLOCK=$block client <<'PY'
per_block = int(os.environ["BLOCK"]) // SECTOR
write(0, pattern(0, 1, 2048))
h.flush()
write(12000, pattern(12000, 1, 1000), nbd.CMD_FLAG_FUA)
write(12345, pattern(12345, 2))
for s, n in ((0, 2048), (12000, 345), (12346, 600)):
    is_(read(s, n), pattern(s, 1, n))
is_(read(12345), pattern(12345, 2))
# Good sectors are on the disk, those in blocks that failed are not.
new_bad = {300, 777, 778, 12345, 8, 100, 2000, 2001, 2002, 2007}
moved = {s for b in new_bad for s in range(b // per_block * per_block,
                                           (b // per_block + 1) * per_block)}
for s in [*range(2048), *range(12000, 13000)]:
    is_(raw(s) == orig(s), s in moved, s)
PY
  await_log 'write of .* bytes at .*: Input/output error' disk.log
  crash
  serve_direct "$method"
  client <<'PY'
is_(read(0, 2000), pattern(0, 1, 2000))
is_(read(12345), pattern(12345, 2))
is_(read(12346, 600), pattern(12346, 1, 600))
is_(outcome(read, 2007), "ok")
is_(outcome(read, 5001), "EIO")
PY
  stop_nbdkit disk
  assert_no_grep 'main is lost|stuck' disk.log
  detach_loop "$loop"
  end_fuse
  stop_nbdkit device
}

for method in direct-io=auto direct-io=threads direct-timeout=0; do
  one_disk 512 "$method"
done
one_disk 4096 direct-io=auto
