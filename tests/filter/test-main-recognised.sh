#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A disk that nothing names is recognised by samples of what clients have read of
# it (promise 20 of remap-promises(7)): the right one is, after a clean end, a
# kill, and writes of any kind; another one, and one that was written behind the
# filter's back, are refused while the spare holds sectors, until the operator
# says that they are right.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
remapctl=$abs_top_builddir/ctl/remapctl
[ -x "$remapctl" ] || fail "remapctl isn't built"

# has_samples N: so many does the spare of the server that has ended have.
has_samples ()
{
  "$remapctl" info spare.img >info.txt
  assert_grep "^samples  *$1 " info.txt
}

# tags: how often the spare's log speaks of samples.
tags ()
{
  { grep -ao sample spare.img || true; } | wc -l
}
sampled ()
{
  [ "$(tags)" -gt "$before" ]
}

# serve_sampled: a server of which a client has read the block at 1 MiB,
# which is a sample within a second of the flush.
serve_sampled ()
{
  local before

  serve
  # It has started when somebody is served.
  client <<<''
  before=$(tags)
  client <<'PY'
h.pread(4096, 1 << 20)
h.flush()
PY
  eventually sampled || fail "no sample is taken"
}

make_main $((8 << 20))
bad_sectors bad.txt 5
serve_sampled
client <<<''
stop_nbdkit disk
has_samples 1

echo "==== another disk, and the spare holds nothing: with a warning"
tr '\000-\377' '\001-\377\000' <orig.img >main.img
serve_sampled
assert_grep "warning: main .*isn't what spare .* knows.*byte 1048576" disk.log
client <<<'write(5, pattern(5))'
stop_nbdkit disk
has_samples 1

echo "==== the spare holds a sector"
cp main.img right.img
cp orig.img main.img
refused "main .*main.img, 8388608 bytes.* isn't what spare .*spare.img \(UUID .*1 places that were compared 1 differ.*byte 1048576.*holds 1 sectors.*spare-main-changed=yes"
cp spare.img before.img
OPTIONS=-r refused "isn't what spare"
cmp spare.img before.img

echo "==== the right one, killed and written"
cp right.img main.img
: >disk.log
serve
client <<'PY'
h.pwrite(b"x" * 512, (1 << 20) + 1024)
PY
crash
serve
client <<<''
stop_nbdkit disk
assert_no_grep "isn't what" disk.log
has_samples 0

echo "==== nothing else is updated by a server that is read-only"
cp main.img right.img
serve_sampled
client <<<''
stop_nbdkit disk
cp spare.img before.img
cp orig.img main.img
OPTIONS=-r serve spare-main-changed=yes
client <<<'h.pread(4096, 2 << 20)'
stop_nbdkit disk
assert_grep 'taken for its disk all the same' disk.log
has_samples 1
cp right.img main.img

echo "==== written behind the filter's back"
printf changed | dd of=main.img bs=1 seek=$(((1 << 20) + 4000)) conv=notrunc
refused "isn't what spare"
serve spare-main-changed=yes
client <<<'is_(read(5), pattern(5))'
stop_nbdkit disk
assert_grep 'taken for its disk all the same' disk.log
has_samples 0
: >disk.log
serve
client <<<''
stop_nbdkit disk
assert_no_grep "isn't what" disk.log
assert_grep 'only its size says that it is the right disk' disk.log

echo "==== a place that can't be read says nothing, and is asked once"
serve_sampled
client <<<''
stop_nbdkit disk
bad_sectors bad.txt 5 2048
rm -f ops.txt
OPTIONS=-r serve
client <<<''
stop_nbdkit disk
serve
client <<<''
stop_nbdkit disk
assert_equal "$(grep -c '^read 1048576 4096 EIO' ops.txt)" 1 "failing reads"
has_samples 0
bad_sectors bad.txt 5
serve spare-main-changed=yes
client <<<''
stop_nbdkit disk

echo "==== a label makes them superfluous"
serve_sampled
client <<<''
stop_nbdkit disk
"$remapctl" relabel spare.img disk-1
serve remap-label=disk-1
client <<<''
stop_nbdkit disk
"$remapctl" info spare.img >info.txt
assert_no_grep "^samples" info.txt
