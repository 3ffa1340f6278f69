#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# nbdcopy ends at its first error, while its other requests are under way.
# nbdkit 1.32 aborts then; in the two ways that README tells of, the server
# goes on.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"
requires_program nbdcopy nbdinfo

# Sector 65536 of 256 MiB is bad.
echo "33554432 512 -" >bad

# survives NBDKIT-OPTION... -- NBDCOPY-OPTION...
survives ()
{
  local options=()
  while [ "$1" != -- ]; do
    options+=("$1")
    shift
  done
  shift
  rm -f spare.img
  start_nbdkit disk "${options[@]}" --filter=remap --filter=baddisk \
               pattern 256M spare=spare.img spare-size=10M baddisk-list=bad
  for ((i = 0; i < 3; i++)); do
    if nbdcopy "$@" "$uri" null: 2>err; then
      fail "nbdcopy doesn't notice a LOST sector"
    fi
    cat err
    nbdinfo --size "$uri" >/dev/null ||
      fail "the server is gone: nbdkit ${options[*]}, nbdcopy $*"
  done
  stop_nbdkit disk
}

survives -t 1 --
survives -- --synchronous
