# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What the tests of the remap filter share (bash): a disk main.img with a
# known content (orig.img), a list of its bad sectors (bad.txt), a server
# over them, and a client in Python.
#
# shellcheck shell=bash

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../functions.sh"

# make_main BYTES: main.img, of random content, and its copy orig.img.
make_main ()
{
  random_file orig.img "$1"
  cp orig.img main.img
  : >bad.txt
}

# serve [ARG...]: serves main.img, whose bad sectors are in bad.txt, with
# spare.img; the server before is ended.  Arguments follow the plugin.
# PLUGIN replaces "file main.img", BELOW is options and filters before it.
serve ()
{
  [ -z "${nbdkit_pids[disk]:-}" ] || stop_nbdkit disk
  # Several words each, of no special characters.
  # shellcheck disable=SC2086
  start_nbdkit disk ${OPTIONS:-} --filter=remap ${BELOW:-} --filter=baddisk \
               ${PLUGIN:-file main.img} \
               spare="${SPARE:-spare.img}" baddisk-list=bad.txt \
               baddisk-log=ops.txt "$@"
  disk_uri=$uri
}

# crash: kill -9 of that server.
crash ()
{
  kill_nbdkit disk
}

content_sum ()
{
  local f
  for f in main.img "${SPARE:-spare.img}"; do
    [ ! -f "$f" ] || cksum "$f"
  done
}

# refused REGEX [ARG...]: nbdkit over main.img and spare.img ends with an
# error before it serves anybody, with a message that matches, and leaves
# main and spare (if they exist) as they were.
refused ()
{
  local regex=$1 status=0 before
  shift

  before=$(content_sum)
  rm -f refused.log
  # shellcheck disable=SC2086
  start_nbdkit_may_fail refused ${OPTIONS:-} --filter=remap \
                        ${PLUGIN:-file main.img} \
                        spare="${SPARE:-spare.img}" "$@" || status=$?
  if [ "$status" -eq 0 ]; then
    # Known only when main was looked at: the socket is there by then, but
    # nobody is served.
    ! URI=$uri client <<<'' 2>/dev/null || fail "a client was served: $*"
    wait "$pid" || status=$?
    unset "nbdkit_pids[refused]"
    [ "$status" -lt 99 ] || fail "status $status: $*"
  fi
  cat refused.log
  [ "$status" -ne 0 ] || fail "this should have been refused: $*"
  assert_grep "$regex" refused.log
  assert_equal "$(content_sum)" "$before" "content of main and spare"
}

# client: runs Python from stdin with a connection h to $uri, and what
# client.py defines.
client ()
{
  { cat "$abs_top_srcdir/tests/filter/client.py" -; } |
    nbdsh -u "${URI:-$disk_uri}" -c -
}
