#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What status says adds up: exactly, against requests whose number is known,
# and against the disk's own log of its errors.  Counters of the map survive
# a crash; the others count since the start, or since they were cleared.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 200+3 300 400
serve remap-control=ctl.sock remap-label=a-disk
client <<'PY'
s = does("status", health="ok", reasons=[], auto_remap=True,
         lost_reads_zero=False, auto_remaps=0, manual_remaps=0, weak=0,
         became_lost=0, recovered=0, retries=0, retries_saved=0,
         lost_refused=0, lost_zeroed=0, main_lost_times=0, read_only=False,
         last_loss=0, overwritten=0)
is_((s["main"]["in_flight"], s["main"]["oldest"], s["main"]["hangs"],
     s["main"]["last_error"]), (0, 0, False, 0))
assert s["spare"]["commit_number"] > 0
assert abs(s["started"] - s["time"] + s["uptime"]) < 60, s
is_(s["main"]["size"], 8 << 20)
is_(s["main"]["block"], 512)
is_(s["main"]["lost"], False)
is_(s["main"]["label"], "a-disk")
is_(s["spare"]["path"], os.path.realpath("spare.img"))
is_(s["spare"]["size"], os.stat("spare.img").st_size)
is_(s["spare"]["used"] + s["spare"]["retired"] + s["spare"]["free"],
    s["spare"]["total"])
is_(s["requests"]["read"], {"count": 0, "bytes": 0})
assert abs(s["time"] - time.time()) < 600

# 10 reads, 20 writes of which 5 with FUA, 3 zeroes, 2 trims, 1 cache,
# 4 flushes; errors of the disk are in its log.
for i in range(10):
    read(16 * i, 2)
for i in range(15):
    write(1000 + i, pattern(1000 + i))
for i in range(5):
    write(2000, pattern(2000, i, 4), nbd.CMD_FLAG_FUA)
for i in range(3):
    h.zero(4096, 3 << 20)
for i in range(2):
    h.trim(8192, 4 << 20)
h.cache(512, 0)
for i in range(4):
    h.flush()
s = does("status")
is_(s["requests"], {
    "read": {"count": 10, "bytes": 10240},
    "write": {"count": 20, "bytes": 15 * 512 + 5 * 2048},
    "zero": {"count": 3, "bytes": 3 * 4096},
    "trim": {"count": 2, "bytes": 2 * 8192},
    "cache": {"count": 1, "bytes": 512},
    "flush": {"count": 4}, "fua": {"count": 5}})
is_(s["errors"], {"read": 0, "write": 0, "flush": 0, "spare": 0})
is_(s["rates"]["1m"]["reads"], 10)
is_(s["rates"]["15m"]["write_bytes"], 15 * 512 + 5 * 2048)

# Errors, and what came of them.
write(200, pattern(200, 1, 3))
is_(outcome(read, 300), "EIO")
is_(outcome(read, 300), "EIO")
is_(outcome(read, 300), "EIO")
s = does("status", auto_remaps=3, became_lost=1, lost_refused=2, retries=1,
         retries_saved=0, health="degraded",
         reasons=["1 sector is lost: main can't read it"])
is_(s["sectors"]["remapped"], 3)
is_(s["sectors"]["lost"], 1)
is_(s["errors"]["read"], len(failed("read")))
is_(s["errors"]["write"], len(failed("write")))
is_(s["spare"]["used"], 3)
is_(s["rates"]["60m"]["remaps"], 3)
is_(s["rates"]["60m"]["lost"], 1)
is_(s["rates"]["60m"]["read_errors"], s["errors"]["read"])
is_(s["rates"]["60m"]["write_errors"], s["errors"]["write"])
does("remap 100 10", done=10)
does("import lost 500 2", done=2)
s = does("status", auto_remaps=3, manual_remaps=10, became_lost=3)
is_(s["requests"]["read"]["count"], 13, "requests of operators aren't clients'")
does("sync")
is_(does("status")["requests"]["flush"]["count"], 4)

