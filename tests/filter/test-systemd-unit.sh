#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# examples/nbdkit-remap@.service: systemd finds nothing wrong with it.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"

requires_program systemd-analyze
unit=${abs_top_srcdir:?}/examples/nbdkit-remap@.service

# systemd wants to see the programs that a unit starts where it names them.
cp "$unit" nbdkit-remap@disk1.service
systemd-analyze verify --man=no "$PWD/nbdkit-remap@disk1.service" \
                >verify.out 2>&1 || { cat verify.out; fail "verify"; }
[ ! -s verify.out ] || { cat verify.out; fail "systemd-analyze has remarks"; }

# It can tell: a key that doesn't exist is a remark.
sed 's/^RestartSec=/RestartSecs=/' "$unit" >nbdkit-remap@disk2.service
systemd-analyze verify --man=no "$PWD/nbdkit-remap@disk2.service" \
                >verify.out 2>&1 || :
assert_grep RestartSecs verify.out
