#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A filter that was built for another version of nbdkit: create says what can
# be done, and so does the systemd unit.

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

version=$("$REMAP_NBDKIT" --dump-config | sed -n 's/^version=//p')
# One of the same length: the last digit but one less.
other=${version%?}$(((${version: -1} + 9) % 10))

# The version is a string of the filter, which nbdkit compares with its own.
VERSION=$version OTHER=$other python3 - "$REMAP_FILTER" stale.so <<'PY'
import os, sys
old = os.environ["VERSION"].encode() + b"\0"
new = os.environ["OTHER"].encode() + b"\0"
with open(sys.argv[1], "rb") as f:
    filter = f.read()
assert old in filter
with open(sys.argv[2], "wb") as f:
    f.write(filter.replace(old, new))
PY

truncate -s 10M main.img
REMAP_FILTER=$PWD/stale.so says 'incompatible with this version.*nbdkit-remap-rebuild' \
  9 create dm_name=stale main_dev=main.img spare_dev=spare.img
[ ! -e spare.img ] || fail "the spare of a server that didn't start was left"

# What the unit runs before the server, with the stale filter in place of the
# installed one.
unit=$abs_top_srcdir/examples/nbdkit-remap@.service
check=$(sed -n "s|^ExecStartPre=/bin/sh -c '\(.*dump-plugin.*\)'\$|\1|p" "$unit" |
        sed 's|/usr/bin/nbdkit|nbdkit|g')
[ -n "$check" ] || fail "the unit doesn't look at the filter"
sh -c "$check" >good.out 2>&1 || fail "the check fails with the right filter: $(cat good.out)"
if REMAP_FILTER=$PWD/stale.so sh -c "$check" >out 2>&1; then
  fail "the unit's check passes with a stale filter"
fi
assert_grep 'nbdkit-remap-rebuild' out
