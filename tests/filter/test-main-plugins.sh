#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Plugins that have no disk for a filter's own connection, or another one
# for each client, are refused before they are opened: they can't be main.
# Those that only can be like that are served where they aren't.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

mkdir dir
truncate -s 8M dir/a main.img

# cannot REGEX PLUGIN [ARG...]: without -f, so nothing is in the background
# that could be found out later.
cannot ()
{
  local regex=$1
  shift
  expect_failure nbdkit -U "$tmp/wrong.sock" -P "$tmp/wrong.pid" \
                 --filter=remap "$@" spare=spare.img
  assert_grep "error: remap: the plugin $regex" expect.out
  assert_equal "$(grep -c 'error:' expect.out)" 1 "messages of: $*"
  [ ! -e wrong.pid ] || fail "a server was started with: $*"
  [ ! -e spare.img ] || fail "a spare was created with: $*"
}

# can PLUGIN [ARG...]
can ()
{
  start_nbdkit disk --filter=remap "$@" spare=spare.img
  URI=$uri client <<<'assert h.get_size() > 0; h.pread(512, 0)'
  stop_nbdkit disk
  rm spare.img
}

cannot 'file dir=.*: can.t be main: .*file=' file dir=dir
cannot 'file directory=.*: can.t be main' file directory=dir
cannot 'file dir=.*: can.t be main' --filter=nofilter file dir=dir
can file main.img

cannot 'nbd dynamic-export=.*: can.t be main: .*export=' \
       nbd dynamic-export=true socket="$tmp/none.sock"
start_nbdkit below file dir=dir
below_sock=$sock
can nbd dynamic-export=no export=a socket="$below_sock"
can nbd export=a socket="$below_sock"
stop_nbdkit below

# has PLUGIN: it is installed.
has ()
{
  "$REMAP_NBDKIT" "$1" --dump-plugin </dev/null >/dev/null 2>&1 ||
    { echo "not here: $1"; return 1; }
}
! has ondemand || cannot 'ondemand: can.t be main' ondemand dir=dir size=8M
! has info || cannot 'info: can.t be main' info exportname
! has info || cannot 'info: can.t be main' info time
! has tmpdisk || cannot 'tmpdisk: can.t be main' tmpdisk 8M

# dir= of others is one disk.
! has floppy || can floppy dir=dir
