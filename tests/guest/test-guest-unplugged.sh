#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A disk that disappears while it is read and written, and comes back, under
# its name and under another: nothing is remapped, nothing becomes LOST, what
# the spare has goes on, and service resumes by itself (promises 1 and 12 of
# remap-promises(7)).  Another disk in its place isn't taken for it.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"
. "${abs_top_srcdir:?}/tests/guest/guest.sh"

guest_requires
guest_requires_sectors

cat >script <<'EOF2'
. /files/in-guest.sh

unplug ()
{
  echo 1 >"/sys/block/$1/device/delete"
}

# plug_in HOST: the disk of that SCSI host; sets disk.
plug_in ()
{
  echo "- - -" >"/sys/class/scsi_host/host$1/scan"
  await 30 plugged_in "$1"
}

plugged_in ()
{
  disk=$(ls "/sys/class/scsi_host/host$1/device/target$1:0:0/$1:0:0:0/block")
  [ -b "/dev/$disk" ]
}

# Writes and reads sectors 0 to 7999, again and again, on new connections;
# what fails is tried again, connecting too (nobody is served anew while the
# disk isn't there).  Ends when there is a file stop, or at a content nobody
# wrote.
load ()
{
  _round=0
  until [ -e stop ]; do
    _round=$((_round + 1))
    for _what in write read; do
      while :; do
        UNIT=1000 sectors "$uri" "$_what" $_round 0 8000 1000 \
          >load.out 2>&1 || echo "it failed" >>load.out
        ! grep wrong load.out >wrong || return
        [ -s load.out ] || break
        cp load.out saw-errors
      done
    done
    echo "$_round" >round
  done
}

# logged REGEX: since the line _mark of the messages.
logged ()
{
  tail -n "+$_mark" disk.log | grep "$1"
}

mark ()
{
  _mark=$(($(wc -l <disk.log) + 1))
}

# While the disk isn't there.
only_the_map_is_served ()
{
  await 60 test -e saw-errors
  session_is "error 100+1 ESHUTDOWN" read 1 100 1
  session_is "error 100+1 ESHUTDOWN" write 9 100 1
  remapctl status | grep "^health *main-lost" || fail "$(remapctl status)"
  session_is "error 15000+1 EIO" read 1 15000 1
  session_is "" read 2 15001 1
  map_is_as_it_was
}

# It looks when it is asked for something.
alone_says ()
{
  sectors "$uri" read 1 8000 1 || :
  grep "$1" alone.log
}

map_is_as_it_was ()
{
  assert_equal "$(in_state lost)" 15000+1 "LOST"
  assert_equal "$(in_state remapped)" 15001+1 "REMAPPED"
}

works_again ()
{
  await 60 served 1 16000
  rm -f saw-errors round
  await 60 test -e round
  [ ! -s wrong ] || fail "$(cat wrong)"
  map_is_as_it_was
}

# Each SCSI host's disk has a content and a serial number of its own.
scsi_debug_disk opts=0 per_host_store=1
sectors_are "" "direct:/dev/$disk" write 1 0 16384

# The direct plugin alone: a disk that is back has lost what wasn't flushed,
# and the next flush says so (promise 14 needs that of a main that comes back:
# see lib/engine/lost.h).
start_nbdkit alone "$direct" "/dev/$disk"
uri="nbd+unix:///?socket=$PWD/alone.sock"
open_session
session_is "flush ok
flush ok" write+flush 1 8000 1
session_is "" write 1 8000 1
unplug "$disk"
await 60 alone_says ": is gone"
plug_in "$host"
await 60 alone_says ": is back, as"
session_is "flush EIO
flush ok" write+flush 1 8000 0
close_session
stop_nbdkit alone

serve_remapped "/dev/$disk"
scsi_debug_bad 15000 2
sectors_are "error 15000+2 EIO" "$uri" read 1 14000 2384
sectors_are "" "$uri" write 2 15001 1
echo 0 >/sys/bus/pseudo/drivers/scsi_debug/opts

open_session
load &
_load=$!
await 60 test -e round

# Away, and back.
unplug "$disk"
only_the_map_is_served
plug_in "$host"
echo "back as $disk"
works_again

# Away while another disk of the same size is there, which then takes its
# name; and back under another one.
_original=$host _was=$disk
echo 1 >/sys/bus/pseudo/drivers/scsi_debug/add_host
_other=$((host + 1))
await 30 plugged_in "$_other"
_others=$disk
mark
unplug "$_was"
only_the_map_is_served
await 60 logged "is still lost"
unplug "$_others"
plug_in "$_other"
assert_equal "$disk" "$_was" "the name of the other disk"
rm -f saw-errors
only_the_map_is_served
! logged ": is back, as" || fail "another disk was taken for it"
plug_in "$_original"
[ "$disk" != "$_was" ] || fail "it has its old name, so nothing was tested"
works_again
logged ": is back, as"

session_is "" read 1 16000 384
close_session
touch stop
wait "$_load"
[ ! -s wrong ] || fail "$(cat wrong)"
sectors_are "" "$uri" read "$(cat round)" 0 8000
sectors_are "error 15000+1 EIO" "$uri" read 1 8000 7001
stop_nbdkit disk
serve_remapped "/dev/$disk"
sectors_are "" "$uri" read "$(cat round)" 0 8000
sectors_are "error 15000+1 EIO" "$uri" read 1 8000 7001
sectors_are "" "$uri" read 2 15001 1
sectors_are "" "$uri" read 1 15002 1382
map_is_as_it_was
stop_nbdkit disk
EOF2

guest_run unplugged script
