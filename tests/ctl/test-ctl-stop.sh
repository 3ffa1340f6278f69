#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# remapctl stop while clients are connected: it says for whom the server waits,
# list shows that it is stopping, and --force makes everything durable and ends
# it.  Who is connected is what the clients request says.

# shellcheck source-path=SCRIPTDIR disable=SC2016,SC2154
. "$(dirname "$0")/ctl.sh"
requires /usr/bin/python3 -c "import nbd"

end_all ()
{
  local pid
  for pid in "${clients[@]}"; do
    kill "$pid" 2>/dev/null || :
  done
  for pid in run/*.pid; do
    [ ! -e "$pid" ] || remapctl stop --force "$(basename "$pid" .pid)"
  done
}
cleanup_fn end_all

# connect URI: a client; returns when it has written.
declare -a clients=()
connect ()
{
  rm -f ready
  /usr/bin/python3 "$abs_top_srcdir/tests/ctl/client.py" "$1" ready &
  clients+=($!)
  eventually exists ready || fail "the client doesn't connect"
}

# disconnect PID
disconnect ()
{
  kill "$1" || :
  wait "$1" || :
}

truncate -s 8M main.img
ctl 0 create main_dev=main.img spare_dev=spare.img dm_name=disk
uri="nbd+unix:///?socket=$tmp/run/disk.nbd"

# clients: of the server, as Python.
ask_clients ()
{
  /usr/bin/python3 -c 'import json, socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.sendall(b"clients\n")
r = json.loads(s.makefile().readline())
print(eval(sys.argv[2]))' "$tmp/run/disk.ctl" "$1"
}
assert_equal "$(ask_clients r)" \
  "{'ok': True, 'count': 0, 'clients': [], 'stopping': False}" "no clients"
connect "$uri"
connect "$uri"
assert_equal "$(ask_clients 'sorted(c["pid"] for c in r["clients"])')" \
  "$(printf '%s\n' "${clients[@]}" | sort -n | paste -sd, |
     sed 's/,/, /g; s/.*/[&]/')" "the clients"
assert_equal "$(ask_clients '[c["address"] for c in r["clients"]]')" \
  "[None, None]" "their addresses"

# It isn't told to stop yet.
ctl 0 list
assert_no_grep stopping out
ctl 1 --timeout=1 stop disk
assert_grep "^disk: waits for 2 clients: process [0-9]+ \(python3\), process" out
assert_grep "still waits for 2 clients: .*${clients[0]}.*--force" err
ctl 0 list
assert_grep '^disk .* ok .*, stopping$' out
ctl 0 list --json
assert_equal "$(json out 'r[0]["stopping"]')" True "list --json"

# One goes, and then the other: the server ends, which whoever stops it waits
# for.
disconnect "${clients[0]}"
one_is_left ()
{
  [ "$(ask_clients 'r["count"]')" = 1 ]
}
eventually one_is_left || fail "a client that has gone is still there"
remapctl stop disk >stop.out 2>&1 &
stopper=$!
eventually has_text stop.out || :
assert_grep "^disk: waits for 1 client: process ${clients[1]} " stop.out
disconnect "${clients[1]}"
wait $stopper
assert_grep '^disk stopped$' stop.out
[ -z "$(ls run)" ] || { cat log/*; fail "files are left: $(ls run)"; }

# --force, over a disk that remembers what was flushed.
ctl 0 create main_dev=main.img spare_dev=spare.img dm_name=disk
connect "$uri"
if command -v strace >/dev/null; then
  strace_begin "$(cat run/disk.pid)" -o trace -e trace=fdatasync,fsync || :
fi
ctl 0 stop --force disk
strace_end 2>/dev/null || :
assert_grep '^disk stopped$' out
[ -z "$(ls run)" ] || { cat log/*; fail "files are left: $(ls run)"; }
if [ -s trace ]; then
  assert_grep 'f(data)?sync\(.*= 0' trace
fi
disconnect "${clients[2]}"
assert_equal "$(dd if=main.img bs=512 skip=8 count=1 status=none |
                  tr -d w | wc -c)" 0 "what is left of what was written"

# What can't be flushed isn't ended.  (The pid file has the name of a server of
# create, and so has the control socket.)
requires_plugin eval
start_nbdkit mad --filter=remap eval get_size='echo 8M' \
             pread='head -c $3 /dev/zero' pwrite='cat >/dev/null' \
             can_write='exit 0' can_flush='exit 0' \
             flush='echo EIO the flush fails >&2; exit 1' \
             spare=mad.spare remap-control="$tmp/run/mad.ctl"
cp mad.pid run/mad.pid
connect "$uri"
says 'can.t be made to write everything .* goes on: ' 1 stop --force mad
ctl 0 -n mad ping
disconnect "${clients[3]}"
# nbdkit frees nothing of clients that go while it ends: that isn't looked at.
kill_nbdkit mad
rm -f run/mad.pid

# Over the network it is an address.
port=$(/usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ctl 0 create main_dev=main.img spare_dev=spare.img dm_name=disk \
    listen=127.0.0.1:"$port"
connect "nbd://127.0.0.1:$port"
ctl 1 --timeout=1 stop disk
assert_grep '^disk: waits for 1 client: 127\.0\.0\.1:[0-9]+$' out
ctl 0 stop --force disk
disconnect "${clients[4]}"
