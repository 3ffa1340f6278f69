#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# examples/remap-monitor.service: systemd finds nothing wrong with it, and
# little that it could do; the monitor says to it that it is ready; and the
# programs of monitor/events.d tell syslog, sendmail, an SMTP server, and a URL.

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/monitor.sh"

requires_program systemd-analyze curl
unit=$abs_top_srcdir/examples/remap-monitor.service
sed "s,^ExecStart=/usr/bin/,ExecStart=$abs_top_builddir/monitor/," "$unit" \
    >remap-monitor.service
systemd-analyze verify --man=no "$PWD/remap-monitor.service" >verify.out 2>&1 ||
  { cat verify.out; fail "verify"; }
[ ! -s verify.out ] || { cat verify.out; fail "systemd has remarks"; }
systemd-analyze security --no-pager --offline=yes --threshold=20 \
                "$PWD/remap-monitor.service" >security.out 2>&1 ||
  { cat security.out; fail "more than 2"; }
tail -n 1 security.out

# The timer of root.
for name in remap-smart.service remap-smart.timer; do
  sed "s,^ExecStart=/usr/share/nbdkit-remap/,ExecStart=$abs_top_srcdir/monitor/," \
      "$abs_top_srcdir/examples/$name" >$name
done
systemd-analyze verify --man=no "$PWD/remap-smart.service" \
                "$PWD/remap-smart.timer" >verify.out 2>&1 ||
  { cat verify.out; fail "verify"; }
[ ! -s verify.out ] || { cat verify.out; fail "systemd has remarks"; }

# sd_notify: ready, how it is, and the end.
cat >notified.py <<'EOF'
import os, socket
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind("notify.new")
os.rename("notify.new", "notify")
while True:
    word = s.recv(1000).decode()
    print(word, flush=True)
    if word == "STOPPING=1":
        break
EOF
/usr/bin/python3 notified.py >notified &
listener=$!
eventually exists notify || fail "nobody listens"
export NOTIFY_SOCKET=$tmp/notify WATCHDOG_USEC=300000
monitor
unset NOTIFY_SOCKET WATCHDOG_USEC
await_log 'WATCHDOG=1' notified
end_monitor
wait "$listener"
assert_grep '^READY=1$' notified
assert_grep '^STATUS=0 servers' notified

# The programs.
ln -s "$abs_top_srcdir/monitor/events.d/"* config/events.d/
mkdir bin
cat >bin/logger <<EOF
#!/bin/sh
printf '%s\n' "\$@" >$tmp/logged
EOF
cat >bin/sendmail <<EOF
#!/bin/sh
printf '%s\n' "\$@" >$tmp/mail.args
cat >$tmp/mail
EOF
chmod 755 bin/*
cat >servers.py <<'EOF'
import http.server, os, socketserver, threading
class Web(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        n = int(self.headers["Content-Length"])
        open("posted", "wb").write(self.rfile.read(n))
        self.send_response(204)
        self.end_headers()
class Mail(socketserver.StreamRequestHandler):
    def handle(self):
        say = lambda s: self.wfile.write(s.encode() + b"\r\n")
        say("220 test")
        data = None
        for line in self.rfile:
            line = line.decode().rstrip("\r\n")
            if data is not None:
                if line == ".":
                    open("smtp", "w").write("\n".join(data) + "\n")
                    data = None
                    say("250 ok")
                else:
                    data.append(line)
            elif line == "DATA":
                data = []
                say("354 go")
            else:
                say("221 bye" if line == "QUIT" else "250 ok")
                if line == "QUIT":
                    return
web = http.server.HTTPServer(("127.0.0.1", 0), Web)
mail = socketserver.TCPServer(("127.0.0.1", 0), Mail)
for s in web, mail:
    threading.Thread(target=s.serve_forever).start()
open("ports.new", "w").write("%d %d\n" % (web.server_port,
                                         mail.server_address[1]))
os.rename("ports.new", "ports")
EOF
/usr/bin/python3 servers.py >servers.log 2>&1 &
servers=$!
end_servers ()
{
  kill -9 "$servers" 2>/dev/null && wait "$servers" || :
}
cleanup_fn end_servers
eventually exists ports || fail "the servers aren't ready"
read -r web mail <ports

export REMAP_WEBHOOK=http://127.0.0.1:$web/x REMAP_MAIL_TO=me@example.org
export REMAP_MAIL_PROGRAM=$tmp/bin/sendmail
PATH=$tmp/bin:$PATH remap-monitor --test --config=config ||
  fail "a program has failed"
assert_grep '^test: .*: a test of remap-monitor' logged
assert_grep '^daemon.notice$' logged
assert_grep '^me@example.org$' mail.args
for line in '^To: me@example.org$' '^Subject: .*: a test of remap-monitor' \
            '^Message-ID: <remap-[0-9]+-0@' '^This is a test'; do
  assert_grep "$line" mail
done
assert_equal "$(json posted 'r["kind"], r["events"]')" "('test', [])" "JSON"

REMAP_MAIL_SERVER=127.0.0.1:$mail PATH=$tmp/bin:$PATH \
  remap-monitor --test --config=config || fail "a program has failed: SMTP"
assert_grep '^Subject: .*: a test of remap-monitor' smtp

# Nobody takes the mail, and there is no URL: they say so.
rm config/events.d/logger
expect_failure env -u REMAP_WEBHOOK REMAP_MAIL_SERVER=127.0.0.1:1 \
               remap-monitor --test --config=config
assert_grep 'events.d/mail: failed: status' expect.out
assert_grep 'REMAP_WEBHOOK=URL is missing' expect.out

# Usage.
expect_failure remap-monitor rubbish
assert_grep "'rubbish': only options" expect.out
expect_failure remap-monitor --interval=0
expect_failure remap-monitor --quiet=soon
assert_grep 'quiet=soon: a number of seconds' expect.out
expect_failure remap-monitor --state=nowhere
assert_grep 'nowhere/history.db: unable to open' expect.out
remap-monitor --version
remap-monitor --help >help
while read -r option; do
  grep -qE "^=item B<$option>?" \
       "$abs_top_srcdir/monitor/remap-monitor.pod" ||
    fail "remap-monitor(1) does not explain $option"
done < <(grep -oE -e '^ +--[a-z-]+=?' help | tr -d ' ')
