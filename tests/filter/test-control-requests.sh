#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Each request of the control socket, with all that can come of it; that
# what was done survives a crash (promise 13 of remap-promises(7)), and that
# a request that is refused changes nothing.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 300+5 2000 2500
serve remap-control=ctl.sock spare-size=1M

client <<'PY'
r = does("ping", version=control("status")["version"])
assert isinstance(r["uptime"], int)
requests = does("help")["requests"]
is_(len(requests), 23)
for line in requests:
    name = line.split()[0]
    # Too few words, too many words.
    if line != name and line.split()[1][0] != "[":
        refuses(name, "the request is: " + line)
    if name == "import":
        refuses(name + " lost" + " 1 1" * 257, "more than 514 words")
    else:
        refuses(name + " 1 1 1 1 1", "more than 5 words")
    refuses(name + " 1 1 1 1", "the request is: " + line)
refuses("frob", "no request 'frob'")
refuses("PING", "no request 'PING'")
refuses("", "empty request")
refuses("  \t ", "empty request")
is_(control(" \tping\t \r")["ok"], True)

# No range that isn't within main is touched.
for verb in ("remap", "verify", "unmap", "retry", "forget-lost",
             "import lost", "import remap", "table"):
    for start, text in (("16384", "main has 16384 sectors"),
                        ("16383 2", "beyond the end of main"),
                        ("0 16385", "beyond the end of main"),
                        ("0 18446744073709551615", "too large"),
                        ("18446744073709551616", "too large"),
                        ("0xffffffffffffffffffffffff", "too large"),
                        ("-1", "not '-1'"), ("+1", "not '+1'"),
                        ("1 -1", "not '-1'"), ("1 0", "at least 1"),
                        ("1.5", "not '1.5'"), ("0x", "not '0x'"),
                        ("1s", "not '1s'"), ("1K", "not '1K'"),
                        ("0x10g", "not '0x10g'"), ("''", "not ''''")):
        refuses("%s %s" % (verb, start), text)
refuses("import zero 1", "not as 'zero'")
refuses("set_auto_remap yes", "must be 0 or 1")
is_(table(), [])
s = does("status")
is_(s["sectors"]["remapped"] + s["sectors"]["lost"] + s["sectors"]["zero"], 0)
is_(s["errors"], {"read": 0, "write": 0, "flush": 0, "spare": 0})

# remap: good sectors, unreadable ones, a second time, the last sector.
does("remap 100 4", done=4, left=0, lost=0, runs=[], more=False)
does("remap 0x12b 7", done=7, left=0, lost=5,
     runs=[{"start": 300, "count": 5}], more=False)
does("remap 98 10", done=6, left=4, lost=0)
does("remap 300", done=0, left=1, lost=0)
does("remap 16383", done=1)
for s in list(range(98, 108)) + [299, 305, 16383]:
    is_(read(s), orig(s), s)
is_(outcome(read, 302), "EIO")
# By sector: those of different seconds are different runs.
is_({s: (x[2], x[4]) for x in table() for s in range(x[0], x[0] + x[1])},
    {s: ("lost" if 300 <= s < 305 else "remapped", "manual")
     for s in list(range(98, 108)) + list(range(299, 306)) + [16383]})
is_(does("table 101 2")["runs"][0]["count"], 2)
is_(does("table 108 100")["runs"], [])
now = time.time()
for x in does("table")["runs"]:
    assert now - 600 < x["since"] <= now + 1, x

# A client's write to a LOST sector, and zeroes.
write(301, pattern(301))
write(302, b"\0" * 512)
h.zero(512, 303 * 512)
# Those of one second are one run.
is_([x[2] + ":" + x[4] for s in range(300, 305)
     for x in table() if x[0] <= s < x[0] + x[1]],
    ["lost:manual", "remapped:client", "remapped:client", "zero:client",
     "lost:manual"])

# verify: LOST is bad, main isn't asked for it.
before = len(disk_log("read"))
does("verify 300 5", checked=5, bad=2,
     runs=[{"start": 300, "count": 1}, {"start": 304, "count": 1}])
is_(len(disk_log("read")), before)
does("verify 1990 20", checked=20, bad=1, runs=[{"start": 2000, "count": 1}])
does("verify 0 16384", checked=16384, bad=4, more=False)

# retry: still bad.
does("retry 300", done=0, left=0, bad=1, runs=[{"start": 300, "count": 1}])
does("retry", done=0, left=16382, bad=2)

# forget-lost
does("forget-lost 300 4", done=1, left=3)
is_(read(300), bytes(512))

