#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A spare file that is enlarged by itself before it is full: if its size was
# left to the filter, or if that is asked for; by doubling, up to spare-max
# (promise 18 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program python3

make_main $((16 << 20))

# status KEY: of the server.
status ()
{
  printf 'status\n' | python3 -c '
import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect("ctl.sock")
s.sendall(sys.stdin.buffer.read())
v = json.loads(s.makefile().readline())
for key in sys.argv[1].split("."):
    v = v[key]
print(v)' "$1"
}

has_size ()
{
  [ "$(status spare.size)" -ge "$1" ]
}

# What is remembered, and what is said.
serve remap-control=ctl.sock
assert_equal "$(status spare.grows)" True "a file of the filter's own size"
assert_equal "$(stat -c %s spare.img)" $((64 << 20)) "the default size"
serve remap-control=ctl.sock
assert_equal "$(status spare.grows)" True "the same, after a restart"
serve remap-control=ctl.sock spare-grow=off
assert_equal "$(status spare.grows)" False "off"
stop_nbdkit disk
rm spare.img
serve remap-control=ctl.sock spare-size=2M
assert_equal "$(status spare.grows)" False "a size that was given"
stop_nbdkit disk
rm spare.img
truncate -s 2M spare.img
serve remap-control=ctl.sock
assert_equal "$(status spare.grows)" False "a file that was there"
stop_nbdkit disk
rm spare.img
refused "spare-grow=maybe: must be 'auto' or 'off'" spare-grow=maybe

# Before it is full: slots are left, and nobody is refused.
bad_sectors bad.txt 1000+14000
serve remap-control=ctl.sock spare-size=1M spare-grow=auto
client <<'PY'
spare = control("status")["spare"]
is_(spare["size"], 1 << 20)
used = spare["total"] - spare["total"] // 8 + 10
for s in range(1000, 1000 + used, 10):
    write(s, pattern(s, 1, 10))
PY
eventually has_size $((2 << 20)) || fail "it doesn't grow"
assert_equal "$(status spare.size)" $((2 << 20)) "twice the size"
stop_nbdkit disk
rm spare.img

# From 1 MiB to 8, which all slots of 4 MiB of bad sectors take, in steps that
# an eighth of the spare has room for.
serve remap-control=ctl.sock spare-size=1M spare-grow=auto
client <<'PY'
import time
for s in range(1000, 15000, 50):
    r = outcome(write, s, pattern(s, 1, 50))
    for i in range(3000):
        if r == "ok":
            break
        # Faster than the spare can grow: that takes a moment.
        is_(r, "ENOSPC")
        time.sleep(0.01)
        r = outcome(write, s, pattern(s, 1, 50))
    is_(r, "ok")
PY
eventually has_size $((8 << 20)) || fail "it hasn't grown"
assert_equal "$(status health)" ok "health"
crash
serve remap-control=ctl.sock
client <<'PY'
is_(read(1000, 14000), pattern(1000, 1, 14000))
PY
assert_equal "$(status spare.size)" "$(stat -c %s spare.img)" "its size"
stop_nbdkit disk
rm spare.img

# No further than it may.
rm disk.log
serve remap-control=ctl.sock spare-size=1M spare-grow=auto spare-max=2M
client <<'PY'
import time
full = False
for s in range(1000, 15000, 50):
    for i in range(20):
        r = outcome(write, s, pattern(s, 1, 50))
        if r == "ok":
            break
        time.sleep(0.01)
    if r != "ok":
        is_(r, "ENOSPC")
        break
assert s > 3000, s
PY
eventually grep -q "isn't enlarged: it has 2097152 bytes, and may have 2097152" \
           disk.log ||
  fail "nothing is said"
# As all else that is wrong while it runs: with its time, and as an event; once.
assert_grep "error: remap: 20[0-9]+-.*: spare .*isn't enlarged" disk.log
assert_equal "$(grep -c "isn't enlarged" disk.log)" 1 "lines"
remapctl -s ctl.sock events >events.out
assert_grep " spare.warning: spare .*isn't enlarged" events.out
assert_equal "$(stat -c %s spare.img)" $((2 << 20)) "its size"
assert_equal "$(status health)" critical "health"
stop_nbdkit disk
