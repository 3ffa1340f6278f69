#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The control socket in the filesystem: its mode, what is in its way, and
# that it goes with the server.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
ping ()
{
  client <<<"does('ping', path='$1')" || fail "no reply at $1"
}

# Mode 0600 whatever the umask is; the umask of the server (nbdkit's own) is
# left alone.
for mask in 0 0777 0022; do
  old=$(umask)
  umask $mask
  nbdkit -U - --filter=remap file main.img spare="mode$mask.img" \
         remap-control=ctl.sock \
         --run 'stat -c "%a %F" ctl.sock >mode; cp /proc/$PPID/status .' \
    2>>mode.log || fail "umask $mask"
  umask "$old"
  chmod u+r mode status
  assert_equal "$(cat mode)" '600 socket' "umask $mask"
  assert_grep '^Umask:[[:space:]]*0022' status
  [ ! -e ctl.sock ] || fail "the socket wasn't removed"
  rm -f "mode$mask.img" mode status
done

# A socket whose server has gone is replaced.
serve remap-control=ctl.sock
ping ctl.sock
crash
[ -S ctl.sock ] || fail "a killed server can't have removed it"
serve remap-control=ctl.sock
ping ctl.sock

# Another server's is not; nor is anything else that is there.  All of that
# is said before anything else is done.
SPARE=other.img PLUGIN='file orig.img' \
  refused 'remap-control=.*/ctl.sock: a server is listening at this socket' \
  remap-control=ctl.sock
ping ctl.sock
stop_nbdkit disk
[ ! -e ctl.sock ] || fail "the socket wasn't removed"
echo precious >file
ln -s file link
ln -s nowhere dangling
mkdir dir
mkfifo fifo
for what in 'file:a file' 'link:a symbolic link' 'dangling:a symbolic link' \
            'dir:a directory' 'fifo:something that is no socket'; do
  before=$(ls -ld "${what%%:*}")
  refused "remap-control=.*/${what%%:*}: ${what#*:} is in the way" \
          remap-control="${what%%:*}"
  assert_equal "$(ls -ld "${what%%:*}")" "$before" "${what%%:*}"
done
assert_equal "$(cat file)" precious 'the file'
[ ! -e other.img ] && [ ! -e nowhere ] || fail "something was created"

# Places where none can be.
refused "remap-control=.*/missing/ctl.sock: can't create the socket: No such" \
        remap-control=missing/ctl.sock
refused 'remap-control=: a path is needed' remap-control=
long=$(printf '%0120d' 0)
refused 'the path of a socket can have 107 bytes, this one has 1[0-9][0-9]: choose' \
        remap-control="/tmp/$long"

# One that fails for another reason leaves no socket behind.
cp spare.img keep.img
echo rubbish >foreign.img
truncate -s 2M foreign.img
SPARE=foreign.img refused 'is neither blank nor a spare' remap-control=ctl.sock
truncate -s 9M orig.img
PLUGIN='file orig.img' refused 'belongs to a disk of' remap-control=ctl.sock
truncate -s 8M orig.img
[ ! -e ctl.sock ] || fail "a server that didn't start left its socket"
# Nor one whose nbdkit can't listen, and tells no filter that it ends.
for how in -f -v; do
  expect_failure nbdkit $how -U missing/nbd.sock --filter=remap file main.img \
                 spare=spare.img remap-control=ctl.sock
  assert_grep 'No such file' expect.out
  [ ! -e ctl.sock ] || fail "nbdkit $how that can't listen left its socket"
done

# What somebody has put in its place meanwhile is not removed.
serve remap-control=ctl.sock
rm ctl.sock
echo precious >ctl.sock
stop_nbdkit disk
assert_equal "$(cat ctl.sock)" precious 'what took its place'
rm ctl.sock

# In the background, from another directory.
nbdkit -U "$tmp/d.sock" -P "$tmp/d.pid" --filter=remap file main.img \
       spare=spare.img remap-control=ctl.sock
eventually has_text d.pid || fail "no pid file"
daemon_pid=$(cat d.pid)
cleanup_fn kill "$daemon_pid"
export URI="nbd+unix:///?socket=$tmp/d.sock"
client <<'PY'
does("remap 5", done=1)
write(5, pattern(5))
is_(read(5), pattern(5))
PY
kill "$daemon_pid"
eventually is_missing ctl.sock || fail "the socket wasn't removed"
cleanup_fns=()
