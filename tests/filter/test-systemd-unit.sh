#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# examples/nbdkit-remap@.service: systemd finds nothing wrong with it, and
# the command that it starts serves a disk, with the examples of its comment;
# but not if its spare's filesystem isn't mounted (promise 20 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"

requires_program systemd-analyze nbdinfo
unit=${abs_top_srcdir:?}/examples/nbdkit-remap@.service

# systemd wants to see the programs that a unit starts where it names them.
cp "$unit" nbdkit-remap@disk1.service
systemd-analyze verify --man=no "$PWD/nbdkit-remap@disk1.service" \
                >verify.out 2>&1 || { cat verify.out; fail "verify"; }
[ ! -s verify.out ] || { cat verify.out; fail "systemd-analyze has remarks"; }

# It can tell: a key that doesn't exist is a remark.
sed 's/^RestartSec=/RestartSecs=/' "$unit" >nbdkit-remap@disk2.service
systemd-analyze verify --man=no "$PWD/nbdkit-remap@disk2.service" \
                >verify.out 2>&1 || :
assert_grep RestartSecs verify.out

# setting KEY: its value; %i, /run and /var/lib are ours, lines that go on are
# joined.
setting ()
{
  sed -e ':again' -e '/\\$/ { N; s/\\\n */ /; b again' -e '}' "$unit" |
    sed -n "s/^$1=//p" |
    sed -e "s,/run/nbdkit-remap,$tmp/run,g" -e 's,%i,disk1,g' \
        -e "s,/var/lib/nbdkit-remap,$REMAP_STATE_DIR,g" \
        -e 's,/usr/bin/nbdkit,nbdkit,g'
}

end_server ()
{
  kill -KILL "$server_pid" 2>/dev/null && wait "$server_pid" || :
}

# As systemd does: variables are split at blanks, quotes are respected.
[ "$(setting EnvironmentFile)" = /etc/nbdkit-remap/disk1.conf ] ||
  fail "where are the parameters?"
truncate -s 8M "a disk.img"
export REMAP_RUNTIME_DIR=$tmp/run REMAP_LOG_DIR=$tmp
mkdir run srv
unit_of ()
{
  remapctl create --unit dm_name=disk1 main_dev="a disk.img" \
           spare_dev="$tmp/srv/disk1.spare" spare_total=8192 "$@"
}
unit_of --dry-run >disk1.conf
assert_grep "^# The spare isn't there yet" disk1.conf
assert_equal "$(ls srv run)" $'run:\n\nsrv:' "what a dry run leaves"
unit_of >disk1.conf
cat disk1.conf
assert_no_grep 'there yet' disk1.conf
# It has made the spare, and has ended; the sockets are the unit's.
[ -s srv/disk1.spare ] || fail "no spare was made"
assert_equal "$(find run -name 'disk1.*')" "" "what making it has left"
# Once more, it is the same spare.
cksum srv/disk1.spare >sum
unit_of | cmp - disk1.conf
assert_equal "$(cksum srv/disk1.spare)" "$(cat sum)" "the spare"
# What the unit would lose is warned of, and nothing else.
for where in /tmp=1 /var/tmp=1 /srv=0 /tmpdir=0; do
  n=$(cd / && remapctl create --unit --dry-run dm_name=x \
        main_dev="$tmp/a disk.img" spare_dev="${where%=*}/x.spare" 2>&1 |
        grep -c 'put the spare' || :)
  [ -d "${where%=*}" ] || continue
  assert_equal "$n" "$((${where#*=} * 2))" "warnings about ${where%=*}"
done
assert_grep "^REMAP_ARGS=\"file 'file=$tmp/a disk.img'\
 spare=$tmp/srv/disk1.spare spare-size=4194304 spare-create=no\"\$" disk1.conf
command=$(setting ExecStart)
case "$command" in
  # As it is written there, or as setting gives it.
  "/usr/bin/nbdkit -f "*|"nbdkit -f "*) ;;
  *) fail "ExecStart is: $command" ;;
