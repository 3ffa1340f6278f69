#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Somebody edits the spare while a server uses it: overwrites the headers, the
# log, all of it, or cuts it off.  The server doesn't crash, doesn't write
# outside the spare, and goes on with what doesn't need what is broken; the
# next one refuses to start, and says why (promise 23 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((4 << 20))

# What a client does meanwhile: any answer will do but a wrong one.
use ()
{
  client <<'PY'
for s in list(range(100, 110)) + [300, 310]:
    outcome(read, s)
    outcome(write, s, pattern(s, 3))
    outcome(write, s + 20, pattern(s, 3)[:100])
outcome(h.zero, 4 * SECTOR, 104 * SECTOR)
outcome(h.flush)
is_(read(2000, 10), orig(2000, 10))
write(2000, orig(2000))
PY
}

# broken WHAT COMMAND...: a spare in use is changed by a command, used
# further, and the server killed, after it has said $warning.
broken ()
{
  local what=$1
  shift
  echo "---- $what"
  rm -f spare.img around.img disk.log
  : >bad.txt
  serve spare-size="$size"
  bad_sectors bad.txt 100+40 300+40
  client <<'PY'
for s in range(100, 140):
    write(s, pattern(s))
h.flush()
PY
  "$@"
  use
  [ -z "$warning" ] || await_log "$warning" disk.log
  crash
}
warning=
size=8M

random_file noise $((8 << 20))
overwrite ()
{
  dd if=noise of=spare.img bs=4096 seek="$1" count="$2" conv=notrunc \
     status=none
}
both_headers ()
{
  overwrite 0 1
  overwrite 8 1
}

broken "all of it" overwrite 0 2048
refused 'spare .*spare.img: (is neither blank nor a spare|.*damaged)'
broken "both headers" both_headers
refused 'spare .*spare.img: (is neither blank nor a spare|.*damaged)'
broken "the log" overwrite 16 120
refused 'spare .*spare.img: .*log is damaged'
broken "the beginning of the log" overwrite 16 1
refused 'spare .*spare.img: .*log is damaged'
broken "cut off to half of its log" truncate -s $((20 * 4096)) spare.img
refused 'spare .*spare.img: .*(truncated|damaged|read)'
broken "cut off in its slots" truncate -s 4M spare.img
refused 'spare .*spare.img: .*truncated'

# Emptied: there is nothing left that could be refused, but that a new spare
# is made is said.
broken "emptied" truncate -s 0 spare.img
[ ! -s spare.img ] || refused 'spare .*spare.img: .*(blank|damaged|read|trunc)'

# In a small spare the log is written anew soon, from memory: that heals what
# was broken of it, and a warning says so.
size=2M
warning="pages of the spare's log can't be read any more"
broken "a small log" overwrite 16 30
serve
client <<'PY'
is_(read(111, 9), pattern(111, 1, 9))
PY
crash

# A spare inside of something else: what is around it stays as it is.
echo "---- within another file"
rm -f spare.img
truncate -s 4M spare.img
dd if=noise of=spare.img bs=1M count=1 conv=notrunc status=none
dd if=noise of=spare.img bs=1M count=1 seek=3 conv=notrunc status=none
: >bad.txt
serve spare-offset=1M spare-size=2M
bad_sectors bad.txt 100+40 300+40
client <<'PY'
for s in range(100, 140):
    write(s, pattern(s))
h.flush()
PY
dd if=noise of=spare.img bs=4096 seek=256 count=512 conv=notrunc status=none
use
stop_nbdkit disk
cmp -n $((1 << 20)) noise spare.img
cmp -n $((1 << 20)) -i 0:$((3 << 20)) noise spare.img