# unmap: what is LOST is left, what main doesn't take stays.
r = does("unmap 299 7")
is_((r["done"], r["left"], r["bad"]), (2, 1, 4))
is_(r["runs"], [{"start": 300, "count": 4}])
is_(read(301), pattern(301))
does("unmap 98 10", done=10, left=0, bad=0)
for s in range(98, 108):
    is_(read(s), orig(s), s)
    is_(raw(s), orig(s), s)
does("unmap 500 10", done=0, left=10, bad=0)

# import
does("import lost 1000 3", done=3, left=0, lost=3)
is_(outcome(read, 1001), "EIO")
does("import remap 1002 2", done=1, left=1, lost=0)
is_([x[2:] for x in table() if 1000 <= x[0] < 1100],
    [("lost", None, "import"),
     ("remapped", table()[-2][3], "import")])
does("import remap 2000", done=1, left=0, lost=1,
     runs=[{"start": 2000, "count": 1}])

# More runs than one reply tells of.
for s in range(4000, 4300, 2):
    does("import lost %d" % s, done=1)
r = does("verify 4000 300", checked=300, bad=150, more=True)
is_(r["runs"], [{"start": s, "count": 1} for s in range(4000, 4200, 2)])
does("forget-lost 4000 300", done=150, left=150)
does("unmap 4000 300", done=150, left=150)

# set_auto_remap
does("set_auto_remap 0", auto_remap=False)
is_(does("status")["auto_remap"], False)
is_(outcome(write, 2500, pattern(2500)), "EIO")
is_(outcome(read, 2500), "EIO")
is_(does("table 2500 1")["runs"], [])
does("remap 2501", done=1)
does("set_auto_remap 1", auto_remap=True)
is_(does("status")["auto_remap"], True)
write(2500, pattern(2500))
is_(read(2500), pattern(2500))
is_(does("table 2500 1")["runs"][0]["why"], "auto-write")
does("sync")
PY

# A sector that has become readable; then a crash.
bad_sectors bad.txt 301+2 2000 2500
client <<'PY'
does("retry 304", done=1, left=0, bad=0)
is_(read(304), orig(304))
is_([x[4] for x in table() if x[0] == 304], ["manual"])
with open("table", "w") as f:
    json.dump(table(), f)
with open("status", "w") as f:
    json.dump(does("status"), f)
PY
crash
serve remap-control=ctl.sock
client <<'PY'
is_([list(x) for x in table()], json.load(open("table")), "after the crash")
s, old = does("status"), json.load(open("status"))
for key in ("auto_remaps", "manual_remaps", "weak", "became_lost",
            "recovered"):
    is_(s[key], old[key], key)
is_(s["sectors"]["lost"], old["sectors"]["lost"])
is_(s["spare"]["used"], old["spare"]["used"])
is_(s["spare"]["uuid"], old["spare"]["uuid"])
is_(s["recovered"], 1)

# grow, while it is used; what is not more, or not possible.
refuses("grow 1M", "that isn't more")
refuses("grow 5000", "to 5000 bytes: that isn't more")
refuses("grow 0", "out of range")
refuses("grow -1", "SIZE must be")
refuses("grow 1x", "SIZE must be")
refuses("grow 99999999999999999999", "out of range")
refuses("grow 8E", "out of range")
refuses("grow 128T", "at most 140737488354816")
refuses("grow 7E", "at most 140737488354816")
is_(os.stat("spare.img").st_size, 1 << 20)
is_(does("status")["spare"]["size"], 1 << 20)
n = does("status")["spare"]["free"]
r = refuses("remap 5000 %d" % (n + 10), "no room")
is_(r["done"], n)
is_(does("status")["health"], "critical")
is_(outcome(h.pwrite, b"x" * 512, 2000 * 512), "ENOSPC")
# Room that was made is seen at once, not by the next one who needs it.
does("unmap 5000", done=1)
s = does("status")
is_((s["spare"]["full"], s["health"]), (False, "degraded"), s["reasons"])
does("remap 5000", done=1)
is_(outcome(h.pwrite, b"x" * 512, 2000 * 512), "ENOSPC")
is_(does("status")["health"], "critical")
r = does("grow 4M", size=4 << 20)
s = does("status")
is_(s["spare"]["total"], r["total"])
assert s["health"] != "critical", s["reasons"]
write(2000, pattern(2000))
does("remap %d 10" % (5000 + n), done=10)
assert does("status")["health"] != "critical"
is_(read(5000, n), orig(5000, n))
PY
# What follows the spare isn't blank: left alone.
printf x | dd of=spare.img bs=1 seek=$((5 << 20)) conv=notrunc status=none
client <<'PY'
refuses("grow 8M", "not blank")
is_(does("status")["spare"]["size"], 4 << 20)
is_(os.stat("spare.img").st_size, (5 << 20) + 1)
PY
stop_nbdkit disk