esac
group=$(id -gn)
(
  eval "export $(setting Environment)"
  eval "$(setting ExecStartPre)" || [ "$group" != root ] || fail "ExecStartPre"
  [ "$group" = root ] || mkdir -p run-public
  STATUS_GROUP=$group
  # shellcheck source=/dev/null
  . ./disk1.conf
  eval "echo \"${command#nbdkit }\""
) >words
eval "server=($(cat words))"
nbdkit "${server[@]}" >disk1.log 2>&1 </dev/null &
server_pid=$!
cleanup_fn end_server
is_served ()
{
  remapctl -n disk1 ping >/dev/null 2>&1 || has_ended "$server_pid"
}
eventually is_served || fail "it isn't ready"
assert_equal "$(nbdinfo --size "nbd+unix:///?socket=$tmp/run/disk1.nbd")" 8388608 \
             "size of the export"

remapctl list | tee list
assert_grep '^disk1 ' list
assert_equal "$(stat -c '%a %G' run-public run/disk1.ctl)" \
             "750 $group"$'\n'"600 $group" "the public directory, and control"
assert_equal "$(stat -c '%a %G' run-public/disk1.status)" "660 $group" \
             "the status socket"

# Killed, it leaves its socket, which ExecStartPre removes, and list says where
# the reason is.
end_server 2>/dev/null
after=$(setting ExecStopPost | sed 's/^-//; s/\$\$/$/g')
SERVICE_RESULT=success
export SERVICE_RESULT
eval "$after"
[ ! -e run/disk1.failed ] || fail "the end was no failure"
SERVICE_RESULT=exit-code
eval "$after"
remapctl list | tee list
assert_grep '^disk1 .*not started: journalctl -u .*@disk1 says why' list
export STATUS_GROUP=$group
eval "$(setting ExecStartPre)"
[ ! -e run/disk1.nbd ] || fail "the socket is still there"
[ ! -e run/disk1.failed ] || fail "the reason is still there"
# shellcheck disable=SC2016
nbdkit "${server[@]}" --run 'nbdinfo --size "$uri"' >size
assert_equal "$(cat size)" 8388608 "size of the export, the second time"

# The spare's filesystem isn't mounted: nothing is served, and nothing is made
# in its place; nor by remapctl.
mv srv mounted
mkdir srv
expect_failure nbdkit "${server[@]}" --run true
assert_grep 'is its filesystem mounted' expect.out
expect_failure unit_of
assert_grep 'the disk .*a disk.img has a spare: .*new-spare=yes' expect.out
assert_equal "$(ls srv)" "" "what was made where nothing is mounted"
# What was lost for good gets another one, which the unit takes.
unit_of new-spare=yes | cmp - disk1.conf
# shellcheck disable=SC2016
nbdkit "${server[@]}" --run 'nbdinfo --size "$uri"' >size
assert_equal "$(cat size)" 8388608 "size of the export, with a new spare"
rm -r srv
mv mounted srv
expect_failure nbdkit "${server[@]}" --run true
assert_grep 'has another spare' expect.out

# The other kinds of parameters; a name in /dev/disk/by-id is kept, and what
# would be read as something else is refused.
ln -s "a disk.img" link.img
remapctl create --unit dm_name=disk2 main_dev="$tmp/link.img" main_start=8 \
         spare_dev="$tmp/disk2.spare" listen=192.0.2.1:10809 >disk2.conf
cat disk2.conf
assert_grep '^NBDKIT_ARGS="-i 192.0.2.1 -p 10809"$' disk2.conf
assert_grep "^REMAP_ARGS=\"--filter=offset file file=$tmp/link.img offset=4096\
 spare=$tmp/disk2.spare spare-create=no remap-label=\+8s\"\$" disk2.conf
truncate -s 8M "it's.img"
expect_failure remapctl create --unit main_dev="it's.img" spare_dev=disk3.spare
[ ! -e disk3.spare ] || fail "a spare was made"
assert_grep "it's.img' has quotes, .*systemd would change" expect.out
