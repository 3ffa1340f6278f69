#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The programs of events.d: one that hangs is ended, with all that it has
# started, and holds up no other; one that fails is run again; one that is under
# way when the monitor is killed is waited for, and not run twice; and what
# others could change isn't run (promise 39 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/monitor.sh"

record_hook
create a

hook hangs <<EOF
#!/bin/sh
trap '' TERM
sleep 1000 &
echo \$! >>$tmp/sleepers
sleep 1001
EOF
hook fails <<EOF
#!/bin/sh
echo "\$REMAP_KIND" >>$tmp/failed
exit 3
EOF
hook others <<EOF
#!/bin/sh
touch $tmp/others
EOF
chmod 777 config/events.d/others
hook others.dpkg-old <<EOF
#!/bin/sh
touch $tmp/others
EOF

monitor --hook-timeout=1
lose a 1
await_told ' problem warning a: '
await_log 'events.d/hangs has failed: it hangs, and was ended' monitor.log
await_log 'events.d/fails has failed: status 3' monitor.log
await_log 'others is not run: others can change it' monitor.log
eventually has_ended "$(head -n 1 sleepers)" || fail "what it has started lives"
[ ! -e others ] || fail "a program that others can change was run"
end_monitor
assert_equal "$(told_lines)" "problem warning a:" "what was told"

# --test says which of them don't do their work.
expect_failure remap-monitor --test --config=config --hook-timeout=1
assert_grep 'events.d/record: done' expect.out
assert_grep 'events.d/hangs: failed: it hangs' expect.out
assert_grep 'events.d/fails: failed: status 3' expect.out
rm config/events.d/{hangs,fails,others,others.dpkg-old} told

# A program is under way when the monitor is killed.  The next one knows when
# it has done its work, and doesn't begin again.
mkfifo go
hook slow <<EOF
#!/bin/sh
echo "begins \$REMAP_ID" >>$tmp/slow
[ -e $tmp/went ] || read -r line <$tmp/go
echo "ends \$REMAP_ID" >>$tmp/slow
EOF
monitor
lose a 3
ctl 0 -n a forget-lost 1 3
is_slow ()
{
  grep -q begins slow 2>/dev/null
}
eventually is_slow || fail "the slow program doesn't begin"
end_monitor KILL
rm -f told
monitor
# It has looked at all programs when it tells the next thing.
: >config/missing.conf
await_told ' problem error missing: '
touch went
echo >go
has_ended_slow ()
{
  grep -q ends slow
}
eventually has_ended_slow || fail "the slow program doesn't end"
is_delivered ()
{
  [ -z "$(ls state/hooks)" ]
}
eventually is_delivered || fail "the delivery isn't noted"
end_monitor
assert_equal "$(sort slow | uniq -d)" "" "a message that was delivered twice"

# One that was killed with the monitor has not done its work: it is run again.
rm -f slow
cat >config/events.d/slow <<EOF
#!/bin/sh
echo "\$\$ \$REMAP_ID" >>$tmp/slow
[ "\$(wc -l <$tmp/slow)" -gt 1 ] || exec sleep 1000
EOF
monitor
lose a 5
eventually has_text slow || fail "the slow program doesn't begin"
end_monitor KILL
read -r program id <slow
parent=$(awk '/^PPid:/ { print $2 }' "/proc/$program/status")
kill -9 "$parent" "$program"
eventually has_ended "$parent" || fail "it lives"
monitor
is_told_again ()
{
  [ "$(grep -c " $id\$" slow)" = 2 ]
}
eventually is_told_again || fail "it wasn't told again"
eventually is_delivered || fail "the delivery isn't noted"
end_monitor
