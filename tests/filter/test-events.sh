#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Events at the control socket, and remapctl events: what they say, pages,
# waiting; what a server that ends or is started anew makes of them (promise
# 38 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 100 200 300+40
serve remap-control=ctl.sock baddisk-gone=gone
SRC=$abs_top_srcdir client <<'PY'
def events(since=0, path="ctl.sock"):
    return does("events %d" % since, path)
def kinds(since=0):
    return [e["kind"] for e in events(since)["events"]]
def come(kind, since=0):
    eventually(lambda: kind in kinds(since), kind)
    return [e for e in events(since)["events"] if e["kind"] == kind][-1]

# Each kind is in the manual.
import re
with open(os.environ["SRC"] + "/lib/engine/events.c") as f:
    names = re.findall(r'"((?:[a-z]+\.)?[a-z]+)",? (?:EVENT|\.)', f.read())
assert len(names) > 20, names
with open(os.environ["SRC"] + "/filter/remap/nbdkit-remap-filter.pod") as f:
    pod = f.read()
for name in names:
    assert re.search(r"^ (\w+, )?%s\b" % re.escape(name), pod, re.M), name

come("health")
r = events()
is_([e["kind"] for e in r["events"]], ["start", "health"])
start, health = r["events"]
is_(r["next"], health["number"] + 1)
is_((r["missed"], r["restarted"]), (0, False))
is_(health["number"], start["number"] + 1)
assert 2 ** 50 < start["number"] < 2 ** 53
assert abs(start["time"] - time.time()) < 3600 and 0 <= start["ms"] < 1000
is_((health["from"], health["to"], health["reasons"]), ("unknown", "ok", []))
is_(set(health), {"number", "time", "ms", "kind", "severity", "times", "from",
                  "to", "reasons"})

# Nothing new: an empty list, with the same number to go on.
n = r["next"]
is_(events(n), {"ok": True, "events": [], "next": n, "missed": 0,
                "restarted": False})
# Numbers that aren't this server's.
for since in (1, n - 100, n + 1, 2 ** 63 - 1):
    r = events(since)
    is_((len(r["events"]), r["restarted"], r["next"]), (2, True, n))
for line, text in (("events x", "must be the number of an event, not 'x'"),
                   ("events -1", "must be the number"),
                   ("events 9223372036854775808", "must be the number"),
                   ("events 1 later", "comes 'wait', or nothing"),
                   ("events wait", "must be the number"),
                   ("events 0 wait 5", "the request is")):
    refuses(line, text)

# Sectors.  The first is told at once, the others together.
write(100, pattern(100))
e = come("sector.remapped", n)
is_((e["count"], e["ranges"], e["more"], e["why"], e["severity"]),
    (1, [{"start": 100, "count": 1}], False, {"auto-write": 1}, "info"))
is_(outcome(read, 200), "EIO")
e = come("sector.lost", n)
is_((e["count"], e["ranges"], e["why"], e["severity"]),
    (1, [{"start": 200, "count": 1}], {"auto-read": 1}, "error"))
e = come("health", n)
is_((e["from"], e["to"]), ("ok", "degraded"))
assert "1 sector is lost" in e["reasons"][0]
for s in range(300, 340):
    is_(outcome(read, s), "EIO")
def lost():
    es = [e for e in events(n)["events"] if e["kind"] == "sector.lost"]
    return sum(e["count"] for e in es), len(es)
eventually(lambda: lost()[0] == 41, "all are told")
assert lost()[1] < 20, lost()

# A waiting peer is answered by what happens, and others meanwhile; one that
# hangs up is forgotten.
n = events()["next"]
w, gone = Control(), Control()
w.send("events %d wait" % n)
gone.send("events %d wait" % n)
gone.close()
for i in range(20):
    is_(control("ping")["ok"], True)
does("set_auto_remap 0")
r = w.receive()
is_(len(r["events"]), 1)
e = r["events"][0]
is_((e["kind"], e["key"], e["value"]), ("config", "auto_remap", "off"))
# What is there already is answered at once; lines after it too, in order.
w.send("events %d wait" % n)
is_(w.receive()["events"], [e])
w.send(b"events %d wait\nping\n" % r["next"])
does("set_auto_remap 1")
is_(w.receive()["events"][0]["value"], "on")
is_(w.receive()["version"], control("ping")["version"])

# A hundred of them cost no thread.
def threads():
    return len(os.listdir("/proc/%s/task" % open("disk.pid").read().strip()))
before = threads()
n = events()["next"]
many = [Control() for i in range(100)]
for c in many:
    c.send("events %d wait" % n)
is_(control("ping")["ok"], True)
is_(threads(), before)
does("clear_stats")
for c in many:
    is_(c.receive()["events"][0]["key"], "counters")
    c.close()

