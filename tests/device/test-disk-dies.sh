#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A block device with bad sectors that dies, past the page cache (direct) and
# behind it (file): none of its good sectors becomes LOST, whatever the cache
# still answers (promise 12 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/device.sh"
requires nbdsh --version
requires_bad_device

make_main $((64 << 20))

dies ()
{
  echo "==== $1"
  rm -f spare.img disk.log ctl.sock gone
  cp orig.img main.img
  # Far from each other, and from where good ones are read.
  bad_sectors bad.txt $(seq 1000 5000 130000)
  make_bad_device main.img baddisk-gone=gone
  start_nbdkit disk --filter=remap "$1" "$loop" spare=spare.img \
               spare-size=4M remap-control=ctl.sock
  disk_uri=$uri
  client <<'PY'
def lost():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect("ctl.sock")
        s.sendall(b"status\n")
        return json.loads(s.makefile().readline())["sectors"]["lost"]

for s in range(1000, 130001, 5000):
    is_(outcome(read, s), "EIO", s)
before = lost()
assert before >= 26, before
open("gone", "w").close()
rnd = random.Random(1)
failed = 0
for i in range(200):
    s = rnd.randrange(131072 // 8) * 8
    if s // 5000 * 5000 + 1000 - 64 <= s <= s // 5000 * 5000 + 1064:
        continue
    failed += outcome(read, s) != "ok"
print("%d lost, %d reads of a dead disk failed" % (before, failed))
assert failed > 50, failed
is_(lost(), before)
PY
  stop_nbdkit disk
  rm gone
  detach_loop "$loop"
  end_fuse
  stop_nbdkit device
}

dies direct
dies file
