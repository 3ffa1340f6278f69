#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# nbdcopy in and out, with several connections, over a disk with bad
# sectors (promises 1, 2 and 19 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program nbdcopy

random_file in.img $((64 << 20))
truncate -s 64M main.img
: >bad.txt
# Bad for writing: what is copied in must all arrive.
serve baddisk-random=0.3% baddisk-seed=5
for options in '' '--connections=4 --requests=32' '--synchronous' '--flush'; do
  echo "==== $options"
  # shellcheck disable=SC2086
  nbdcopy $options in.img "$uri"
  # shellcheck disable=SC2086
  nbdcopy $options "$uri" out.img
  cmp in.img out.img
done
crash
serve baddisk-random=0.3% baddisk-seed=5
nbdcopy "$uri" out.img
cmp in.img out.img
assert_no_grep '^read' ops.txt
[ "$(grep -c '^write .* EIO' ops.txt)" -gt 100 ] || fail "no errors?"

# Sectors that can't be read, and were never written, end a copy.
stop_nbdkit disk
rm spare.img
bad_sectors bad.txt 777
serve
expect_failure nbdcopy --synchronous "$uri" out.img
expect_failure nbdcopy --synchronous "$uri" out.img
