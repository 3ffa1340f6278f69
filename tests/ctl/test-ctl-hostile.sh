#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Whatever listens on the socket: one clear error, status 3 and no crash
# (promise 23 of remap-promises(7), from the other side).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

# hostile REGEX REPLY COMMAND...: every request is answered so.
hostile ()
{
  local regex=$1
  printf '.* -> %s\n' "$2" >hostile.replies
  shift 2
  fake hostile.replies
  says "$regex" 3 "$@"
}

for c in ping status "status --prometheus" "status --dm" table map sync; do
  # shellcheck disable=SC2086
  for how in close half huge nested binary nul empty; do
    hostile 'reply' "!$how" $c
  done
done
hostile 'no answer in time' '!silent' --timeout=1 status
hostile 'not JSON' 'hello' ping
hostile 'whether it is ok' '[]' ping
hostile 'not JSON' '"ok"' ping
hostile 'whether it is ok' '{}' ping
hostile 'whether it is ok' '{"ok":1}' ping
hostile 'not JSON' '{"ok":true,"ok":false}' ping
hostile 'version.*missing' '{"ok":true}' ping
hostile 'version.*not a string' '{"ok":true,"version":5,"uptime":1}' ping
hostile 'uptime.*not a non-neg' '{"ok":true,"version":"1","uptime":-1}' ping
hostile 'uptime.*not a non-neg' '{"ok":true,"version":"1","uptime":1.5}' ping
hostile 'not JSON.*big' \
        '{"ok":true,"version":"1","uptime":99999999999999999999}' ping
hostile 'missing' '{"ok":true}' remap 1
hostile 'missing' '{"ok":true,"done":1,"left":0,"lost":0,"runs":[{}]}' remap 1
hostile 'not an array' '{"ok":true,"done":1,"left":0,"lost":0,"runs":5}' remap 1
hostile 'missing' '{"ok":true}' verify 1
hostile 'missing' '{"ok":true}' unmap 1
hostile 'missing' '{"ok":true}' retry
hostile 'missing' '{"ok":true}' forget-lost 1
hostile 'missing' '{"ok":true}' set_auto_remap 1
hostile 'missing' '{"ok":true}' grow 1G

# Every field of a status, left out or of another type.
/usr/bin/python3 - "$data/disk.replies" <<'PY'
import copy, json, sys
st = [json.loads(l.split(" -> ", 1)[1]) for l in open(sys.argv[1])
      if l.startswith("status ->")][0]
def paths(o, at=()):
    for k in o:
        if k == "ok":
            continue
        yield at + (k,)
        if isinstance(o[k], dict):
            yield from paths(o[k], at + (k,))
def put(p, value):
    new = copy.deepcopy(st)
    o = new
    for k in p[:-1]:
        o = o[k]
    if value is None:
        del o[p[-1]]
    else:
        o[p[-1]] = value
    return new
with open("statuses", "w") as f:
    for p in paths(st):
        for value in None, [[]], "text", 5, {"a": {}}:
            old = st
            for k in p:
                old = old[k]
            if type(old) is type(value):
                continue
            print(json.dumps(put(p, value)), file=f)
PY
# One server that gives them one after the other.
cat >each.py <<'PY'
import socket, subprocess, sys
s = socket.socket(socket.AF_UNIX)
s.bind("each")
s.listen()
n = 0
for line in open("statuses"):
    for args in ["status"], ["status", "--prometheus"]:
        p = subprocess.Popen(["remapctl", "-s", "each"] + args,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True)
        c, _ = s.accept()
        c.recv(100)
        c.sendall(line.encode())
        out, err = p.communicate()
        c.close()
        assert p.returncode == 3 and not out, (line, p.returncode, out)
        assert err.count("\n") == 1 and "can't be understood" in err, err
        n += 1
print(n, "wrong statuses")
assert n > 500
PY
/usr/bin/python3 each.py

