#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What can be seen without a client: the help, what the server supports,
# and the messages of -D remap.verbose=1.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

nbdkit --filter=remap null --help >help.txt
cat help.txt
for p in spare= spare-create= spare-size= spare-offset= spare-same-disk= \
         spare-main-grown= spare-main-changed= \
         remap-auto= remap-retries= remap-lost= remap-label=; do
  assert_grep "^ *$p" help.txt
done
nbdkit --filter=remap null --dump-plugin >dump.txt
assert_grep '^name=null' dump.txt
nbdkit --filter=remap --filter=baddisk memory --version

make_main $((8 << 20))
bad_sectors bad.txt 100 200
OPTIONS='-v -D remap.verbose=1' serve
client <<'PY'
write(100, pattern(100))
is_(outcome(read, 200), "EIO")
PY
stop_nbdkit disk
assert_grep 'debug: remap: .*1 sectors remapped' disk.log
assert_grep 'error: remap: [-0-9]+ [0-9:]+[-+][0-9]+: sectors 200-200 .*LOST' disk.log
rm disk.log spare.img
OPTIONS='-v' serve remap-label=this-disk
client <<<'write(100, pattern(100))'
stop_nbdkit disk
assert_no_grep 'sectors remapped' disk.log

# Without -v only what an operator has to know: of a disk that has a name,
# nothing but where its spare lies.
rm disk.log
bad_sectors bad.txt 300
serve remap-label=this-disk
client <<<'write(300, pattern(300))'
stop_nbdkit disk
assert_equal "$(wc -l <disk.log)" 1 "messages of a quiet server"
assert_grep 'warning: spare .* lies on the filesystem' disk.log
