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

# Page 12 of a spare says who has used it last, whatever became of that.
content_sum ()
{
  local spare=${SPARE:-spare.img}
  [ ! -f main.img ] || cksum main.img
  [ ! -f "$spare" ] || { head -c 49152 "$spare"; tail -c +53249 "$spare"; } |
    cksum
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

# ---- a drive that goes away and comes back ------------------------------
#
# Servers over one are started with "$lost_wait" baddisk-gone=gone.  It is
# away for 2 seconds, and requests wait for it as long as it takes; or for
# REMAP_DROP_SECONDS, and requests wait as long as they do by default.

# For the tests.
# shellcheck disable=SC2034
case "${REMAP_DROP_SECONDS:-}" in
  '') lost_wait=main-lost-wait=600 ;;
  *) lost_wait=main-lost-wait=30 ;;
esac

drive_goes ()
{
  : >disk.log
  : >gone
}

has_lost_main ()
{
  grep -q 'main is lost' disk.log
}

# The drive comes back so long after the filter has noticed that it is away:
# by then the filter has looked for it in vain.
drive_returns ()
{
  eventually has_lost_main || fail "nothing notices that main is gone"
  sleep "${REMAP_DROP_SECONDS:-2}"
  rm gone
}

# through_a_drop COMMAND [ARG...]: the drive goes before COMMAND begins, or
# (through_a_drop --midway) while it reads or writes, and COMMAND must succeed.
# For --midway main is slow, and nbdkit's log filter below writes below.log.
through_a_drop ()
{
  local status=0 job before midway=

  if [ "$1" = --midway ]; then
    midway=yes
    shift
    before=$(wc -l <below.log)
  fi
  echo "==== $* ${midway:+(midway)}"
  [ -n "$midway" ] || drive_goes
  "$@" &
  job=$!
  if [ -n "$midway" ]; then
    eventually is_under_way || fail "$1 does nothing"
    drive_goes
  fi
  drive_returns
  wait "$job" || status=$?
  await_log 'main is back' disk.log
  return "$status"
}

is_under_way ()
{
  [ "$(wc -l <below.log)" -gt $((before + 40)) ]
}

# ---- the disk as a block device -----------------------------------------

# attach, detach: the export of $uri by nbdfuse, as $loop; what is mounted at
# mnt is unmounted by detach.
loop='' fuse=''
attach ()
{
  nbdfuse fuse/disk "$uri" &
  fuse=$!
  await_fuse fuse/disk "$fuse"
  loop=$(losetup --find --show --direct-io=on fuse/disk)
}
detach ()
{
  ! mountpoint -q mnt || umount mnt || umount -l mnt
  [ -z "$loop" ] || losetup -d "$loop"
  loop=
  [ -z "$fuse" ] || end_fuse_mount fuse "$fuse"
  fuse=
}
