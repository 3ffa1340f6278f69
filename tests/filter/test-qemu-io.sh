#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# qemu-io: reads, writes, zeroes and discards of all alignments over bad
# sectors (promises 1, 2, 6 and 9 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires_program qemu-io

truncate -s 8M main.img
bad_sectors bad.txt 0 100 200+8 16383
serve

# A failing command makes qemu-io's status 1; a pattern that isn't found is
# such a failure.
io ()
{
  local args=() c
  for c in "$@"; do
    args+=(-c "$c")
  done
  qemu-io -f raw "${args[@]}" "$uri" >io.out 2>&1 || {
    cat io.out
    return 1
  }
}
io_fails ()
{
  if io "$@" >/dev/null; then
    fail "should have failed: $*"
  fi
  assert_grep 'Input/output error' io.out
}

# Never written: sector 100 can't be read, its neighbours can.
io_fails 'read 51200 512'
io_fails 'read 51000 600'
io 'read -P 0 50688 512' 'read -P 0 51712 512'

# Over bad sectors, aligned and not.
io 'write -P 1 0 1M' 'read -P 1 0 1M'
io 'write -P 2 51000 1000' 'read -P 2 51000 1000' 'read -P 1 50999 1' \
   'read -P 1 52000 1'
io 'write -P 3 8388096 512' 'read -P 3 8388096 512'
io 'write -P 4 -f 102400 4096' 'read -P 4 102400 4096'
io 'aio_write -P 5 0 64k' 'aio_write -P 6 64k 64k' 'aio_write -P 7 128k 64k' \
   'aio_flush' 'read -P 5 0 64k' 'read -P 6 64k 64k' 'read -P 7 128k 64k'

# Zeroes, with and without unmapping; a discard of what isn't on main
# changes nothing.
io 'write -z 102400 4096' 'read -P 0 102400 4096' 'read -P 6 102144 256'
io 'write -z -u 0 4096' 'read -P 0 0 4096' 'read -P 5 4096 512'
io 'write -z 51000 700' 'read -P 0 51000 700'
io 'write -P 8 8387584 1k' 'discard 8387584 1k' 'read -P 8 8388096 512'
io 'write -P 9 102400 4096' 'discard 98304 16k' 'read -P 9 102400 4096'
io flush

crash
serve
io 'read -P 0 0 4096' 'read -P 5 4096 8192' 'read -P 8 8388096 512' \
   'read -P 9 102400 4096' 'read -P 0 51000 700'
assert_no_grep '^read .* EIO' <(tail -n +20 ops.txt)
