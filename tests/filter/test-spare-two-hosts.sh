#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Two servers at one spare whose filesystem passes no locks on: the owner stamp
# tells them apart; a server whose spare was taken over notices it, and writes
# no more (promise 22 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
cp main.img other.img
bad_sectors bad.txt 100 200
LD_PRELOAD=$abs_top_builddir/tests/.libs/unlocked.so
[ -e "$LD_PRELOAD" ] || fail "there is no $LD_PRELOAD"
export LD_PRELOAD

serve spare-size=2M remap-control=ctl.sock
client <<<'write(100, pattern(100), nbd.CMD_FLAG_FUA)'
first=$pid

echo "==== another server of this machine: at once"
PLUGIN='file other.img' refused \
  "spare .*spare.img: is in use by another server or tool, process $first of the"
says_owner ()
{
  remapctl info spare.img >info.txt
  assert_grep "^owner +$1" info.txt
}
says_owner "process $first of the host \"[^ ]+\", last seen "

echo "==== killed, and ended: nobody waits"
crash
serve remap-control=ctl.sock
client <<<'is_(read(100), pattern(100))'
stop_nbdkit disk
says_owner 'none; the last one was process'
serve remap-control=ctl.sock
assert_no_grep 'waiting up to' disk.log

echo "==== another host has taken it over"
# The stamp of a process that this machine knows nothing of.
/usr/bin/python3 - <<'PY'
import struct
def crc32c(data):
    crc = 0xffffffff
    for b in data:
        crc ^= b
        for _ in range(8):
            crc = crc >> 1 ^ (0x82f63b78 if crc & 1 else 0)
    return crc ^ 0xffffffff
with open("spare.img", "r+b") as f:
    f.seek(12 * 4096)
    page = bytearray(f.read(4096))
    assert page[:8] == b"RMAPOWN1"
    page[32:40] = b"abcdefgh"
    page[72:88] = b"another boot, of"
    page[112:176] = b"elsewhere".ljust(64, b"\0")
    page[8:12] = bytes(4)
    page[8:12] = struct.pack("<I", crc32c(page))
    f.seek(12 * 4096)
    f.write(page)
PY
client <<'PY'
eventually(lambda: does("status")["spare"]["failed"], "it is noticed")
is_(does("status")["health"], "critical")
def texts():
    return " ".join(e.get("text", "") for e in does("events 0")["events"])
eventually(lambda: 'of the host "elsewhere"' in texts(), "an event")
is_(outcome(write, 200, pattern(200)), "EIO")
is_(read(100), pattern(100))
assert not control("sync")["ok"]
PY
eventually grep -q 'another server uses the spare, process .* "elsewhere"' \
           disk.log || fail "not in the log"
crash
says_owner 'process [0-9]+ of the host "elsewhere", last seen'
