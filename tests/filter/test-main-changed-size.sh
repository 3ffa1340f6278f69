#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A main that shrank or is empty is never served (promises 12, 20 and 23 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
truncate -s 0 main.img
refused 'main has a size of 0 bytes'
[ ! -e spare.img ] || fail "a spare was left for nothing"

cp orig.img main.img
bad_sectors bad.txt 5
serve
client <<<'write(5, pattern(5))'

# While it runs: who is connected gets errors for what is gone, and nobody
# else is served.
client <<'PY'
os.truncate("main.img", 4 << 20)
try:
    connect()
    raise Exception("a client was served")
except nbd.Error as e:
    print(e)
is_(read(5), pattern(5))
PY
assert_grep 'main has 4194304 bytes now, and had 8388608' disk.log
crash
cp main.img shrunk.img
refused 'spare.img belongs to a disk of 8388608 bytes, but main has 4194304'
cmp main.img shrunk.img

cp orig.img main.img
serve
client <<<'is_(read(5), pattern(5))'
