#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A server in the background, as services are: bad sectors that turn up
# after the fork are remapped there, with locks and memory that the child
# has (promises 3 and 22 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 100+50
daemon ()
{
  rm -f d.pid d.sock
  nbdkit -U "$tmp/d.sock" -P "$tmp/d.pid" --filter=remap --filter=baddisk \
         file main.img spare=spare.img baddisk-list=bad.txt
  eventually has_text d.pid || fail "no pid file"
  daemon_pid=$(cat d.pid)
}
end ()
{
  kill -s "$1" "$daemon_pid"
  eventually has_ended "$daemon_pid" || fail "the server didn't end"
  daemon_pid=
}
# shellcheck disable=SC2317
end_if_running ()
{
  [ -z "$daemon_pid" ] || kill "$daemon_pid" 2>/dev/null
}
daemon_pid=
cleanup_fn end_if_running
export URI="nbd+unix:///?socket=$tmp/d.sock"

daemon
client <<'PY'
for s in range(100, 150):
    write(s, pattern(s))
PY
PLUGIN='file orig.img' refused 'spare.img: is in use'
end KILL
daemon
client <<'PY'
for s in range(100, 150):
    is_(read(s), pattern(s))
PY
end TERM
daemon
client <<<'is_(read(149), pattern(149))'
end TERM
cmp main.img orig.img
