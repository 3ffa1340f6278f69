#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# examples/quickstart.sh: the demonstration, serving an image and a block
# device, and what it refuses.

# shellcheck source-path=SCRIPTDIR disable=SC2016,SC2154
. "$(dirname "$0")/../functions.sh"

requires_program nbdcopy nbdinfo
requires /usr/bin/python3 -c "import nbd"
PATH=$PATH:/sbin:/usr/sbin
requires_program mke2fs debugfs e2fsck

quickstart=$abs_top_srcdir/examples/quickstart.sh

# The build that is at hand, if quickstart.sh would make the same one.
if [ "$(basename "$abs_top_builddir")" = plain ] &&
   [ -d "$abs_top_builddir/../src" ]; then
  REMAP_BUILD=$(realpath "$abs_top_builddir/..")
else
  REMAP_BUILD=$tmp/build
fi
export REMAP_BUILD

"$quickstart" >demo.out 2>demo.err </dev/null || {
  cat demo.out demo.err
  fail "the demonstration"
}
cat demo.out
assert_grep '0 of 40 can be read at once, 0 of 40 can be written' demo.out
assert_grep 'every byte is right; 40 weak sectors' demo.out
assert_grep '0 of 20 can be read: they are lost' demo.out
assert_grep '40 of 40' demo.out
assert_grep '60 of 60 writes succeed' demo.out
assert_grep '200 files are whole' demo.out

# An image: served until interrupted; what was written is there afterwards.
truncate -s 10M disk.img
port=$(/usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
is_served ()
{
  grep -q '^Interrupt' serve.out || has_ended "$server"
}
# serve_and_ask DISK [SPARE] PYTHON: an expression that must be true.
serve_and_ask ()
{
  local question=${*: -1} server

  set -- "${@:1:$#-1}"
  rm -f serve.out
  : >serve.out
  "$quickstart" --port "$port" "$@" >serve.out 2>&1 </dev/null &
  server=$!
  eventually is_served || :
  ! has_ended "$server" || { cat serve.out; fail "it ended"; }
  assert_grep '^Serving ' serve.out
  # It is there for whoever looks.
  remapctl list >list.out
  assert_grep '/control +[0-9]+ +ok ' list.out
  assert_equal "$(nbdinfo --size "nbd://localhost:$port")" 10485760 \
    "size of the export"
  nbdsh -u "nbd://localhost:$port" -c "assert $question" -c 'h.flush()'
  kill -INT "$server" || :
  # A background job of a script ignores SIGINT.
  kill -TERM "$server" 2>/dev/null || :
  wait "$server" || :
  assert_grep "nbdcopy nbd://localhost:$port" serve.out
  remapctl list >list.out
  assert_grep 'no servers' list.out
  nothing_is_left
}
# Of the folder with the control socket.
nothing_is_left ()
{
  [ -z "$(find . -maxdepth 1 -name 'quickstart-*')" ] ||
    fail "something is left: $(ls)"
}
serve_and_ask disk.img "h.pwrite(b'x' * 512, 0) is None"
serve_and_ask disk.img "h.pread(512, 0) == b'x' * 512"
[ -s disk.img.spare ] || fail "no spare was made"

# A start that fails says why, doesn't say that it serves, and leaves nothing.
truncate -s 9M small.img taken.img
remapctl format small.spare main-size=10M >/dev/null
cp small.spare small.before
start_nbdkit other --filter=remap file taken.img spare=taken.spare \
             remap-control="$tmp/taken.ctl"
refused ()
{
  expect_failure "$quickstart" --port "$port" "${@:2}"
  assert_grep "$1" expect.out
  assert_grep 'is not served' expect.out
  assert_no_grep '^Serving|^Connect' expect.out
  nothing_is_left
}
refused 'bytes' small.img small.spare
cmp small.spare small.before
refused 'in use' taken.img taken.spare
/usr/bin/python3 -c 'import socket, sys, time
s = socket.socket()
s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
s.bind(("127.0.0.1", int(sys.argv[1])))
s.listen()
open("occupied", "w").close()
time.sleep(1000)' "$port" &
occupier=$!
eventually exists occupied || fail "the port is free"
refused 'in use' small.img
[ ! -e small.img.spare ] || fail "a spare was left"
kill "$occupier"
wait "$occupier" || :
stop_nbdkit other

# What can't be served is refused, with the reason.
expect_failure "$quickstart" "$tmp/not-there.img"
assert_grep 'no such file' expect.out
expect_failure "$quickstart" "$tmp"
assert_grep 'neither a regular file nor' expect.out
expect_failure "$quickstart" --nonsense
assert_grep 'unknown option' expect.out
for p in 0 65536 99999 nbd ''; do
  expect_failure "$quickstart" --port "$p" disk.img
  assert_grep 'must be a number from 1 to 65535' expect.out
done

# A block device, if there is one to be had.
if [ "$(id -u)" = 0 ] && loop=$(losetup --show -f disk.img 2>/dev/null); then
  cleanup_fn losetup -d "$loop"
  expect_failure "$quickstart" "$loop"
  assert_grep 'is a block device: say where bad sectors go' expect.out
  expect_failure "$quickstart" "$loop" /dev/not-there
  assert_grep '/dev/not-there: is neither' expect.out
  # The spare has to be on another disk.
  mkdir mem
  mount -t tmpfs tmpfs mem
  cleanup_fn umount -l mem
  # It is the disk that has a spare beside it.
  refused 'has another spare|disk .* has a spare' "$loop" mem/device.spare
  serve_and_ask --new-spare "$loop" mem/device.spare "h.pread(512, 0) == b'x' * 512"
  [ -s mem/device.spare ] || fail "no spare was made"
  assert_no_grep 'page cache' serve.out
fi
