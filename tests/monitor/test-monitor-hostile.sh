#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Servers that hang, lie, send megabytes, or text that would steer a terminal
# or a mail: each is told of as one that doesn't answer, or by its text made
# harmless; a real one beside them is told of; and the monitor stays small (promise 39 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/monitor.sh"

record_hook
create real

fake_pids=()
end_fakes ()
{
  local pid
  for pid in "${fake_pids[@]}"; do
    kill "$pid" 2>/dev/null && wait "$pid" || :
  done
}
cleanup_fn end_fakes

# false_server NAME: what it says is on stdin, see fake-server.py.
false_server ()
{
  cat >"$1.rules"
  /usr/bin/python3 "$abs_top_srcdir/tests/ctl/fake-server.py" \
                   "$tmp/run-public/$1.status" "$1.rules" >/dev/null 2>&1 &
  fake_pids+=($!)
}

status=$(remapctl -n real status --json)
for how in close half huge nested binary nul empty silent; do
  false_server "$how" <<EOF
.* -> !$how
EOF
done
false_server refuses <<'EOF'
.* -> {"ok":false,"error":"no\nSubject: x"}
EOF
false_server lacks <<'EOF'
.* -> {"ok":true,"health":"ok","events":[],"next":1,"missed":0}
EOF
# The same event for ever, with other numbers.
false_server floods <<EOF
status -> $status
events .* -> {"ok":true,"events":[$(printf '{"number":1,"time":1,"ms":1,"kind":"x","severity":"info","text":"%0900d"},' $(seq 900))],"next":7,"missed":0}
map .* -> {"ok":true}
EOF
sed -i 's/,\],"next"/],"next"/' floods.rules
false_server steers <<EOF
status -> $(sed 's/"health":"ok","reasons":\[\]/"health":"degraded","reasons":["a\\nBcc: x\\u001b[2J\\u009bx"]/' <<<"$status")
events 0 wait -> {"ok":true,"events":[{"number":1,"time":99999999999999999,"ms":5000,"kind":"k\\nBcc: y","severity":"error","text":"t\\u001b]0;x\\u0007\\n.\\nmore"}],"next":2,"missed":0}
events .* -> !silent
map .* -> {"ok":true,"counts":[[1,2]]}
EOF
for name in close half huge nested binary nul empty silent refuses lacks \
            floods steers; do
  eventually exists "run-public/$name.status" || fail "$name isn't ready"
done

monitor
lose real 9
await_told ' problem warning real: '
for name in close half huge nested binary nul empty silent refuses lacks; do
  await_told " problem error $name: .*disk $name: no answer: "
done
# The event comes with the state, or after it.
await_told ' (problem|event) error steers: .*degraded: a\?Bcc: x\?\[2J\?x$'
n=$(sed -nE 's/ (problem|event) error steers: .*degraded.*//p' told | head -n 1)
# No control character but the newlines between lines.
if LC_ALL=C grep -n '[[:cntrl:]]' told text.*; then
  fail "text that steers"
fi
assert_grep '^  [0-9: @-]+  k\?Bcc: y: t\?\]0;x\?\?\.\?more$' "text.$n"
assert_no_grep '^(Bcc|Subject|\.)' "text.$n"

peak=$(awk '/^VmHWM:/ { print $2 }' "/proc/$monitor_pid/status")
echo "peak: $peak KiB"
is_instrumented || [ "$peak" -lt 65536 ] || fail "$peak KiB"
end_monitor