# Tables that go backwards, overlap, leave the disk, or never end.
status='status -> {"ok":true,"main":{"size":1048576}}'
run='"state":"lost","slot":null,"since":1,"why":"weak"'
wrong_table ()
{
  local regex=$1
  shift
  { echo "$status"; printf '%s\n' "$@"; } >table.replies
  fake table.replies
  for c in table "table --json" "table --mapfile"; do
    # shellcheck disable=SC2086
    says "$regex" 3 $c
  done
}
t='table 0 2048 -> {"ok":true,"next":null,"runs":'
wrong_table 'out of order' "${t}[{\"start\":5,\"count\":2,$run},\
{\"start\":6,\"count\":1,$run}]}"
wrong_table 'out of order' "${t}[{\"start\":2048,\"count\":1,$run}]}"
wrong_table 'out of order' "${t}[{\"start\":5,\"count\":2044,$run}]}"
wrong_table 'out of order' "${t}[{\"start\":5,\"count\":0,$run}]}"
wrong_table 'out of order' \
  "${t}[{\"start\":5,\"count\":9223372036854775807,$run}]}"
wrong_table 'missing' "${t}[{\"start\":5}]}"
wrong_table 'missing' "${t}[5]}"
wrong_table "no state 'gone'" "${t}[{\"start\":5,\"count\":1,\"state\":\"gone\",\
\"slot\":null,\"since\":1,\"why\":\"weak\"}]}"
wrong_table 'slot' "${t}[{\"start\":5,\"count\":1,\"state\":\"remapped\",\
\"slot\":null,\"since\":1,\"why\":\"weak\"}]}"
wrong_table 'begins before' 'table 0 2048 -> {"ok":true,"runs":[],"next":0}'
wrong_table 'next' 'table 0 2048 -> {"ok":true,"runs":[],"next":"5"}'
wrong_table 'array' 'table 0 2048 -> {"ok":true,"runs":{},"next":null}'
# Maps of another disk, in disorder, or with more than there is.
wrong_map ()
{
  printf 'map .* -> {"ok":true,%s}\n' "$2" >map.replies
  fake map.replies
  says "$1" 3 map --rows=1
  says "$1" 3 map --png=wrong.png
  [ ! -e wrong.png ] || fail "a picture of nonsense"
}
m='"size":1024,"cells":2,"counts":'
wrong_map 'missing' '"size":1024,"cells":2'
wrong_map 'missing' '"size":1024,"counts":[]'
wrong_map 'missing' '"cells":2,"counts":[]'
wrong_map 'not an array' "$m{}"
wrong_map 'cells of' '"size":0,"cells":0,"counts":[]'
wrong_map 'cells of' '"size":1024,"cells":3,"counts":[]'
wrong_map 'cells of' '"size":1099511627776,"cells":5,"counts":[]'
for counts in '[5]' '[{}]' '[[]]' '[[0,1,0]]' '[[0,1,0,"0"]]' '[[0,1,0,-1]]' \
              '[[2,1,0,0]]' '[[0,2,0,0]]' '[[0,1,1,0]]' \
              '[[1,1,0,0],[0,1,0,0]]' '[[0,1,0,0],[0,0,0,0]]' \
              '[[0,0,9223372036854775807,9223372036854775807]]'; do
  wrong_map 'its cells are wrong' "$m$counts"
done

# A page that is beyond the end ends the table; no reason is unknown.
{ echo "$status"
  echo "table 0 2048 -> {\"ok\":true,\"runs\":[{\"start\":5,\"count\":1,\
\"state\":\"zero\",\"slot\":null,\"since\":1,\"why\":\"\\u001b[2J\"}],\
\"next\":999999}"; } >odd.replies
fake odd.replies
ctl 0 table
assert_grep 'zero.*unknown' out

# A disk without sectors has no picture to divide by.
printf 'status -> {"ok":true,"main":{"size":0}}\n' >empty.replies
fake empty.replies
ctl 3 map
ctl 1 table

# What a server says doesn't steer the terminal.
printf 'ping -> {"ok":true,"version":"\\u001b[31m1\\n2\\u009b3m","uptime":1}\n' >esc
printf '.* -> {"ok":false,"error":"no\\u001b[2J\\nremapctl: all is well"}\n' \
  >>esc
fake esc
ctl 0 ping
assert_no_grep $'\033' out
assert_no_grep $'\302\233' out
assert_equal "$(wc -l <out)" 1 "lines of ping"
ctl 1 sync
assert_no_grep $'\033' err
