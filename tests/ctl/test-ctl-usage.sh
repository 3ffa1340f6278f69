#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Exit statuses and messages of remapctl: 0 done, 1 the server says no,
# 2 usage, 3 no server.

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

# Usage: nothing is sent.
fake "$data/disk.replies"
says 'which command' 2
says "no command 'destroy'" 2 destroy
says "no command 'stat'" 2 stat
says '\-\-colour: unknown option' 2 --colour status
says '\-\-colour: unknown option' 2 status --colour
says '\-x: unknown option' 2 -x status
says '(-s|--socket).*needs an argument' 2 status -s
for c in remap verify unmap forget-lost; do
  says "$c: too few arguments" 2 $c
done
for c in remap verify unmap forget-lost retry; do
  says "$c: too many arguments" 2 $c 1 2 3
  for n in x 1x 0x 0xg '' ' 1' +1 1.5 99999999999999999999 1s; do
    says 'not a sector number' 2 $c "$n"
    says 'not a number of sectors' 2 $c 1 "$n"
  done
  says 'not a number of sectors' 2 $c 1 0
  says 'unknown option' 2 $c -1
done
for c in ping sync clear_stats list; do
  says 'too many' 2 $c now
done
says 'must be 0 or 1' 2 set_auto_remap on
says 'too few' 2 set_auto_remap
says 'not a size' 2 grow big
says 'not a size' 2 grow 16E
says 'too few' 2 grow
says 'seconds' 2 status --watch=0
says 'seconds' 2 status --watch x
says 'too many' 2 status --watch 5 6
says 'states' 2 table --states=direct
says 'states' 2 table --states=
says 'block-size' 2 table --block-size=1000
says 'block-size' 2 table --block-size=0
says 'rows' 2 map --rows=0
says 'timeout' 2 --timeout=x ping
says 'as=lost' 2 import "$data/disk.replies"
says 'as=lost' 2 import --as=gone "$data/disk.replies"
says 'too few' 2 import --as=lost
says 'block-size' 2 import --as=lost --block-size=0 x
for c in info check; do
  says 'too few' 2 $c
  says 'unknown option' 2 $c --force=2 x
done
says 'nothing to --force' 2 info --force x
says 'spare-offset' 2 info --spare-offset=100 x
says 'main-size' 2 format x
says 'main-size' 2 format x main-size=0
says 'main-size' 2 format x main-size=many
says 'size=1000' 2 format x main-size=1G size=1000
says 'label' 2 format x main-size=1G label="$(printf '%0256d' 0)"
says 'colour' 2 format x main-size=1G colour=red
says 'too few' 2 relabel x
says 'label' 2 relabel x "$(printf '%0256d' 0)"
says 'too few' 2 stop
says 'not the name' 2 stop ../x
says 'not the name' 2 -n .x status
says 'not the name' 2 -n '' status
says 'not the name' 2 -n "$(printf '%065d' 0)" status
[ ! -s requests ] || fail "something was sent: $(cat requests)"

# Where options may stand.
ctl 0 ping
ctl 0 -s "$tmp/fake" ping
ctl 0 ping -s "$tmp/fake"
ctl 0 ping --socket="$tmp/fake"
REMAP_CONTROL=/nowhere ctl 0 ping -s "$tmp/fake"
ctl 0 remap --json 0x800 0x8
assert_grep '^remap 2048 8$' requests
mkdir run
ln -s ../fake run/disk.ctl
REMAP_CONTROL=/nowhere ctl 0 -n disk ping
ctl 0 ping -n disk

# Help and version, on stdout.
for c in '' status table map remap verify unmap retry forget-lost import \
         set_auto_remap grow clear_stats sync ping info check format relabel \
         create list stop; do
  # shellcheck disable=SC2086
  says "Usage: remapctl.*$c" 0 $c --help
  [ -z "$c" ] || remapctl --help | grep -q "^  $c " || fail "--help: $c"
  # Its example names it, and options that it has.
  [ -z "$c" ] || {
    sed -n '/^Example:/,$p' out >example
    assert_grep "^  .*remapctl .*$c" example
    { grep -oE -- '--[a-z-]+' example || :; } | while read -r o; do
      sed -n '/^Usage/,/^$/p' out | grep -qF -- "$o" || fail "example: $c $o"
    done
  }
