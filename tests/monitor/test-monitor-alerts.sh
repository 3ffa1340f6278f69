#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# remap-monitor and real servers: what is wrong is told once, also by a monitor
# that was killed and started again; what lasts is reminded of, and its end is
# told; a server that should be there and isn't is told of, and one that was
# stopped isn't (promise 39 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/monitor.sh"

record_hook
create a
create b


# A test needs neither a server nor a history.
remap-monitor --config=config --state=nowhere --test >out
assert_grep 'events.d/record: done' out
await_told '^0 test notice :'
rm told

# A loss is told, and which sector it was is in the text.
monitor
lose a 77
await_told ' problem warning a: .*disk a: degraded: 1 sector is lost'
n=$(sed -n 's/ problem .*//p' told)
assert_grep 'What to do: .*remapctl -n a table --states=lost' "text.$n"
assert_equal "$(json "json.$n" 'r["server"], r["health"], r["kind"]')" \
             "('a', 'degraded', 'problem')" "the JSON"

# Killed and started again: it isn't told twice.  What happened meanwhile is
# told: b was killed.
end_monitor KILL
kill_server b
monitor
await_told ' problem error b: .*disk b: no answer: .*nobody listens there'
assert_equal "$(told_lines)" "problem warning a:
problem error b:" "what was told"

# b is back, and a's sector is given up.
rm run/b.pid run/b.ctl run/b.nbd
create b
await_told ' recovery notice b: .*disk b is well again'
ctl 0 -n a forget-lost 77
await_told ' recovery notice a: '
assert_equal "$(told_lines | sort)" "problem error b:
problem warning a:
recovery notice a:
recovery notice b:" "what was told"
end_monitor

# A server that is stopped by its owner is no news; one that is configured and
# doesn't run is.  One reminder after the other comes while it lasts.
rm told
ctl 0 stop b
: >config/c.conf
monitor --reminder=1
await_told ' problem error c: .*disk c: no answer: .*no such socket'
await_told ' reminder error c: .*disk c is still no answer'
end_monitor
assert_grep 'What to do: .*systemctl status nbdkit-remap@c' \
            "text.$(sed -n 's/ problem .*//p' told)"
assert_no_grep ' [ab]: ' told

# Nobody wants it any more: that is said, once.
rm told config/c.conf
monitor
await_told ' gone notice c: '
end_monitor
assert_equal "$(told_lines)" "gone notice c:" "what was told"

# Two monitors don't share a history.
before=$(grep -c 'history in' monitor.log)
monitor
has_begun ()
{
  [ "$(grep -c 'history in' monitor.log)" -gt "$1" ]
}
eventually has_begun "$before" || fail "it doesn't begin"
expect_failure remap-monitor --config=config --state=state
assert_grep 'another monitor is using it' expect.out
end_monitor

# A history that can't be read is put aside.
for i in 1 2 3 4 5 6 7 8; do printf 'rubbish %d' $i; done >state/history.db
rm -f state/history.db-*
rm -f told
lose a 5
monitor
await_told ' problem warning a: '
end_monitor
[ -e state/history.db.broken ] || fail "where is the old history?"
