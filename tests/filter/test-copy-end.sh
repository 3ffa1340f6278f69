#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# From a disk to its copy, by command: copied in order, through a kill -9, with
# bad sectors and a client that writes; finished; then without the disk, and
# without this software; and the ways out (promises 25, 27, 30 and 32 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/remap.sh"
TRIAL='rescue-trial=yes'

size=$((8 << 20))
make_main $size
bad_sectors bad.txt 6000+2 16383
cp orig.img expected.img

ctl ()
{
  remapctl -s "$tmp/ctl" "$@"
}
serve_copy ()
{
  serve rescue=copy.img $TRIAL spare-size=1M remap-control="$tmp/ctl" "$@"
}
# both OFFSET BYTES LETTER: to the disk, and to expected.img.
both ()
{
  client <<PY
data = b"$3" * $2
h.pwrite(data, $1)
h.flush()
with open("expected.img", "r+b") as f:
    f.seek($1)
    f.write(data)
PY
}

# Without a copy there is nothing to be said.
serve spare-size=1M remap-control="$tmp/ctl"
expect_failure ctl rescue status
assert_grep "isn't being rescued: start it with rescue=PATH" expect.out
expect_failure ctl rescue copy
assert_grep 'rescue=PATH' expect.out
# One sector is in the spare before.
ctl remap 50
stop_nbdkit disk

serve_copy
expect_failure ctl rescue finish
assert_grep 'nowhere but on main: copy them first' expect.out
both 4096 1000 a
ctl rescue copy --wait 0 8192
ctl rescue status >status.txt
assert_grep '^Copying: +idle' status.txt
assert_grep '^The disk is needed' status.txt
ctl rescue status --json | /usr/bin/python3 -c '
import json, sys
r = json.load(sys.stdin)
assert r["main_needed"] and not r["alone"], r
assert 8191 <= r["direct"] <= 8192, r
'
# The manual has each key.
ctl rescue status --json | /usr/bin/python3 -c '
import json, os, sys
pod = open(os.environ["abs_top_srcdir"] +
           "/filter/remap/nbdkit-remap-filter.pod").read()
def check(o, prefix):
    for k, v in o.items():
        if isinstance(v, dict):
            check(v, prefix + k + ".")
        else:
            assert "\n " + prefix + k + " " in pod or \
                "\n " + prefix + k + "\n" in pod, prefix + k
check(json.load(sys.stdin), "rescue.")
'
both 5000000 70000 b
crash

# After a kill -9 what was recorded isn't read again.
serve_copy rescue-rate=100M
ctl rescue copy
ctl rescue pause
ctl rescue resume
ctl rescue status --wait
both 300 5000 c
ctl status >status.txt
assert_grep 'kept' status.txt
ctl rescue finish --fill=marker --verify >finish.txt
cat finish.txt
assert_grep '^1 sector moved to the copy; (there was nothing|1[56][0-9]{3} .*all alike)' \
  finish.txt
assert_grep '^3 sectors LOST' finish.txt
assert_grep 'main isn.t needed any more: it can be unplugged' finish.txt
assert_grep 'the copy alone is the disk' finish.txt
assert_grep 'listed in .*/copy.img.lost.map' finish.txt
assert_grep '0x002EE000 +0x0*400 +-' copy.img.lost.map
cmp main.img orig.img || fail "main was written"

# The disk goes, and clients go on.
gone_is_fine ()
{
  /usr/bin/python3 - <<'PY'
got, want = open("copy.img", "rb").read(), open("expected.img", "rb").read()
for at in range(0, len(want), 512):
    if at // 512 in (6000, 6001, 16383):
        assert got[at:at + 512].startswith(b"nbdkit-remap: sector %d of the disk "
                                           b"could not be read" % (at // 512))
    else:
        assert got[at:at + 512] == want[at:at + 512], at // 512
PY
}
gone_is_fine
stop_nbdkit disk
serve_copy baddisk-gone=gone
client <<<'h.pread(512, 0)'
: >gone
both 100000 3000 d
client <<<'assert h.pread(8192, 0) == open("expected.img", "rb").read(8192)'
ctl rescue status | grep -q '^The copy alone is the disk' ||
  fail "main is needed again"
ctl status --check >status.txt && status=0 || status=$?
cat status.txt
[ "$status" -lt 11 ] || fail "the health of a disk that isn't needed counts"
rm gone
stop_nbdkit disk
gone_is_fine

# Its spare belongs to the copy then; LOST sectors are errors still.
cp spare.img before.img
cp --preserve=all copy.img copy.before
remapctl rescue new-main spare.img >new.txt
cat new.txt
assert_grep 'belongs to .*copy.img now: 0 sectors in the spare, 3 LOST' new.txt
PLUGIN="file copy.img" serve
client <<'PY'
assert h.pread(8192, 0) == open("expected.img", "rb").read(8192)
try:
    h.pread(512, 6000 * 512)
    assert False
except nbd.Error as e:
    assert e.errno == "EIO"
PY
stop_nbdkit disk
expect_failure remapctl rescue new-main spare.img
assert_grep 'knows of no copy' expect.out

# Given up: what clients wrote is lost, the rest is read from the disk.
cp before.img spare.img
expect_failure remapctl rescue abandon spare.img
assert_grep 'would be read from the disk again, and [0-9]+ sectors that clients' \
  expect.out
cmp before.img spare.img || fail "abandon without --yes has written"
remapctl rescue abandon --yes spare.img
serve
client <<'PY'
assert h.pread(4096, 1 << 20) == open("orig.img", "rb").read()[1 << 20:][:4096]
try:
    h.pread(512, 4096)
    assert False
except nbd.Error as e:
    assert e.errno == "EIO"
PY
stop_nbdkit disk

# What was never copied is given up only if that is said twice.
rm copy.img spare.img
cp orig.img main.img
serve_copy
ctl rescue copy --wait 0 4096
expect_failure ctl rescue finish --give-up
assert_grep 'say --yes' expect.out
ctl rescue finish --give-up --yes >finish.txt
assert_grep '12288 sectors given up' finish.txt
