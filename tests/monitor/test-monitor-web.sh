#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What the monitor shows: metrics that promtool likes, a server that was killed
# is up 0; pages in which whatever a server says is text; what may be asked, by
# whom, and under which name; and clients that hang, flood or stay hold up
# neither others nor alerts (promise 39 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/monitor.sh"

requires_program curl
record_hook
create a
create b

# A name and texts that would be markup.
status=$(remapctl -n a status --json | /usr/bin/python3 -c 'import json, sys
r = json.load(sys.stdin)
r["main"]["label"] = "<script>alert(1)</script>\"\x27&amp;\u202e"
print(json.dumps(r))')
cat >rules <<EOF
status -> $status
events 0 wait -> {"ok":true,"events":[{"number":1,"time":1,"ms":5,"kind":"<b>","severity":"error","text":"<img src=x onerror=y>"}],"next":2,"missed":0}
events .* -> !silent
map .* -> {"ok":true,"size":8388608,"cells":4096,"counts":[[1,0,3,0],[2,"<script>",1,0],[99999,1,1,1],["x"],7]}
EOF
/usr/bin/python3 "$abs_top_srcdir/tests/ctl/fake-server.py" \
                 "$tmp/run-public/fake.status" rules >/dev/null 2>&1 &
# shellcheck disable=SC2034
fake_pid=$!
# web ARG...: of the monitor at the Unix socket.
web ()
{
  curl --silent --show-error --max-time 60 --unix-socket "$tmp/web" "$@"
}

monitor --listen="$tmp/web"
eventually exists web || fail "the monitor doesn't listen"
assert_equal "$(stat -c %a web)" 660 "mode of the socket"
is_up ()
{
  web http://x/metrics >metrics && grep -q "^nbdkit_remap_up{server=\"$1\"} $2$" metrics
}
for name in a b fake; do
  eventually is_up $name 1 || fail "$name isn't up"
done

# Metrics, as Prometheus' own checker sees them.
find_promtool
"$promtool" check metrics <metrics || fail "promtool isn't content"
kill_server b
eventually is_up b 0 || fail "b is up"
"$promtool" check metrics <metrics || fail "promtool isn't content"
assert_no_grep '^nbdkit_remap_sectors\{server="b"' metrics
web -D head -H 'Accept: application/openmetrics-text; version=1.0.0' \
    http://x/metrics >open
assert_grep '^Content-Type: application/openmetrics-text; version=1.0.0' head
assert_equal "$(tail -n 1 open)" '# EOF' "the end of OpenMetrics"
assert_grep '^# TYPE nbdkit_remap_requests counter$' open
assert_grep '^nbdkit_remap_requests_total\{' open
assert_equal "$(web http://x/healthz)" ok healthz

# Rules for alerts, and what fires when.
"$promtool" check rules "$abs_top_srcdir/examples/alerts.yml" ||
  fail "examples/alerts.yml"
cp "$abs_top_srcdir/examples/alerts.yml" .
cp "$abs_top_srcdir/tests/monitor/alerts-test.yml" .
"$promtool" test rules alerts-test.yml ||
  fail "alerts-test.yml"

# JSON.
web http://x/json >list
assert_equal "$(json list '[(s["server"], s["up"], s["health"]) for s in r]')" \
  "[('a', True, 'ok'), ('b', False, 'no answer'), ('fake', True, 'ok')]" \
  "JSON"

# Pages.
lose a 77
has_loss ()
{
  web 'http://x/disk?server=a' >a.html && grep -q 'class="lost"' a.html &&
    grep -q '<title>sectors 76 to 79: 1 lost' a.html
}
eventually has_loss || fail "the loss isn't shown"
assert_grep '<code>remapctl -n a table --states=lost</code>' a.html
has_fake ()
{
  web 'http://x/disk?server=fake' >fake.html &&
    grep -q '&lt;img src=x onerror=y&gt;' fake.html &&
    grep -q '<title>sectors 4 to 7: 3 lost' fake.html
}
eventually has_fake || fail "the fake isn't shown"
web -D head http://x/ >all.html
assert_grep "^Content-Security-Policy: default-src 'none'; style-src 'self'" head
for page in all fake a; do
  assert_no_grep '<script>|<img|<b>&|onerror=y>$' $page.html
  assert_no_grep $'\u202e' $page.html
  assert_no_grep '(src|href)="(https?:)?//' $page.html
  ! command -v tidy >/dev/null || tidy -q -e $page.html
done
assert_grep '&lt;script&gt;alert\(1\)&lt;/script&gt;&quot;&#39;&amp;amp;' \
            all.html
web http://x/style.css | grep -q prefers-color-scheme || fail "the style"
web http://x/script.js >script.js
! command -v node >/dev/null || node --check script.js

# Nothing can be changed, and there is nothing else.
for method in POST PUT DELETE OPTIONS; do
  assert_equal "$(web -X $method -o out -w '%{http_code}' http://x/)" 405 $method
done
assert_equal "$(web -I -o out -w '%{http_code}' http://x/)" 200 HEAD
for url in /x /../etc/passwd '/disk?server=nobody' /disk '/disk?server=%00a'; do
  assert_equal "$(web --path-as-is -o out -w '%{http_code}' "http://x$url")" \
               404 "$url"
done

# Changes are told to those who wait, and those who stay hold up nobody: more
# clients than may be connected, who say nothing, or half of something.
web --no-buffer http://x/changes >changes &
listener=$!
await_log 'still there' changes
cat >flood.py <<'PY'
import socket, sys
held = []
for i in range(80):
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(0.2)
    try:
        s.connect("web")
        s.sendall((b"", b"GET / HTTP/1.1\r\nHost: ", b"GET /" + b"x" * 30000,
                   b"\0\xff" * 100 + b"\r\n\r\n")[i % 4])
    except OSError:
        pass
    held.append(s)
print("held", flush=True)
sys.stdin.read()
PY
mkfifo end
/usr/bin/python3 flood.py <end >held &
flood=$!
exec 8>end
await_log held held
lose a 99
await_log '^data: ' changes
ctl 0 -n a forget-lost 77
ctl 0 -n a forget-lost 99
await_told ' recovery notice a: '
exec 8>&-
wait $flood
kill $listener
wait $listener || :
is_served ()
{
  [ "$(web http://x/healthz)" = ok ]
}
eventually is_served || fail "nobody is served after that"
end_monitor
[ ! -e web ] || fail "the socket is left"

# TCP: others' names aren't this machine's, and elsewhere needs a token.
port=$(/usr/bin/python3 -c 'import socket
s = socket.socket()
s.bind(("127.0.0.1", 0))
print(s.getsockname()[1])')
for wrong in "0.0.0.0:$port" "[::]:$port" "192.0.2.1:$port"; do
  expect_failure remap-monitor --config=config --state=state --listen="$wrong"
  assert_grep 'needs --token=FILE' expect.out
done
for wrong in "127.0.0.1" ":1" "localhost:$port" "x" "127.0.0.1:99999999"; do
  expect_failure remap-monitor --config=config --state=state --listen="$wrong"
  assert_grep 'ADDRESS:PORT is wanted|nvalid argument' expect.out
done
code ()
{
  curl --silent --max-time 60 -o out -w '%{http_code}' "$@" \
       "http://127.0.0.1:$port/healthz" || :
}
is_code ()
{
  [ "$(code "${@:2}")" = "$1" ]
}
monitor --listen="127.0.0.1:$port"
eventually is_code 200 || fail "TCP"
assert_equal "$(code -H 'Host: evil.example')" 403 "another's name"
assert_equal "$(code -H "Host: localhost:$port")" 200 localhost
end_monitor

echo secret-0123456789 >token
chmod 644 token
expect_failure remap-monitor --config=config --state=state --token=token \
               --listen="0.0.0.0:$port"
assert_grep 'others can read it' expect.out
chmod 600 token
monitor --listen="0.0.0.0:$port" --token=token
eventually is_code 200 -H 'Authorization: Bearer secret-0123456789' ||
  fail "the token isn't taken"
assert_equal "$(code)" 401 "no token"
assert_equal "$(code -H 'Authorization: Bearer secret-012345678')" 401 short
assert_equal "$(code -H 'Authorization: Bearer secret-01234567890')" 401 long
assert_equal "$(code -u remap:secret-0123456789)" 200 "Basic"
assert_equal "$(code -u x:secret-0123456789)" 401 "another user"
end_monitor
