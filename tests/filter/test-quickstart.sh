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
  nbdinfo --size "nbd://localhost:$port" >size.out 2>/dev/null ||
    has_ended "$server"
}
# serve_and_ask DISK [SPARE] PYTHON: an expression that must be true.
serve_and_ask ()
{
  local question=${*: -1} server

  set -- "${@:1:$#-1}"
  "$quickstart" --port "$port" "$@" >serve.out 2>&1 </dev/null &
  server=$!
  eventually is_served || :
  ! has_ended "$server" || { cat serve.out; fail "it ended"; }
  assert_equal "$(cat size.out)" 10485760 "size of the export"
  nbdsh -u "nbd://localhost:$port" -c "assert $question" -c 'h.flush()'
  kill -INT "$server" || :
  # A background job of a script ignores SIGINT.
  kill -TERM "$server" 2>/dev/null || :
  wait "$server" || :
  assert_grep "nbdcopy nbd://localhost:$port" serve.out
}
serve_and_ask disk.img "h.pwrite(b'x' * 512, 0) is None"
serve_and_ask disk.img "h.pread(512, 0) == b'x' * 512"
[ -s disk.img.spare ] || fail "no spare was made"

# What can't be served is refused, with the reason.
expect_failure "$quickstart" "$tmp/not-there.img"
assert_grep 'no such file' expect.out
expect_failure "$quickstart" "$tmp"
assert_grep 'neither a regular file nor' expect.out
expect_failure "$quickstart" --nonsense
assert_grep 'unknown option' expect.out

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
  serve_and_ask "$loop" mem/device.spare "h.pread(512, 0) == b'x' * 512"
  [ -s mem/device.spare ] || fail "no spare was made"
  assert_no_grep 'page cache' serve.out
fi
