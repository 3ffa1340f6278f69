#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Everything works while a client uses the disk as fast as it can: status
# never goes backwards and in the end says what fio says; sectors are
# remapped and given back below it, and no content changes.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program fio
fio --enghelp 2>/dev/null | grep -qw nbd || skip "fio without its nbd engine"

make_main $((32 << 20))
bad_sectors bad.txt 20000 30000+3 40001
OPTIONS=--threads=8
serve remap-control=ctl.sock baddisk-recover=2
seconds=8
is_instrumented && seconds=20

cat >job.fio <<FIO
[global]
ioengine=nbd
uri=$uri
rw=randrw
iodepth=8
bssplit=512/20:4k/60:64k/20
time_based
runtime=$seconds
group_reporting

[all]
size=16m
FIO
fio --output-format=json --output=fio.json job.fio >fio.out 2>&1 &
fio_pid=$!
client <<'PY'
# The upper half isn't fio's: what it holds is known.
counts = []
end = time.time() + 5
i = 0
while time.time() < end or i < 20:
    i += 1
    s = does("status")
    assert s["health"] in ("ok", "degraded"), s["reasons"]
    n = [s["requests"]["read"]["count"], s["requests"]["read"]["bytes"],
         s["requests"]["write"]["count"], s["requests"]["write"]["bytes"]]
    if counts:
        assert all(a <= b for a, b in zip(counts, n)), (counts, n)
    counts = n
    start = 128 * (i % 200)
    does("remap %d 64" % start)
    does("verify %d 1000" % start)
    does("table %d 1000" % start)
    does("unmap %d 64" % (128 * ((i - 3) % 200)))
    does("remap %d 8" % (33000 + 8 * i), done=8)
    is_(h.pread(4096, (33000 + 8 * i) * 512),
        orig(33000 + 8 * i, 8))
mine = i * 4096
with open("mine", "w") as f:
    json.dump([i, mine], f)
PY
wait "$fio_pid" || { cat fio.out fio.json; fail "fio"; }

client <<'PY'
with open("fio.json") as f:
    text = f.read()
job = json.loads(text[text.index("{"):])["jobs"][0]
s = does("status")
n, n_bytes = json.load(open("mine"))
is_(s["requests"]["read"]["count"] - n, job["read"]["total_ios"])
is_(s["requests"]["read"]["bytes"] - n_bytes, job["read"]["io_bytes"])
is_(s["requests"]["write"]["count"], job["write"]["total_ios"])
is_(s["requests"]["write"]["bytes"], job["write"]["io_bytes"])
is_(s["errors"]["spare"], 0)
is_(s["errors"]["write"], len(failed("write")))
is_(s["errors"]["read"], len(failed("read")))
is_(s["spare"]["used"] + s["spare"]["free"] + s["spare"]["retired"],
    s["spare"]["total"])
is_(s["sectors"]["remapped"], s["spare"]["used"])
is_(read(33000, 7000), orig(33000, 7000))
PY
stop_nbdkit disk
