#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Which servers remapctl knows: also those that were started by hand, until
# they end or are killed; and the run-time directory of users who have none
# (cron, su, sudo -u).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

# ---- by hand -----------------------------------------------------------
truncate -s 8M main.img other.img named.img
says 'no servers' 0 list
says 'no servers' 0 status --all
start_nbdkit hand --filter=remap file main.img spare=hand.spare \
             remap-control=hand.ctl
# announced N: so many servers have.  It comes when nbdkit's socket is there.
announced ()
{
  [ "$(find run -name '*.server' 2>/dev/null | wc -l)" = "$1" ]
}
eventually announced 1 || fail "it isn't announced: $(ls run)"
assert_equal "$(cat run/*.server)" "$pid $tmp/hand.ctl" "the line"
assert_equal "$(stat -c %a run)" 700 "the mode of the run-time directory"
ctl 0 list
assert_grep "^$tmp/hand.ctl +$pid  ok +8.00 MiB  0 remapped, 0 LOST$" out
ctl 0 list --json
assert_equal "$(json out '[(s["name"], s["control"], s["nbd"], s["running"]) for s in r]')" \
  "[('$tmp/hand.ctl', '$tmp/hand.ctl', None, True)]" "list --json"
# It is the only one, and so the one that is meant.
ctl 0 ping
ctl 0 map
ctl 0 status --all --prometheus
assert_grep "^nbdkit_remap_up\{server=\"$tmp/hand.ctl\"\} 1$" out
# A second one; and one of create is listed once.
start_nbdkit other --filter=remap file other.img spare=other.spare \
             remap-control="$tmp/other.ctl"
eventually announced 2 || fail "it isn't announced: $(ls run)"
ctl 0 create main_dev=named.img spare_dev=named.spare dm_name=named
ctl 0 list
assert_equal "$(wc -l <out)" 3 "servers"
assert_grep '^named ' out
says 'which server.*named.*hand.ctl' 2 status
stop_nbdkit other
kill_nbdkit hand
# One that was killed is recognised, and what it left is removed.
assert_equal "$(find run -name '*.server' | wc -l)" 2 "announcements"
ctl 0 list
assert_equal "$(cat out | wc -l)" 1 "servers"
assert_equal "$(find run -name '*.server' | wc -l)" 1 "announcements"
ctl 0 stop named
[ -z "$(ls -A run)" ] || fail "files were left: $(ls -A run)"
# Whatever else is called so.
printf 'x' >run/x.server
printf '1 /nowhere\n' >run/y.server
ln -s /etc/passwd run/z.server
mkdir run/d.server
says 'no servers' 0 list
rm -rf run

# A server that can't announce itself serves all the same.
: >file
REMAP_RUNTIME_DIR=$tmp/file start_nbdkit silent --filter=remap file main.img \
                 spare=hand.spare remap-control="$tmp/silent.ctl"
answers ()
{
  remapctl -s silent.ctl ping >/dev/null 2>&1
}
eventually answers || fail "it doesn't serve"
ctl 0 -s silent.ctl ping
says 'no servers' 0 list
stop_nbdkit silent
# In the background, too.
nbdkit -U bg.sock -P bg.pid --filter=remap file main.img spare=hand.spare \
       remap-control="$tmp/bg.ctl"
