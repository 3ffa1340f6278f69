#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The direct plugin does what pread and pwrite do: random requests of every
# alignment and size, with FUA, zero, trim and flush among them, over sectors
# of 512 and of 4096 bytes and files with and without a tail, by each method of
# waiting (promise 6 of remap-promises(7)), and nothing of a file meets itself in
# the page cache.
#
#   test-direct-conformance.sh [SEED [ROUNDS]]

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/device.sh"
requires nbdsh --version

seed=${1:-1}
rounds=${2:-200}
is_instrumented && rounds=$((rounds / 4))
echo "seed $seed, $rounds rounds"

methods=(direct-timeout=0 direct-io=threads)
if nbdkit direct --dump-plugin | grep -q '^direct_io_uring=yes'; then
  methods+=(direct-io=uring)
else
  echo "io_uring is not to be had: not tested"
fi

# run WHAT DEVICE BACKING: all methods.  BACKING is DEVICE, or lies behind it.
run ()
{
  local method trim=0 served="device"

  [ "$2" != "$3" ] || served="file"
  for method in "${methods[@]}"; do
    echo "==== $1, $method, trim=$trim"
    : >"$3"
    truncate -s "$size" "$3"
    start_nbdkit server direct "$2" "$method" direct-trim="$trim"
    /usr/bin/python3 "$abs_top_srcdir/tests/device/conformance.py" \
      "$uri" "$3" "$size" "$seed" "$rounds" "$trim" "$served"
    stop_nbdkit server
    assert_no_grep error: server.log
    trim=$((1 - trim))
    seed=$((seed + 1))
  done
}

size=$((5 * 1000 * 1000 + 123))
run "a file with a tail" plain.img plain.img
size=300
run "less than a sector" small.img small.img
size=$((5 << 20))
run "a file without a tail" even.img even.img

requires_loop
size=$((5 << 20))
for sector in 512 4096; do
  truncate -s "$size" "disk$sector.img"
  make_loop "disk$sector.img" --sector-size "$sector"
  run "sectors of $sector bytes" "$loop" "disk$sector.img"
done
