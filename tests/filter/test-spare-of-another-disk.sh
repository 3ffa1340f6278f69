#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A spare of another disk is refused before any client is served; both
# sides are named, and nothing is written (promise 20 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 5
serve remap-label=left-disk
client <<'PY'
write(5, pattern(5))
PY
stop_nbdkit disk

# The size: one sector more, one byte less.
for size in $(((8 << 20) + 512)) $(((8 << 20) - 1)); do
  truncate -s $size main.img
  refused "spare.img belongs to .*8388608.*main has $size" \
          remap-label=left-disk
done
cp orig.img main.img

# The label.
refused 'spare.img belongs to .*"left-disk".*"right-disk"' \
        remap-label=right-disk
refused 'spare.img belongs to .*"left-disk".*""'
refused 'remap-label: is 256 bytes long' \
        remap-label="$(printf '%0256d' 0)"

# An interrupted format of another disk's spare isn't finished for this
# one, and a file of the right size that isn't a spare is none.
serve remap-label=left-disk
client <<'PY'
is_(read(5), pattern(5))
PY
