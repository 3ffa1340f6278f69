#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A filesystem without room: at the start the server ends with a message;
# later a write that needs a slot fails with ENOSPC and goes on when there
# is room again, and nothing of what is mapped is lost (promises 17 and 18
# of remap-promises(7)).  That the free slots have no room is said before
# (promise 38).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_loop
requires_program mkfs.ext4 mount umount

make_main $((8 << 20))
truncate -s 16M fs.img
mkfs.ext4 -q -m 0 -O ^has_journal fs.img
mkdir fs
mount -o loop fs.img fs
cleanup_fn umount -l fs

# Nothing at all: metadata has no room.
head -c 100M /dev/zero >fs/filler 2>/dev/null || :
sync -f fs
SPARE=fs/spare.img
refused 'spare .*fs/spare.img: .*No space left'
[ ! -e fs/spare.img ] || fail "an unfinished spare was left behind"

# Room for metadata and 2 MiB: slots are allocated before use.
rm fs/filler
bad_sectors bad.txt 1000+10000
serve spare-size=8M
fallocate -l 1M fs/reserve
head -c 100M /dev/zero >fs/filler 2>/dev/null || :
truncate -s -1M fs/filler
client <<'PY'
done = []
for s in range(1000, 11000, 64):
    r = outcome(write, s, pattern(s, 1, 64))
    if r != "ok":
        break
    done.append(s)
is_(r, "ENOSPC")
assert len(done) >= 16, done
for s in done:
    is_(read(s, 64), pattern(s, 1, 64))
    write(s, pattern(s, 2, 64))
is_(outcome(write, 10990, pattern(10990)), "ENOSPC")

# The sector that could not be placed is what it was: it can't be read.
h.flush()
os.unlink("fs/filler")
for s in range(1000 + 64 * len(done), 5000, 64):
    write(s, pattern(s, 2, 64))
for s in range(1000, 5000, 64):
    is_(read(s, 64), pattern(s, 2, 64))
h.flush()
PY
crash
serve
client <<'PY'
for s in range(1000, 5000, 64):
    is_(read(s, 64), pattern(s, 2, 64))
PY
stop_nbdkit disk
cmp main.img orig.img

# A spare of 64 MiB on a filesystem of 16: not all of its slots can be used.
rm fs/spare.img
bad_sectors bad.txt 1000+10000
serve spare-size=64M remap-control=ctl.sock
client <<'PY'
s = control("status")
is_(s["health"], "degraded")
assert 0 < s["spare"]["filesystem_free"] < 16 << 20, s["spare"]
assert s["spare"]["promised"] > 32 << 20, s["spare"]
assert "the spare's free slots need" in s["reasons"][0], s["reasons"]
PY
stop_nbdkit disk
rm fs/spare.img disk.log
serve spare-size=8M remap-control=ctl.sock
client <<'PY'
s = control("status")
is_(s["health"], "ok")
assert s["spare"]["promised"] <= s["spare"]["free"] * SECTOR, s["spare"]
write(1000, pattern(1000, 1, 4096))
t = control("status")
assert t["spare"]["promised"] < s["spare"]["promised"] - (1 << 20), t["spare"]
is_(t["health"], "ok")
PY
# Somebody else takes the room, and gives it back: that is told without anybody
# asking how the spare is, and is in the log.
head -c 100M /dev/zero >fs/filler 2>/dev/null || :
sync -f fs
cat >told.py <<'PY'
def told():
    return [e["kind"] for e in control("events")["events"]
            if e["kind"] in ("spare.thin", "spare.enough")]
PY
(cat told.py; cat) <<'PY' | client
eventually(lambda: told() == ["spare.thin"], "the spare is thin")
is_(control("status")["health"], "degraded")
PY
rm fs/filler
(cat told.py; cat) <<'PY' | client
eventually(lambda: told() == ["spare.thin", "spare.enough"], "enough")
is_(control("status")["health"], "ok")
PY
stop_nbdkit disk
assert_equal "$(grep -c 'the spare is thin: its free slots need' disk.log)" 1 \
             "lines about a thin spare"
assert_grep "the spare's filesystem has room for all of its slots again" disk.log