done
says '^remapctl [0-9]' 0 --version

# The manual page and the completion know all commands, and the options of
# each.
pod=$abs_top_srcdir/ctl/remapctl.pod
completion=$abs_top_srcdir/ctl/completions/remapctl
# shellcheck source=../../ctl/completions/remapctl
. "$completion"
complete_line ()
{
  COMP_WORDS=("$@")
  COMP_CWORD=$(($# - 1))
  COMPREPLY=()
  _remapctl 2>/dev/null || :
  printf '%s\n' "${COMPREPLY[@]}"
}
remapctl --help | sed -n '/^Commands/,/^$/s/^  \([a-z_-]*\) .*/\1/p' >all
[ "$(wc -l <all)" -ge 20 ] || fail "the list of commands"
complete_line remapctl '' >completed
while read -r c; do
  grep -qE "^=item B<$c>" "$pod" ||
    fail "remapctl(1) does not have $c"
  grep -qx -- "$c" completed || fail "no completion of $c"
  remapctl "$c" --help | { grep -oE -- '--[a-z-]+' || :; } | sort -u >options
  complete_line remapctl -n x "$c" -- | sed 's/=$//' >completed.options
  while read -r o; do
    grep -qF -- "B<$o" "$pod" || fail "remapctl(1) does not have $o"
    grep -qx -- "$o" completed.options || fail "no completion of $c $o"
  done <options
done <all
assert_equal "$(complete_line remapctl sta)" status "completion of sta"
assert_equal "$(complete_line remapctl -n '')" "" "completion of no names"
assert_equal "$(complete_line remapctl import --as = '' | tr '\n' ' ')" \
  "lost remap " "completion of --as="

# The server says no.
says 'the server says: sector 204800 lies beyond' 1 remap 204800
says 'the disk has 204800 sectors' 1 table 204800
says 'the disk has 204800 sectors' 1 table 204799 2
says 'the disk has 204800 sectors' 1 table 1 18446744073709551615
echo 204800 >list
says 'beyond the disk.*Nothing was changed' 1 import --as=lost \
     --block-size=512 list
printf '0x0 ? 1\n0x63FFE00 0x400 -\n' >list
says 'beyond the disk.*Nothing was changed' 1 import --as=lost list
printf '0\n5 5\n' >list
says 'list: line 2' 1 import --as=lost list
says 'nowhere: No such file' 1 import --as=lost nowhere
: >list
says '0 bad sectors listed' 0 import --as=lost list
assert_no_grep '^import' requests
status=0
remapctl status >/dev/full 2>err || status=$?
assert_equal "$status" 1 "status of a full output"
assert_grep "can't write the output" err

# No server.
end_fake
unset REMAP_CONTROL
says 'which server' 2 ping
says 'no such socket' 3 ping -s "$tmp/fake"
says 'no such socket' 3 -n other ping
says "no server 'other'" 3 stop other
says 'File name too long' 3 ping -s "$tmp/$(printf '%0120d' 0)"
: >file
says 'nobody listens|refused' 3 ping -s "$tmp/file"
/usr/bin/python3 -c 'import socket
socket.socket(socket.AF_UNIX).bind("stale")'
says 'nobody listens' 3 ping -s "$tmp/stale"
REMAP_CONTROL='' says 'which server' 2 ping
REMAP_RUNTIME_DIR=relative says 'absolute' 2 -n x ping

# A directory that can't be read isn't one without servers.
for words in list "status --all" "status --all --check" \
             "status --all --prometheus --output=scraped"; do
  # shellcheck disable=SC2086
  REMAP_RUNTIME_DIR=$tmp/file says "directory .*/file can't be read" 3 $words
done
assert_equal "$(find . -name '*scraped*')" "" "no output"

# --all and list: those that don't answer are shown as such.
echo 1 >run/gone.pid
ctl 0 list
assert_grep '^gone .*not running' out
ctl 0 list --json
assert_equal "$(json out 'r[0]["name"], r[0]["running"]')" "('gone', False)" \
  "list --json"
says 'gone: no answer' 3 status --all
remapctl status --all --prometheus >out 2>err || :
assert_grep '^nbdkit_remap_up\{server="gone"\} 0$' out
says 'not running any more' 3 stop gone
[ ! -e run/gone.pid ] || fail "stop did not remove what was left"
