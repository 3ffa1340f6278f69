# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What the tests with block devices share (bash): loop devices, and one that
# fails as exactly as a disk does.
#
# shellcheck shell=bash

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../filter/remap.sh"

# make_loop FILE [LOSETUP-ARG...]: sets loop to a block device over FILE,
# without a page cache below it.
make_loop ()
{
  attach_loop "$1" --direct-io=on "${@:2}" ||
    skip "needs a loop device: $(cat losetup.err)"
}

# make_bad_device FILE [ARG...]: sets loop to a block device over FILE that
# fails as baddisk says (parameters ARG..., and bad.txt: see bad_sectors),
# to the sector of 512 bytes.  What it is asked for is in device-ops.txt.
# LOSETUP_ARGS, BELOW_BADDISK: more arguments of losetup and of nbdkit.
#
# nbdkit serves it, FUSE makes a file of that, and the kernel a block device.
# nbdfuse takes its connections in turn, and a request waits for the one
# before it on its connection: with CONNECTIONS (default 4) a slow one holds
# up every fourth of the others.
make_bad_device ()
{
  local file=$1
  shift

  [ -e bad.txt ] || : >bad.txt
  # shellcheck disable=SC2086
  start_nbdkit device -t 1 ${BELOW_BADDISK:-} --filter=baddisk file "$file" \
               baddisk-list=bad.txt baddisk-log=device-ops.txt "$@"
  mkdir -p fuse
  nbdfuse -C "${CONNECTIONS:-4}" fuse "$uri" </dev/null >>nbdfuse.log 2>&1 &
  fuse_pid=$!
  cleanup_fn end_fuse
  await_fuse fuse/nbd "$fuse_pid"
  # shellcheck disable=SC2086
  make_loop fuse/nbd ${LOSETUP_ARGS:-}
}

# Whoever has the device open ends first, or FUSE could not.
end_fuse ()
{
  local name

  [ -n "$fuse_pid" ] || return 0
  for name in "${!nbdkit_pids[@]}"; do
    [ "$name" = device ] || end_nbdkit "$name" TERM || :
  done
  end_fuse_mount fuse "$fuse_pid"
  fuse_pid=
}

requires_bad_device ()
{
  requires_loop
  requires_fuse
}
