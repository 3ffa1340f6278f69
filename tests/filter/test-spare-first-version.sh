#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A spare made by the first version of the program, before there were features
# (data/spare-1.gz), opens and works; and as long as nothing is recorded that
# this version didn't know, it can go back to it (promise 20 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

# The disk that it belongs to: each sector says its number.  Sectors 100 to 119
# were remapped, 105 and 106 given back, 300 to 311 LOST, 310 and 311 declared
# zeroes, and 300 overwritten.
/usr/bin/python3 -c '
for i in range(4096):
  print("%08d" % i * 64, end="")' >main.img
: >bad.txt
gzip -dc "$(dirname "$0")/data/spare-1.gz" >spare.img
cp spare.img before.img

# features: what both headers say.
features ()
{
  od -An -tx4 -j16 -N12 spare.img
  od -An -tx4 -j$((32768 + 16)) -N12 spare.img
}

check ()
{
  remapctl check spare.img
  remapctl table --spare=spare.img --csv >table.csv
  # Start, count, state, why.
  cut -d, -f1-3,6 table.csv >found.csv
  cat >expected.csv
  diff -u expected.csv found.csv
}

check <<'END'
start,count,state,why
100,5,remapped,manual
107,13,remapped,manual
300,1,remapped,client
301,9,lost,import
310,2,zero,manual
END
cmp before.img spare.img

serve remap-label=v1 remap-control="$PWD/control.sock" remap-retries=0
client <<'END'
def number(i):
    return b"%08d" % i * 64
for i in (99, 100, 105, 119, 120):
    is_(read(i), number(i), i)
is_(read(300), b"a" * 512)
is_(outcome(read, 301), "EIO")
is_(read(310, 2), bytes(1024))
write(302, b"b" * 512, nbd.CMD_FLAG_FUA)
write(110, b"c" * 512)
h.flush()
END
remapctl -s control.sock retry 303 2
crash
serve remap-label=v1
client <<<'
is_(read(110), b"c" * 512)
is_(read(302), b"b" * 512)
is_(read(303), b"%08d" % 303 * 64)'
stop_nbdkit disk
check <<'END'
start,count,state,why
100,5,remapped,manual
107,13,remapped,manual
300,1,remapped,client
301,1,lost,import
302,1,remapped,client
303,1,remapped,manual
304,1,remapped,manual
305,5,lost,import
310,2,zero,manual
END
features >features.txt
if grep -q '[1-9a-f]' features.txt; then
  fail "the first version couldn't open it any more: $(cat features.txt)"
fi
