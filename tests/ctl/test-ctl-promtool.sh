#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Prometheus' own opinion of what it is told: the manual's recipe is executed
# beside a healthy server, one with LOST sectors, one that was killed and one
# that was refused, and promtool has nothing to say of the file.

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

cleanup_fn stop_all

find_promtool
"$promtool" --version 2>&1 | head -n 1

# It must have something to say of what is wrong.
printf '%s\n' '# HELP x_total X.' '# TYPE x_total counter' 'x_total 1' |
  "$promtool" check metrics
status=0
"$promtool" check metrics <<<'x_total{a="1" 1' || status=$?
[ "$status" -ne 0 ] || fail "promtool accepts what is cut off"
for wrong in '# TYPE x counter' '# HELP x_total X.'; do
  status=0
  printf '%s\n' "$wrong" 'x 1' | "$promtool" check metrics || status=$?
  [ "$status" -ne 0 ] || fail "promtool accepts '$wrong'"
done

truncate -s 8M alive.img lossy.img killed.img other.img
for name in alive lossy killed; do
  ctl 0 create main_dev=$name.img spare_dev=$name.spare dm_name=$name
done
ctl 0 -n lossy import --as=lost <(printf '0x0 ? 1\n0x0 0x200 -\n')
remapctl format other.spare main-size=8M label='an"other\' >/dev/null
ctl 5 create main_dev=other.img spare_dev=other.spare dm_name=refused
kill_server ()
{
  local pid
  pid=$(cat "run/$1.pid")
  kill -9 "$pid"
  eventually has_ended "$pid" || fail "$1 doesn't end"
}
kill_server killed

recipe=$(sed -n 's/^ \* \* \* \* \* root \(.*\)/\1/p' \
             "$abs_top_srcdir/ctl/remapctl.pod")
recipe=${recipe//\/var\/lib\/prometheus\/node-exporter/$tmp/collector}
[ -n "$recipe" ] || fail "the manual has no recipe"
mkdir collector
sh -c "$recipe"
for up in alive=1 lossy=1 killed=0 refused=0; do
  assert_grep "^nbdkit_remap_up\{server=\"${up%=*}\"[^}]*\} ${up#*=}$" \
              collector/remap.prom
done
"$promtool" check metrics <collector/remap.prom ||
  fail "promtool isn't content with the recipe's file"

# One server; with a label that has to be quoted; and none.
for args in "-n lossy" "-n killed" "-s $tmp/nowhere.ctl"; do
  # Words.
  # shellcheck disable=SC2086
  ctl 0 $args status --prometheus --output one.prom
  "$promtool" check metrics <one.prom || fail "promtool isn't content: $args"
done
start_nbdkit quoted --filter=remap file other.img spare=other.spare \
             remap-label='an"other\' remap-control=quoted.ctl
ctl 0 -s quoted.ctl status --prometheus --output one.prom
assert_grep 'disk="an\\"other\\\\"' one.prom
"$promtool" check metrics <one.prom || fail "promtool isn't content: quoted"