# Cleared: events start anew, the map's counters and the rates go on.
before = int(time.time())
does("clear_stats")
s = does("status", auto_remaps=3, manual_remaps=10, became_lost=3,
         lost_refused=0, retries=0)
# The server's clock may show the second before.
assert s["since"] >= before - 1
is_(s["requests"]["write"], {"count": 0, "bytes": 0})
is_(s["errors"], {"read": 0, "write": 0, "flush": 0, "spare": 0})
is_(s["sectors"]["lost"], 3)
is_(s["rates"]["60m"]["reads"], 13)
read(0)
is_(does("status")["requests"]["read"], {"count": 1, "bytes": 512})
PY
crash

# The manual has each key, and no other one; its example works.
serve remap-control=ctl.sock remap-label=a-disk
POD=$abs_top_srcdir/filter/remap/nbdkit-remap-filter.pod client <<'PY'
import re
def keys(o, prefix=""):
    for k, v in o.items():
        if isinstance(v, dict):
            yield from keys(v, prefix + k + ".")
        else:
            yield prefix + k
with open(os.environ["POD"]) as f:
    pod = f.read()
section = pod[pod.index("=head2 Status"):pod.index("=head2 Events")]
documented = set()
for key, also in re.findall(r"^ ([a-z_.*]+)(, \.bytes)?(?:  .*)?$", section,
                            re.M):
    for window in ("1m", "15m", "60m") if "*" in key else ("",):
        documented.add(key.replace("*", window))
    if also:
        documented.add(key.replace(".count", ".bytes"))
# Those of a copy are for test-copy-end.sh.
documented = {k for k in documented if not k.startswith("rescue.")}
documented.add("rescue")
is_((set(keys(does("status"))) - {"ok"}) ^ documented, set())
for line in does("help")["requests"]:
    assert "B<%s>" % line.split()[0] in pod, line

example = re.search(r"^ \$ python3 -c '(.*?)' (remap .*?)\n", pod,
                    re.M | re.S)
code = example[1].replace("\n ", "\n").replace("/run/disk.ctl", "ctl.sock")
r = subprocess.run(["/usr/bin/python3", "-c", code] + example[2].split(),
                   stdout=subprocess.PIPE, check=True, text=True)
is_(r.stdout, '''{"ok":true,"done":8,"left":0,"lost":0,"runs":[],"more":false}
''')
does("unmap 2048 8", done=8)
PY

# Weak sectors; what the last server has counted in the map.
serve remap-control=ctl.sock remap-label=a-disk baddisk-recover=2
client <<'PY'
s = does("status", auto_remaps=3, manual_remaps=18, became_lost=3, weak=0)
is_(s["requests"]["read"]["count"], 0)
is_(read(400), orig(400))
s = does("status", auto_remaps=4, weak=1, retries=1, retries_saved=1,
         health="degraded")
is_(s["reasons"], ["3 sectors are lost: main can't read them",
                   "1 sector was weak: main read it only when asked again"])
is_(s["errors"]["read"], 1)
is_([x[4] for x in table() if x[0] == 400], ["weak"])
PY

# LOST reads as zeroes: each is counted.
serve remap-control=ctl.sock remap-label=a-disk remap-lost=zero
client <<'PY'
is_(read(500, 2), bytes(1024))
does("status", lost_zeroed=2, lost_refused=0, lost_reads_zero=True)
PY

# Main is gone: said at once, and it is counted.
bad_sectors bad.txt 0+16384
serve remap-control=ctl.sock remap-label=a-disk
client <<'PY'
is_(outcome(read, 5000), "ESHUTDOWN")
s = does("status", health="main-lost", main_lost_times=1)
is_(s["main"]["lost"], True)
assert "main is lost" in s["reasons"][0], s["reasons"]
for request in ("remap 6000", "verify 6000", "retry", "unmap 100 3",
                "import remap 6000"):
    refuses(request, "main is lost")
does("import lost 6000", done=1)
does("forget-lost 6000", done=1)
PY
stop_nbdkit disk
