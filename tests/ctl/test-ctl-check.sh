#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What tells a monitor how servers are: exit statuses with --check, and a
# file for Prometheus that a killed and a refused server don't keep from being
# written, by the manual's own recipe.

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

cleanup_fn stop_all

# ---- one server, made up ----------------------------------------------

# healthy HEALTH: a server of that health.
healthy ()
{
  sed -n 's/"health":"degraded"/"health":"'"$1"'"/; /^status/p' \
      "$data/disk.replies" >health.replies
  echo 'verify 0 8 -> {"ok":true,"checked":8,"bad":0,"runs":[]}
verify 8 8 -> {"ok":true,"checked":8,"bad":1,"runs":[]}' >>health.replies
  fake health.replies
}
for wanted in ok=0 degraded=10 critical=11 main-lost=11 hanging=11; do
  healthy "${wanted%=*}"
  ctl 0 status
  ctl "${wanted#*=}" status --check
  assert_grep "^health +${wanted%=*}$" out
  ctl "${wanted#*=}" status --check --json
done
ctl 0 verify 0 8
ctl 0 verify 8 8
ctl 0 verify --check 0 8
ctl 10 verify --check 8 8
ctl 10 verify --check --json 8 8
says 'unknown option' 2 remap --check 0 8
says 'watch' 2 status --watch --check
says 'watch' 2 status --watch --output x
fake <(printf '%s\n' 'verify.* -> {"ok":false,"error":"main is lost"}' \
              'status -> {"ok":true,"main":{"lost":true}}')
ctl 1 verify 0 8
ctl 11 verify --check 0 8
fake <(printf '%s\n' 'verify.* -> {"ok":false,"error":"beyond the end"}' \
              'status -> {"ok":true,"main":{"lost":false}}')
ctl 1 verify --check 0 8
end_fake
ctl 3 status --check
ctl 3 verify --check 0 8

# ---- --json, or an error that it isn't there ---------------------------
for c in "check x" "format x main-size=1G" "relabel x y" \
         "create main_dev=x spare_dev=y" "stop x"; do
  case "$c" in create*) status=3 ;; *) status=2 ;; esac
  # shellcheck disable=SC2086
  says 'no --json' $status $c --json
  # shellcheck disable=SC2086
  says 'no --json' $status --json $c
done
says 'no --json' 2 grow --json --spare=x 1G

# ---- --output ----------------------------------------------------------
healthy degraded
ctl 0 status --prometheus --output one.prom
[ ! -s out ] || fail "something was printed"
assert_grep '^nbdkit_remap_up\{.*\} 1$' one.prom
assert_equal "$(stat -c %a one.prom)" "$(printf '%o' $((0666 & ~$(umask))))" \
  "the mode of the file"
cp one.prom before
ctl 10 status --prometheus --check --output one.prom
# What isn't complete leaves the file as it was.
fake <(echo 'status -> {"ok":true,"health":"ok"}')
ctl 3 status --output one.prom
ctl 3 status --json --output one.prom
ctl 2 status --prometheus --output one.prom --all=x
cmp before one.prom
healthy ok
ctl 1 status --prometheus --output /nowhere/one.prom
mkdir directory
ctl 1 status --prometheus --output directory
# No server is something to be told, and so is one that isn't understood.
fake <(echo 'status -> {"ok":true,"health":"ok"}')
remapctl status --prometheus --output two.prom 2>err
assert_grep "can't be understood" err
assert_grep '^nbdkit_remap_up\{.*\} 0$' two.prom
end_fake
ctl 0 status --prometheus --output one.prom
assert_grep '^nbdkit_remap_up\{.*\} 0$' one.prom
assert_no_grep '^nbdkit_remap_health' one.prom
[ -z "$(find . -name '.*.prom.*' -o -name '.directory.*')" ] ||
  fail "temporary files: $(ls -a)"
unset REMAP_CONTROL

# ---- the manual's recipe, with servers that have gone --------------------
truncate -s 8M alive.img killed.img other.img hung{1,2,3}.img
for name in alive killed; do
  ctl 0 create main_dev=$name.img spare_dev=$name.spare dm_name=$name
