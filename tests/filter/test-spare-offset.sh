#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# spare-offset: the spare begins there, what lies before it is left alone,
# and elsewhere there is none (promises 20 and 21 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 100
random_file spare.img 1000000
cp spare.img front.img

for offset in 2M 1000448; do
  cp front.img spare.img
  serve spare-offset=$offset spare-size=2M
  client <<<'write(100, pattern(100, 5))'
  crash
  serve spare-offset=$offset
  client <<<'is_(read(100), pattern(100, 5))'
  stop_nbdkit disk
  cmp -n 1000000 front.img spare.img
done

# The last sector of what is there, 1953, and a place where there is no
# spare.
refused 'is neither blank nor a spare' spare-offset=1953s
refused 'is neither blank nor a spare'