cleanup_fn end_bg
end_bg ()
{
  kill "$(cat bg.pid)" 2>/dev/null || :
}
listed ()
{
  remapctl list >list.out && grep -q "^$tmp/bg.ctl +*" list.out
}
eventually listed || fail "a server in the background isn't listed"
assert_grep "^$(cat bg.pid) " run/*.server
end_bg
gone ()
{
  [ -z "$(ls -A run)" ]
}
eventually gone || fail "files were left: $(ls -A run)"

# One that was refused leaves its reason, in the background too, where only main's
# size tells it.
truncate -s 16M larger.img
refused_by_hand ()
{
  rm -f bg.sock bg.pid
  nbdkit -U bg.sock -P bg.pid --filter=remap file "$1" spare=hand.spare \
         remap-control="$tmp/bg.ctl" >/dev/null 2>&1 || :
  eventually listed_refused || fail "it isn't listed: $(cat list.out)"
}
listed_refused ()
{
  remapctl list >list.out && grep -qE "^$tmp/bg.ctl +-  not started: " list.out
}
refused_by_hand larger.img
assert_grep 'not started: spare .* belongs to a disk of 8388608 bytes' list.out
ctl 3 status --all
assert_grep "^$tmp/bg.ctl: not started: spare .* belongs to a disk" out
ctl 0 status --all --prometheus
assert_grep "^nbdkit_remap_up\{server=\"$tmp/bg.ctl\"\} 0$" out
ctl 0 list --json
assert_equal "$(json out '[(s["pid"], s["running"], "belongs" in s["refused"]) for s in r]')" \
  "[(0, False, True)]" "list --json"
# Until it starts.  A second one at the same socket is not this server's affair.
start_nbdkit hand --filter=remap file main.img spare=hand.spare \
             remap-control="$tmp/bg.ctl"
eventually announced 1 || fail "it isn't announced: $(ls run)"
says "^$tmp/bg.ctl +$pid  ok " 0 list
expect_failure nbdkit -U - --filter=remap file main.img spare=hand2.spare \
               remap-control="$tmp/bg.ctl" --run true
stop_nbdkit hand
[ -z "$(ls -A run)" ] || fail "files were left: $(ls -A run)"
# Or somebody forgets it; or before it is in the background, with no directory
# for the socket any more.
expect_failure nbdkit -U - --filter=remap file main.img spare=hand.spare \
               spare-size=1 remap-control="$tmp/bg.ctl" --run true
says 'no servers' 0 list
expect_failure nbdkit -U - --filter=remap file main.img spare=nowhere/spare \
               remap-control="$tmp/bg.ctl" --run true
says 'not started: .*nowhere/spare' 0 list
# What is said last counts: a spare whose filesystem isn't mounted.
expect_failure nbdkit -U - --filter=remap file main.img spare=away.spare \
               spare-create=no remap-control="$tmp/bg.ctl" --run true
says 'not started: .*away.spare.* is its filesystem mounted' 0 list
says 'was not running; .* is forgotten' 3 stop "$tmp/bg.ctl"
says 'was not started by create' 2 stop "$tmp/bg.ctl"
says 'no servers' 0 list
mkdir gone
expect_failure nbdkit -U - --filter=remap file main.img spare=nowhere/spare \
               remap-control="$tmp/gone/ctl" --run true
says 'gone/ctl +-  not started: .*nowhere/spare' 0 list
rmdir gone
says 'no servers' 0 list
[ -z "$(ls -A run)" ] || fail "files were left: $(ls -A run)"

# ---- users without a run-time directory --------------------------------
# Another user, who has nothing but an environment like cron's.
requires_root
requires_program setpriv
uid=29573
dir=/tmp/nbdkit-remap-$uid
if [ -e "$dir" ] || [ -e "/run/user/$uid" ] || [ ! -k /tmp ]; then
  skip "needs a user without files"
fi
remove_dir ()
{
  rm -rf "$dir"
}
cleanup_fn remove_dir
# Files of his own: he can't enter the test's directory.
own=$(mktemp -d /tmp/remap-own-XXXXXX)
remove_own ()
{
  rm -rf --one-file-system "$own"
}
cleanup_fn remove_own
truncate -s 8M "$own/main.img"
chown -R $uid "$own"
as_cron ()
{
  setpriv --reuid $uid --regid $uid --clear-groups env -u XDG_RUNTIME_DIR \
          -u REMAP_RUNTIME_DIR -u REMAP_STATE_DIR HOME="$own" REMAP_LOG_DIR="$own" "$@"
}
as_cron test -r "$abs_top_builddir/ctl/remapctl" ||
  skip "another user can't read the build directory"
as_cron remapctl create main_dev="$own/main.img" spare_dev="$own/s" dm_name=cron \
        >create.out 2>&1 || { cat create.out; fail "create without XDG"; }
assert_equal "$(stat -c '%a %u' "$dir")" "700 $uid" "the directory in /tmp"
as_cron remapctl list >list.out
assert_grep '^cron +[0-9]+ +ok ' list.out
as_cron remapctl ping
# What su leaves of root's environment isn't used.
mkdir -m 700 xdg
as_cron env XDG_RUNTIME_DIR="$tmp/xdg" remapctl list >list.out
assert_grep '^cron ' list.out
# Nor is a directory that isn't there: root's is gone when root logs out.
as_cron env XDG_RUNTIME_DIR="$own/nowhere" remapctl list >list.out
assert_grep '^cron ' list.out
# Logged in, the same user finds it, and stops it.
mkdir -m 700 "$own/xdg"
chown $uid "$own/xdg"
as_cron env XDG_RUNTIME_DIR="$own/xdg" remapctl list >list.out
assert_grep '^cron ' list.out
as_cron env XDG_RUNTIME_DIR="$own/xdg" remapctl stop cron
as_cron remapctl list >list.out
assert_grep 'no servers' list.out
# A member of the group of root's server asks it by its name, and can't steer it.
if unshare --mount true; then
  export -f as_cron
  export uid own
  unshare --mount bash -eu -c '
    mount -t tmpfs -o mode=755 tmpfs /run
    cd "$1"
    env -u REMAP_RUNTIME_DIR remapctl create main_dev=main.img \
        spare_dev=roots.spare dm_name=roots status_group=$uid >roots.out
    as_cron remapctl -n roots status >status.out || :
    as_cron remapctl -n roots sync >sync.out 2>&1 || :
    as_cron remapctl -n others status >others.out 2>&1 || :
    env -u REMAP_RUNTIME_DIR remapctl stop roots' - "$tmp"
  cat roots.out status.out sync.out others.out
  assert_grep '^health +ok' status.out
  assert_grep "isn't allowed at this socket" sync.out
  assert_grep '/others.ctl: there is no such socket' others.out
fi
# What somebody else has put there isn't believed.
for how in "chmod 770" "chown 0" "ln"; do
  rm -rf "$dir"
  mkdir -m 700 "$dir"
  chown $uid "$dir"
  case "$how" in
    ln) mv "$dir" "$own/dir"
        ln -s "$own/dir" "$dir"
        chown -h $uid "$dir" ;;
    *) $how "$dir" ;;
  esac
  status=0
  as_cron remapctl list >list.out 2>&1 || status=$?
  assert_equal "$status" 2 "list after $how"
  assert_grep 'not a directory of yours' list.out
  rm -rf "$dir"
done
