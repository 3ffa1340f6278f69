#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A disk's spare is missing, is another one, or an older copy of it: with a
# state folder a server isn't started, since it would serve old data; without
# one a new spare is announced (promise 20 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/../functions.sh"

truncate -s 10M disk.img
uri="nbd+unix:///?socket=$tmp/s.sock"

# serve [PARAMETER...]: does one write of sector 0 to the spare.
serve ()
{
  start_nbdkit s --filter=remap file disk.img spare=spare spare-size=1M \
               spare-state="$tmp/state" remap-control="$tmp/ctl" "$@"
}
refused ()
{
  expect_failure nbdkit --filter=remap file disk.img spare=spare \
                 spare-size=1M spare-state="$tmp/state" "${@:2}" --run true
  assert_grep "$1" expect.out
}
number ()
{
  sed -n 's/.*"commit": \([0-9]*\).*/\1/p' state/disk-*.json
}

# A bare server says what a new spare means, and keeps nothing.
start_nbdkit bare --filter=remap file disk.img spare=bare spare-size=1M
stop_nbdkit bare
assert_grep 'warning: creating a new spare: .*old data' bare.log
[ ! -e state ] || fail "a bare server keeps state"

serve
remapctl -s ctl remap 0 8
nbdsh -u "$uri" -c "h.pwrite(b'n' * 512, 0)" -c 'h.flush()'
assert_grep 'spare .*/spare: UUID [0-9a-f-]{36}, commit [0-9]+' s.log
stop_nbdkit s
assert_equal "$(stat -c %a state)" 700 "mode of the folder"
assert_equal "$(stat -c %a state/disk-*.json)" 600 "mode of the file"
# The file has the number that the spare has.
assert_equal "$(number)" \
  "$(remapctl info --json spare | sed 's/.*"commit":\([0-9]*\).*/\1/')" \
  "the last commit"

# Parts of one disk have a spare each.
for i in 1 2 1; do
  start_nbdkit part --filter=remap --filter=offset file disk.img \
               offset=${i}M range=1M spare=part$i spare-size=1M \
               spare-state="$tmp/parts"
  stop_nbdkit part
done
assert_equal "$(find parts -name 'disk-*' | wc -l)" 2 "parts that are known"

# Missing, blank, unfinished: none is made, and nothing is left.
mv spare away
refused 'spare: is missing or blank, but the disk .*disk.img has a spare: UUID'
assert_grep '8 remapped, 0 LOST' expect.out
[ ! -e spare ] || fail "a spare was made"
: >spare
refused 'is missing or blank'
# Another spare of this disk.
cp bare spare
refused 'but the disk .* has another spare'
# Its own, wherever it is; and what was in it is read.
mv away spare
cp spare older
serve
assert_equal "$(nbdsh -u "$uri" -c 'print(h.pread(512, 0)[:3])')" \
  "bytearray(b'nnn')" "the remapped sector"
# Written since, but no state has changed: the copy is older all the same.
nbdsh -u "$uri" -c "h.pwrite(b'o' * 512, 0)" -c 'h.flush()'
kill_nbdkit s
cp spare newer
cp older spare
refused 'is an older copy of the disk.s spare: its last commit is'
cmp older spare || fail "it was written to"
cp newer spare
serve
stop_nbdkit s
cp older spare
serve spare-older=yes
stop_nbdkit s

# An operator who knows gets a new one, and that is the disk's from then on.
rm spare
serve spare-new=yes
stop_nbdkit s
mv spare second
cp newer spare
refused 'has another spare'
mv second spare
serve
stop_nbdkit s

# A file that isn't what was written: a spare that is there is served, and none
# is made.
for text in '' nonsense '{"disk":"x"}' '[]'; do
  printf '%s' "$text" >"$(echo state/disk-*.json)"
  mv spare away
  refused 'nobody knows whether this disk has another one'
  mv away spare
  serve
  stop_nbdkit s
  assert_grep 'warning: .*isn.t what was written there' s.log
  [ "$(number)" -gt 0 ] || fail "it isn't written anew"
done

# A folder that can't be written keeps nobody from the disk.
rm -r state
: >state
serve
stop_nbdkit s
assert_grep 'warning: the state folder: .*may go unnoticed' s.log
! grep 'commit 0$' s.log || fail "the last commit isn't what the spare has"
