#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The model test (model.h): random operations on several connections over a
# disk whose sectors go bad on the way, kill -9 and restart, and whatever is
# read or fails must be what promises 1 to 16 and 18 of remap-promises(7) allow.
#
# Without arguments: each mode once, about a minute.  Arguments are those
# of the program; a long run by hand, and a replay of what it found:
#
#   ./run ../tests/filter/test-model.sh --minutes 60 --ops 10000 --kills 10
#   ./run ../tests/filter/test-model.sh --mode normal --seed 123

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"

model=$abs_top_builddir/tests/model
[ -x "$model" ] || skip "the program model was not built: needs libnbd"
requires_plugin file
requires_filter blocksize-policy

if [ $# -eq 0 ]; then
  set -- --seed 1 --ops 1500 --kills 3
  ! is_instrumented || set -- --seed 1 --ops 500 --kills 2
fi

# The wrapper that `nbdkit' is here costs more than many a server lives.
if ! is_instrumented; then
  export MODEL_NBDKIT=$REMAP_NBDKIT
  export MODEL_REMAP_FILTER=$REMAP_FILTER MODEL_BADDISK_FILTER=$BADDISK_FILTER
fi

# In memory, if there is room: a server that was killed leaves nothing in
# doubt but what it was doing, whatever the disk is.
dir=$tmp/model
if [ -w /dev/shm ]; then
  dir=$(mktemp -d /dev/shm/remap-XXXXXX)
  [ -n "${REMAP_KEEP:-}" ] || cleanup_fn rm -rf --one-file-system "$dir"
fi
status=0
"$model" --dir "$dir" "$@" || status=$?
if [ "$status" -ne 0 ]; then
  tail -n 40 "$dir/server.log"
  fail "status $status"
fi
