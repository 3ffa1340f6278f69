#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Whoever may only watch sends the server a file that can't be closed, since its
# filesystem stands still: nobody waits for that (promise 38 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/../functions.sh"
requires_program nbdfuse
requires_program fusermount3

mkdir mnt
nbdfuse "$tmp/mnt" [ nbdkit --exit-with-parent null 1M ] &
fuse=$!
end_fuse ()
{
  kill -CONT "$fuse"
  fusermount3 -uz "$tmp/mnt"
  wait "$fuse"
}
eventually test -e mnt/nbd -o ! -e /proc/$fuse
if [ ! -e mnt/nbd ]; then
  echo "SKIP: nothing can be mounted here"
  exit 77
fi
truncate -s 1M main.img
start_nbdkit s --filter=remap file main.img spare=spare spare-size=1M \
             remap-control="$tmp/ctl" remap-status="$tmp/st"
cleanup_fn end_fuse
# Its own end waits for that file as well.
/usr/bin/python3 - "$fuse" <<'PY' &
import os, signal, socket, sys
fd = os.open("mnt/nbd", os.O_RDWR)
os.kill(int(sys.argv[1]), signal.SIGSTOP)
s = socket.socket(socket.AF_UNIX)
s.connect("st")
socket.send_fds(s, [b"status\n"], [fd])
if s.recv(1):
    open("answered", "w").close()
PY
client=$!
eventually test -e answered || fail "the server waits"
remapctl -s ctl status >out
stop_nbdkit s
kill -CONT "$fuse"
wait "$client" || fail "the client"
