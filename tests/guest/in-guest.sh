# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Helpers of the scripts that run in a guest (dash and busybox):
#
#   . /files/in-guest.sh
#
# shellcheck shell=dash

set -eu
# The programs of this project, remapctl and sectors (see sectors.c).
PATH=/files:$PATH

# For the scripts.
# shellcheck disable=SC2034
remap=/files/nbdkit-remap-filter.so
# shellcheck disable=SC2034
baddisk=/files/nbdkit-baddisk-filter.so
# shellcheck disable=SC2034
direct=/files/nbdkit-direct-plugin.so

# Heard by the host's guest_await.
say ()
{
  echo "GUEST: $*"
}

fail ()
{
  echo "FAIL: $*" >&2
  exit 1
}

assert_equal ()
{
  [ "$1" = "$2" ] || fail "$3: got '$1', wanted '$2'"
}

# await SECONDS COMMAND [ARG...]: until it succeeds.
await ()
{
  _n=$(($1 * 10))
  shift
  until "$@" >/dev/null 2>&1; do
    _n=$((_n - 1))
    [ "$_n" -gt 0 ] || fail "waited in vain for: $*"
    sleep 0.1
  done
}

# start_nbdkit NAME [ARG...]: as functions.sh's; the socket is NAME.sock, the
# messages are in NAME.log.
start_nbdkit ()
{
  _name=$1
  shift
  rm -f "$_name.pid" "$_name.sock"
  nbdkit -f -U "$PWD/$_name.sock" -P "$_name.pid" "$@" >>"$_name.log" 2>&1 &
  _n=600
  until [ -s "$_name.pid" ]; do
    _n=$((_n - 1))
    if [ "$_n" -eq 0 ] || ! kill -0 $! 2>/dev/null; then
      cat "$_name.log"
      fail "nbdkit ($_name) did not start: $*"
    fi
    sleep 0.1
  done
}

# stop_nbdkit NAME [SIGNAL]
stop_nbdkit ()
{
  _pid=$(cat "$1.pid")
  kill -s "${2:-TERM}" "$_pid"
  while kill -0 "$_pid" 2>/dev/null; do
    wait "$_pid" 2>/dev/null || :
    sleep 0.1
  done
}

# ---- disks that fail, and the filter over them --------------------------

# scsi_debug_disk [PARAMETER...]: a disk of scsi_debug's, 8 MiB; sets disk
# (sda) and host (the number of its SCSI host).
scsi_debug_disk ()
{
  modprobe sd_mod
  modprobe scsi_debug dev_size_mb=8 max_luns=1 delay=0 "$@"
  await 30 scsi_debug_find
}

scsi_debug_find ()
{
  disk=$(basename "$(ls -d /sys/bus/pseudo/drivers/scsi_debug/*/host*/target*/*/block/* \
                       2>/dev/null)")
  [ -b "/dev/$disk" ]
  host=$(ls -d /sys/bus/pseudo/drivers/scsi_debug/*/host*)
  host=${host##*/host}
}

# scsi_debug_bad FIRST COUNT: these of its blocks can't be read; before, no
# others can.  What it does for that is seen in the kernel's log.
scsi_debug_bad ()
{
  echo 0 >/sys/bus/pseudo/drivers/scsi_debug/opts
  echo "$1" >/sys/module/scsi_debug/parameters/medium_error_start
  echo "$2" >/sys/module/scsi_debug/parameters/medium_error_count
  echo 3 >/sys/bus/pseudo/drivers/scsi_debug/opts
}

# Commands that failed with a medium error (sense key 3) since the last time.
scsi_debug_medium_errors ()
{
  dmesg -c | grep -c '\[0x3,0x11,0x' || :
}

# serve_remapped DEVICE [PARAMETER...]: DEVICE with the filter over it, and
# a log of all that main is asked for below it.
serve_remapped ()
{
  _device=$1
  shift
  start_nbdkit disk --filter="$remap" --filter=log "$direct" "$_device" \
    spare=disk.spare remap-control="$REMAP_CONTROL" \
    logfile=disk.ops logappend=true "$@"
  # For the scripts.
  # shellcheck disable=SC2034
  uri="nbd+unix:///?socket=$PWD/disk.sock"
}

# Where remapctl finds that server.
export REMAP_CONTROL=/tmp/disk.ctl

# Reads of main that failed, since the spare was made.
failing_reads ()
{
  grep -c 'Read .*return=-1' disk.ops || :
}

# in_state lost|remapped|zero [--spare=SPARE]: runs of such sectors,
# FIRST+COUNT, one a line.
in_state ()
{
  _state=$1
  shift
  remapctl table --csv "$@" |
    awk -F , -v state="$_state" '$3 == state { print $1, $1 + $2 - 1 }' |
    merge_runs
}

# FIRST LAST on each line -> FIRST+COUNT
merge_runs ()
{
  awk 'NR > 1 && $1 > end + 1 { print first "+" end + 1 - first; first = $1 }
       NR == 1 { first = $1 }
       { end = $2 }
       END { if (NR > 0) print first "+" end + 1 - first }'
}

# sectors_are WHAT-IS-EXPECTED ARG...: what `sectors ARG...' prints.
sectors_are ()
{
  _wanted=$1
  shift
  _got=$(sectors "$@") || fail "sectors $*"
  assert_equal "$_got" "$_wanted" "sectors $*"
}

# served SEED SECTOR: does it have that content now?
served ()
{
  [ -z "$(sectors "$uri" read "$1" "$2" 1)" ]
}

# open_session: a connection that stays open, for session_is.
open_session ()
{
  mkfifo session.in
  sectors "$uri" - <session.in >session.out &
  exec 8>session.in
}

close_session ()
{
  exec 8>&-
  rm session.in
}

# session_is WHAT-IS-EXPECTED COMMAND...: as sectors_are.
session_is ()
{
  _wanted=$1
  shift
  _before=$(grep -cx ok session.out || :)
  _from=$(($(wc -l <session.out) + 1))
  echo "$*" >&8
  await 60 session_answered
  assert_equal "$(tail -n "+$_from" session.out | grep -vx ok || :)" \
               "$_wanted" "$*"
}

session_answered ()
{
  [ "$(grep -cx ok session.out)" -gt "$_before" ]
}