done
remapctl format other.spare main-size=8M label=another >/dev/null
# The spare is of another disk.
says 'labelled "another", but main_dev is ""' 5 create main_dev=other.img \
     spare_dev=other.spare dm_name=refused main_start=0 logfile=refused.log
kill -9 "$(cat run/killed.pid)"
is_down ()
{
  remapctl list >list.out && grep -q '^killed .*not running' list.out
}
eventually is_down || fail "a server that was killed is running?"

recipe=$(sed -n 's/^ \* \* \* \* \* root \(.*\)/\1/p' \
             "$abs_top_srcdir/ctl/remapctl.pod")
recipe=${recipe//\/var\/lib\/prometheus\/node-exporter/$tmp/collector}
[ -n "$recipe" ] || fail "the manual has no recipe"
mkdir collector
echo old >collector/remap.prom
sh -c "$recipe"
assert_equal "$(ls -A collector)" remap.prom "what is in the collector's folder"
for up in alive=1 killed=0 refused=0; do
  assert_grep "^nbdkit_remap_up\{server=\"${up%=*}\"\} ${up#*=}$" \
              collector/remap.prom
done
# promtool's opinion if there is one, and of a parser in any case.
if command -v promtool >/dev/null; then
  promtool check metrics <collector/remap.prom
fi
/usr/bin/python3 "$abs_top_srcdir/tests/ctl/prometheus.py" collector/remap.prom

# The reasons are where one looks for them.
ctl 0 list
assert_grep '^refused +-  not started: spare_dev=.*(label|disk)' out
assert_grep '^alive +[0-9]+  ok ' out
ctl 0 list --json
assert_equal "$(json out '[(s["name"], s["health"], bool(s["refused"])) for s in r]')" \
  "[('alive', 'ok', False), ('killed', None, False), ('refused', None, True)]" \
  "list --json"
ctl 3 status --all
assert_grep '^refused: not started: spare_dev=' out
assert_grep '^killed: no answer: ' out
ctl 3 status --all --check
ctl 3 status --all --json
assert_equal "$(json out '[r[n] is None for n in ("alive", "killed", "refused")]')" \
  "[False, True, True]" "status --all --json"
says 'not running any more' 3 stop killed
says 'was not running; .* why it did not start is forgotten' 3 stop refused
ctl 0 list
assert_no_grep 'killed|refused' out
ctl 0 status --all --check
# The one that is left is the one that is meant.
ctl 0 ping
ctl 0 status --check
ctl 0 table
ctl 0 events
ctl 0 status --prometheus
assert_grep '^nbdkit_remap_up\{server="alive"\} 1$' out
# Only where nothing is changed.
says 'which server.*alive' 2 remap 8
says 'which server.*alive' 2 sync
ctl 0 create main_dev=other.img spare_dev=two.spare dm_name=two
says 'which server.*alive, two' 2 ping

# ---- one that hangs ------------------------------------------------------
# It costs the others nothing, and three of them no more than one.
mkdir hung
for i in 1 2 3; do
  ctl 0 create main_dev=hung$i.img spare_dev=hung$i.spare dm_name=hung$i
  kill -STOP "$(cat run/hung$i.pid)"
done
continue_all ()
{
  local i
  for i in 1 2 3; do
    kill -CONT "$(cat run/hung$i.pid)" || :
  done
}
cleanup_fn continue_all
strace -f -e trace=poll -o trace remapctl --timeout=1 status --all \
       --prometheus >out 2>err || {
  # Without strace only what is printed is looked at.
  remapctl --timeout=1 status --all --prometheus >out
  : >trace
}
assert_equal "$(grep -c '^nbdkit_remap_up{.*} 0$' out)" 3 "servers that are down"
assert_equal "$(grep -c '^nbdkit_remap_up{.*} 1$' out)" 2 "servers that are up"
if [ -s trace ]; then
  assert_equal "$(grep -c 'poll(.*= 0 (Timeout)' trace)" 1 "waits that were in vain"
fi
ctl 0 --timeout=1 list
assert_equal "$(grep -c 'no answer' out)" 3 "servers without an answer"
continue_all
