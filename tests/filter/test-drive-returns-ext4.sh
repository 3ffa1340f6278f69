#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A mounted ext4 whose drive goes away and comes back.  If main held nothing
# unflushed, nobody notices: what is done meanwhile waits, and ends as it does
# on a drive that stays (promise 12 of remap-promises(7)).  If it did, the next
# FLUSH fails (promise 14), ext4 may turn read-only, and what was synced is
# there.
#
# REMAP_DROP_SECONDS=20: so long, see remap.sh.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_loop
requires_fuse
requires_program mkfs.ext4 e2fsck mount umount

mkdir fuse mnt
: >bad.txt
cleanup_fn detach

# begin: a file system with files, synced and at rest.
begin ()
{
  rm -rf main.img spare.img
  truncate -s 64M main.img
  serve baddisk-gone=gone "$lost_wait"
  attach
  mkfs.ext4 -q -b 4096 -E lazy_itable_init=0,lazy_journal_init=0 "$loop"
  mount -o noatime "$loop" mnt
  /usr/bin/python3 - <<'PY'
import os, random
r = random.Random(5)
for i in range(40):
    os.makedirs("mnt/%d" % (i % 4), exist_ok=True)
    with open("mnt/%d/%d" % (i % 4, i), "wb") as f:
        f.write(r.randbytes(r.randrange(100000)))
PY
  # Twice: the first may leave something to the journal.
  sync -f mnt
  sync -f mnt
  sums >before.txt
  assert_equal "$(wc -l <before.txt)" 40 "files"
}

sums ()
{
  (cd mnt && find . -type f -print0 | sort -z | xargs -0 sha256sum)
}

# Four at once: they read what is on the drive only, write and sync, rename,
# and remove.
cat >work.py <<'PY'
import mmap, os, random, threading
errors = []
def reads():
    for i in range(0, 40, 2):
        fd = os.open("mnt/%d/%d" % (i % 4, i), os.O_RDONLY | os.O_DIRECT)
        os.readv(fd, [mmap.mmap(-1, 4096)])
        os.close(fd)
def writes():
    r = random.Random(6)
    for i in range(20):
        with open("mnt/0/new-%d" % i, "wb") as f:
            f.write(r.randbytes(r.randrange(50000)))
            f.flush()
            os.fsync(f.fileno())
def renames():
    for i in range(1, 40, 4):
        os.rename("mnt/1/%d" % i, "mnt/2/renamed-%d" % i)
        os.sync()
def removes():
    for i in range(3, 40, 8):
        os.unlink("mnt/3/%d" % i)
        fd = os.open("mnt/3", os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)
def run(f):
    try:
        f()
    except BaseException as e:
        errors.append("%s: %r" % (f.__name__, e))
threads = [threading.Thread(target=run, args=(f,))
           for f in (reads, writes, renames, removes)]
for t in threads:
    t.start()
for t in threads:
    t.join()
assert not errors, errors
PY

still_writable ()
{
  grep -q "^$loop [^ ]* ext4 rw," /proc/mounts
}

# finish: what there is, also after another mount.
finish ()
{
  sync -f mnt
  still_writable || fail "ext4 is read-only now"
  sums >"$1"
  umount mnt
  e2fsck -f -n "$loop"
  mount -o noatime "$loop" mnt
  sums >again.txt
  cmp "$1" again.txt
  detach
}

begin
/usr/bin/python3 work.py
finish stayed.txt

begin
through_a_drop /usr/bin/python3 work.py
finish returned.txt
cmp stayed.txt returned.txt
assert_no_grep 'LOST|sectors remapped' disk.log

# What was written without a sync when the drive went may be lost: a sync says
# so.  (It isn't lost here; that is for unit/test-engine-again.c.)
begin
/usr/bin/python3 - <<'PY'
import mmap, os
fd = os.open("mnt/0/0", os.O_WRONLY | os.O_DIRECT)
os.writev(fd, [mmap.mmap(-1, 4096)])
os.close(fd)
PY
through_a_drop dd if=mnt/1/1 of=read.out iflag=direct bs=4096 count=1
status=0
sync mnt/0/0 || status=$?
echo "sync: status $status; ext4 is $(still_writable || echo not) writable"
[ "$status" -ne 0 ] || fail "a sync must fail: something unflushed was there"
detach
attach
status=0
e2fsck -f -y "$loop" || status=$?
[ "$status" -le 1 ] || fail "e2fsck: status $status"
mount -o noatime "$loop" mnt
sums >after.txt
# All but the one that was written, and that one has the length that it had.
cmp <(grep -v ' ./0/0$' before.txt) <(grep -v ' ./0/0$' after.txt)
: >mnt/new
sync mnt/new
umount mnt
e2fsck -f -n "$loop"
