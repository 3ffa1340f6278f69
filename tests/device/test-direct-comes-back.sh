#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A disk that went away is found again as another device, by its number and
# its size, and by nothing less (promise 12 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/device.sh"
requires_loop

devices=()
for size in 4M 4M 8M; do
  truncate -s "$size" "disk${#devices[@]}.img"
  make_loop "disk${#devices[@]}.img"
  devices+=("$loop")
done
mkdir sysfs
"$abs_top_builddir/tests/direct-disk" sysfs "${devices[@]}"
