#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A user who may not use a server's control socket, but whose group is its status
# socket's: remapctl with -n NAME, or without a name, shows root's servers, and
# changes nothing (promise 38 of remap-promises(7)).

# /run as it is on a machine of its own.
if [ -z "${REMAP_TEST_INNER:-}" ] && unshare --mount true 2>/dev/null; then
  REMAP_TEST_INNER=1 exec unshare --mount --propagation private "$0"
fi

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"
requires_root
requires_program setpriv
# A user who has no files there, of another run for example.
uid=29574 group=29999
while [ -e "/tmp/nbdkit-remap-$uid" ] || [ -e "/tmp/nbdkit-remap-$uid-public" ] ||
      [ -e "/run/user/$uid" ]; do
  uid=$((uid + 1))
  [ $uid -lt $group ] || fail "all these users have files"
done
[ -n "${REMAP_TEST_INNER:-}" ] || skip "needs a mount namespace"
mount -t tmpfs tmpfs /run || skip "can't mount a /run of its own"
unset REMAP_RUNTIME_DIR

own=$(mktemp -d /tmp/remap-own-XXXXXX)
remove_own ()
{
  rm -rf --one-file-system "$own" "/tmp/nbdkit-remap-$uid" \
     "/tmp/nbdkit-remap-$uid-public"
}
cleanup_fn remove_own
chown $uid "$own"

# as GROUP STATUS ARG...: remapctl of another user.
as ()
{
  local gid=$1 wanted=$2 status=0
  shift 2
  (cd / && exec setpriv --reuid $uid --regid "$gid" --clear-groups \
     env -u XDG_RUNTIME_DIR -u REMAP_STATE_DIR HOME="$own" remapctl "$@") \
    </dev/null >out 2>err || status=$?
  cat err
  assert_equal "$status" "$wanted" "remapctl $* of another user"
}
(cd / && setpriv --reuid $uid --regid $uid --clear-groups \
   test -x "$abs_top_builddir/ctl/remapctl") ||
  skip "another user can't execute what was built"

cleanup_fn stop_all /run/nbdkit-remap

truncate -s 8M main.img
ctl 0 create main_dev=main.img spare_dev=disk.spare dm_name=disk \
    status_group=$group
assert_equal "$(stat -c '%a %g' /run/nbdkit-remap-public)" "750 $group" \
  "the directory of status sockets"
as $group 0 -n disk ping
for command in status table events map "status --prometheus" "status --check" \
               "status --json" "map --json" "table --csv" \
               "background hold cooler" "background release cooler"; do
  # Words.
  # shellcheck disable=SC2086
  as $group 0 -n disk $command
  has_text out || fail "remapctl -n disk $command says nothing"
done
# It is the only one, and so the one that is meant; and is listed.
for command in status table events map ping "status --all --check"; do
  # shellcheck disable=SC2086
  as $group 0 $command
done
as $group 0 list
assert_grep "^disk +$(cat /run/nbdkit-remap/disk.pid)  ok +8.00 MiB  0 remapped" out
as $group 0 list --json
assert_equal "$(json out '[(s["name"], s["control"], s["nbd"], s["running"], s["stopping"]) for s in r]')" \
  "[('disk', '/run/nbdkit-remap-public/disk.status', None, True, False)]" \
  "list --json"
as $group 0 status --all --prometheus
assert_grep '^nbdkit_remap_up\{server="disk"\} 1$' out
# Nothing is changed.
for command in "remap 5" sync clear_stats "set_auto_remap 0"; do
  # shellcheck disable=SC2086
  as $group 1 -n disk $command
  assert_grep "isn't allowed at this socket" err
done

# Those of other groups see nothing.
as $uid 3 -n disk status
as $uid 0 list
assert_grep '^no servers$' out

# A server of the same name of one's own comes first, and both are listed.
truncate -s 8M "$own/main.img"
chown $uid "$own/main.img"
as $group 0 create main_dev="$own/main.img" spare_dev="$own/spare" dm_name=disk \
   logfile="$own/log"
as $group 0 list
assert_grep '^disk +[0-9]+  ok ' out
assert_grep '^/run/nbdkit-remap-public/disk.status +[0-9]+  ok ' out
as $group 0 -n disk set_auto_remap 0
as $group 0 stop disk
rm -rf "/tmp/nbdkit-remap-$uid" "/tmp/nbdkit-remap-$uid-public"

# One that was killed is down.
pid=$(cat /run/nbdkit-remap/disk.pid)
kill -9 "$pid"
eventually has_ended "$pid" || fail "it doesn't end"
as $group 0 list
assert_grep '^disk +-  not running$' out
as $group 3 -n disk status
assert_grep 'disk.ctl: there is no such socket' err
as $group 0 status --all --prometheus
assert_grep '^nbdkit_remap_up\{server="disk"\} 0$' out
remapctl stop disk || :
as $group 0 list
assert_grep '^no servers$' out
as $group 3 -n disk status
assert_grep 'disk.ctl: there is no such socket' err
