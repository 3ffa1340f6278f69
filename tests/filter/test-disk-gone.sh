#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A disk that is gone is not a disk full of bad sectors: nothing changes
# its state, what the map knows is served, and service resumes by itself
# (promise 12 of remap-promises(7)); unflushed writes are reported once to
# each connection (promise 14).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
for error in ENODEV EIO; do
  echo "==== $error"
  rm -f spare.img disk.log
  cp orig.img main.img
  bad_sectors bad.txt 100 200
  serve baddisk-gone=gone baddisk-gone-errno=$error
  client <<'PY'
write(100, pattern(100))
is_(outcome(read, 200), "EIO")
other = connect()
write(1000, pattern(1000))
open("gone", "w").close()
for s in (5, 50, 1000, 16000):
    is_(outcome(read, s), "ESHUTDOWN")
    is_(outcome(write, s, pattern(s)), "ESHUTDOWN")
is_(read(100), pattern(100))
write(100, pattern(100, 2))
is_(read(100), pattern(100, 2))
is_(outcome(h.flush), "EIO")
os.unlink("gone")
eventually(lambda: outcome(read, 5) == "ok", "main is back")
is_(outcome(h.flush), "ok")
is_(outcome(other.flush), "EIO")
is_(outcome(other.flush), "ok")
for s in (5, 50, 16000):
    is_(read(s), orig(s))
is_(read(1000), pattern(1000))
is_(outcome(read, 200), "EIO")
PY
  assert_equal "$(grep -c 'main is lost' disk.log)" 1 "messages"
  assert_equal "$(grep -c 'main is back' disk.log)" 1 "messages"
  crash
  serve
  client <<'PY'
is_(read(100), pattern(100, 2))
for s in (5, 50, 16000):
    is_(read(s), orig(s))
is_(outcome(read, 200), "EIO")
PY
  stop_nbdkit disk
done
