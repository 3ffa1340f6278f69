# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Helpers of the scripts that run in a guest (dash and busybox):
#
#   . /files/in-guest.sh
#
# shellcheck shell=dash

set -eu

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
