#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A read-only server: main is never written, nor open for it, but what is
# found out about it is kept in the spare (promises 4, 9 and 13 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 100 200 300
serve
client <<<'write(100, pattern(100))'
stop_nbdkit disk

OPTIONS=-r
serve baddisk-recover=2
main_flags ()
{
  local fd
  for fd in /proc/"$pid"/fd/*; do
    [ "$(readlink "$fd")" = "$tmp/main.img" ] || continue
    sed -n 's/^flags:\t*//p' "/proc/$pid/fdinfo/${fd##*/}"
  done
}
client <<'PY' &
is_(h.is_read_only(), True)
is_(read(100), pattern(100))
is_(read(200), orig(200))
open("served", "w").close()
eventually(lambda: os.path.exists("looked"), "main was looked at")
PY
client=$!
eventually exists served || fail "the client is not served"
if ! is_instrumented; then
  flags=$(main_flags)
  [ -n "$flags" ] || fail "main is not open"
  for f in $flags; do
    [ $((0$f & 3)) -eq 0 ] || fail "main is open for writing"
  done
fi
touch looked
wait "$client"
stop_nbdkit disk
serve
client <<'PY'
is_(outcome(read, 300), "EIO")
is_(outcome(connect().pwrite, b"x" * 512, 0), "EPERM")
PY
crash
OPTIONS=''
: >bad.txt
serve
client <<'PY'
is_(read(100), pattern(100))
is_(read(200), orig(200))
is_(outcome(read, 300), "EIO")
is_(len(places([orig(200)])[orig(200)]), 1, "the weak sector's slots")
PY
stop_nbdkit disk
cmp main.img orig.img
