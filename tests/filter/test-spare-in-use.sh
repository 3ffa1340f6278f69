#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A spare in use is refused to a second server, and to tools that lock what
# they write (promise 22 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program flock

make_main $((8 << 20))
cp orig.img second.img
bad_sectors bad.txt 5 6
serve
client <<'PY'
write(5, pattern(5))
PY

PLUGIN='file second.img' refused 'spare .*spare.img: is in use .*lock'
ln -s spare.img link.img
PLUGIN='file second.img' SPARE=link.img \
  refused 'spare .*link.img: is in use .*lock'
expect_failure flock --nonblock spare.img true

# The first one goes on.
client <<'PY'
write(6, pattern(6))
is_(read(5) + read(6), pattern(5) + pattern(6))
PY

# The lock ends with its server, however that ended.
crash
flock --nonblock spare.img true
serve
client <<'PY'
is_(read(5) + read(6), pattern(5) + pattern(6))
PY