# Main is lost, and back.
n = events()["next"]
open("gone", "w").close()
is_(outcome(read, 5), "ESHUTDOWN")
is_(come("main.lost", n)["severity"], "error")
is_(come("health", n)["to"], "main-lost")
os.unlink("gone")
eventually(lambda: outcome(read, 5) == "ok", "main is back")
is_(come("main.back", n)["severity"], "notice")
eventually(lambda: come("health", n)["to"] == "degraded", "health")

# Pages, and what is not kept any more.
n = events()["next"]
c = Control()
for i in range(2500):
    is_(c("clear_stats")["ok"], True)
r = c("events %d" % n)
is_((len(r["events"]), r["missed"]), (1000, 2500 - 2048))
is_(r["events"][0]["number"], n + 2500 - 2048)
r = c("events %d" % r["next"])
is_((len(r["events"]), r["missed"]), (1000, 0))
r = c("events %d" % r["next"])
is_((len(r["events"]), r["missed"], r["next"]), (48, 0, n + 2500))
is_(c("events %d" % r["next"])["events"], [])
PY

# A request that takes longer than a second is a job.
serve remap-control=ctl.sock baddisk-delay=1500
client <<'PY'
def in_flight():
    m = does("status")["main"]
    is_(m["hangs"], False)
    return m["in_flight"]
t = threading.Thread(target=read, args=(50,))
t.start()
eventually(in_flight, "a read is under way")
t.join()
is_(in_flight(), 0)
n = does("events")["next"]
does("verify 0 8", checked=8)
r = does("events %d" % n)["events"]
jobs = [e for e in r if e["kind"].startswith("job")]
is_([(e["kind"], e["job"]) for e in jobs],
    [("job.start", "verify 0 8"), ("job.end", "verify 0 8")])
is_(jobs[1]["result"], "done")
PY
# One that goes on says at each quarter how far it is, from when it was told of.
serve remap-control=ctl.sock baddisk-delay=400
client <<'PY'
def phases():
    n = does("events")["next"]
    does("verify 0 4096", checked=4096)
    jobs = [e for e in does("events %d" % n)["events"]
            if e["kind"].startswith("job")]
    is_({e["job"] for e in jobs}, {"verify 0 4096"})
    is_([e["kind"] for e in jobs], ["job.start"] + ["job.phase"] *
        (len(jobs) - 2) + ["job.end"])
    told = [e["phase"] for e in jobs[1:-1]]
    is_(told, ["25 %", "50 %", "75 %"][3 - len(told):])
    return told
eventually(phases, "phases")
PY
remapctl -s ctl.sock events >out
assert_grep 'job.phase: verify 0 4096: 75 % done$' out
serve remap-control=ctl.sock

# remapctl: text, JSON, from a number on.
remapctl -s ctl.sock events >out
assert_grep '^[0-9]{16} 20[0-9-]+ [0-9:]+ start: serving main with spare' out
number=$(sed -n '1s/ .*//p' out)
remapctl -s ctl.sock events "$((number + 1))" >out
assert_no_grep 'start' out
remapctl -s ctl.sock --json events "$((number + 100000))" >out
assert_grep '^\{"ok":true,"events":\[.*"kind":"start".*"restarted":true\}$' out
remapctl -s ctl.sock set_auto_remap 0
remapctl -s ctl.sock events >out
assert_grep 'config: automatic remapping was switched off' out
for args in 'events x' 'events 1 2' 'events --follow --timeout=30' \
            'events --frob'; do
  status=0
  # Words.
  # shellcheck disable=SC2086
  remapctl -s ctl.sock $args >out 2>&1 || status=$?
  assert_equal "$status" 2 "remapctl $args"
done

# --follow until the server ends: it tells its end.
remapctl -s ctl.sock events --follow >follow 2>errors &
follower=$!
eventually has_text follow || fail "nothing to follow"
remapctl -s ctl.sock set_auto_remap 1
eventually grep -q 'switched on' follow || fail "not followed"
stop_nbdkit disk
status=0
wait "$follower" || status=$?
assert_equal "$status" 3 'the status of remapctl'
assert_grep ' stop: the server ends' follow
assert_grep 'the server ended the connection|Broken pipe|reset by peer' errors

# The numbers of the next server are higher.
serve remap-control=ctl.sock
last=$(sed -n '$s/ .*//p' follow)
remapctl -s ctl.sock --json events "$((last + 1))" >out
assert_grep '"kind":"start".*"restarted":true' out
[ "$(sed -En '1s/^[^[]*[[][{]"number":([0-9]+).*/\1/p' out)" -gt "$last" ] ||
  fail "numbers don't count up"
