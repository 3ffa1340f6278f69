#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A write that fails on main succeeds in the same request, and is durable
# when it is acknowledged (promises 3, 10 and 13 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

for error in EIO ENODATA EILSEQ EREMOTEIO; do
  echo "==== $error"
  rm -f spare.img ops.txt
  make_main $((8 << 20))
  bad_sectors bad.txt 1000
  serve baddisk-errno=$error
  client <<'PY'
write(1000, pattern(1000))
is_(read(1000), pattern(1000))
is_(len(failed("write")), 1)

# From now on it is main that is left alone.
n = len(disk_log())
write(1000, pattern(1000, 2))
is_(read(1000), pattern(1000, 2))
is_(len(disk_log()), n)
is_(read(999, 1) + read(1001, 1), orig(999) + orig(1001))
PY

  # The first one was durable already; the second one wasn't flushed, but
  # a process that dies takes nothing with it from the page cache.
  crash
  serve
  client <<'PY'
is_(read(1000), pattern(1000, 2))
is_(disk_log("read"), [])
PY
  stop_nbdkit disk
  cmp main.img orig.img
done
