#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# remapctl backup: copies of a spare that is in use hold, of each sector, what
# it held when the backup was begun, or later (promise 1 of
# remap-promises(7)); also of one whose file was deleted, and offline.  A backup is an older copy
# (promise 20).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"
requires_program nbdsh script

truncate -s 10M main.img
uri="nbd+unix:///?socket=$tmp/s.sock"
serve ()
{
  start_nbdkit s --filter=remap file main.img spare=spare \
               spare-state="$tmp/state" remap-control="$tmp/s.ctl" "$@"
}
serve spare-size=8M
ctl 0 -s s.ctl remap 0 4000

cat >write.py <<'PY'
# Versions of sectors, each with its number: whole passes, of writes and of
# zeroes, that give up slots.  "versions" has the number of the last pass that
# has ended.
import nbd, os, random, struct, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
version = 0
while not os.path.exists("enough"):
    version += 1
    order = list(range(0, 4000, 8))
    random.shuffle(order)
    for s in order:
        if s % 16:
            h.zero(4096, s * 512)
        h.pwrite(b"".join(struct.pack("<QQ", s + i, version) * 32
                          for i in range(8)), s * 512)
    with open("versions.new", "w") as f:
        f.write(str(version))
    os.rename("versions.new", "versions")
PY
cat >check.py <<'PY'
import nbd, struct, sys
h = nbd.NBD()
h.connect_uri(sys.argv[1])
zeroes = 0
for s in range(4000):
    data = h.pread(512, s * 512)
    if data == bytes(512):
        assert s // 8 * 8 % 16, "sector %d is zero" % s
        zeroes += 1
        continue
    assert data == data[:16] * 32, "sector %d is torn" % s
    number, version = struct.unpack("<QQ", data[:16])
    assert number == s, "sector %d has the content of %d" % (s, number)
    assert version >= int(sys.argv[2]), "sector %d is too old" % s
PY
# checked BACKUP VERSION: serves it, over a disk of nothing.
checked ()
{
  truncate -s 10M empty.img
  cp --sparse=always "$1" served
  start_nbdkit c --filter=remap file empty.img spare=served spare-create=no
  /usr/bin/python3 check.py "nbd+unix:///?socket=$tmp/c.sock" "$2"
  stop_nbdkit c
}

/usr/bin/python3 write.py "$uri" &
writer=$!
eventually exists versions || fail "nothing is written"
for i in 1 2 3; do
  version=$(cat versions)
  ctl 0 -s s.ctl backup copy
  assert_grep '^copy: [0-9]+ sectors copied, as of commit [0-9]+' out
  checked copy "$version"
done
: >enough
wait "$writer" || fail "the writer"
remapctl info copy >out
assert_grep 'backup' out

# Only what is used: 4000 sectors and a log.
size=$(stat -c %s copy) used=$(($(stat -c %b copy) * 512))
[ "$size" -eq $((8 << 20)) ] || fail "the size is $size"
[ "$used" -lt $((4 << 20)) ] || fail "it takes $used bytes"
assert_equal "$(find . -name 'copy.*')" "" "what else was left"

# What isn't a backup is left alone: another file, and the spare itself.
echo text >text
ctl 1 -s s.ctl backup text
assert_equal "$(cat text)" text "a file"
ctl 1 -s s.ctl backup spare
ctl 1 -s s.ctl backup .
ctl 1 -s s.ctl backup nowhere/copy
# At the socket alone: a file must come with it.
assert_grep 'the request is: backup .with an empty file' \
  <(/usr/bin/python3 -c '
import socket
s = socket.socket(socket.AF_UNIX)
s.connect("s.ctl")
s.send(b"backup\n")
print(s.recv(1000).decode())')

# One that is interrupted leaves nothing, and what was there before.
cksum copy >before
kill -STOP "$(cat s.pid)"
for signal in INT TERM HUP; do
  # In the background a shell lets programs ignore SIGINT.
  /usr/bin/python3 -c 'import os, signal, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
os.execvp(sys.argv[1], sys.argv[1:])' remapctl -s s.ctl backup copy &
  backup=$!
  begun () { compgen -G 'copy.*' >/dev/null; }
  eventually begun || fail "no backup is begun"
  kill -s "$signal" "$backup"
  wait "$backup" && fail "it was interrupted, and says that it wasn't"
  assert_equal "$(find . -name 'copy.*')" "" "what SIG$signal leaves"
done
kill -CONT "$(cat s.pid)"
cksum copy | diff before -
# The server has given it up as well.
eventually remapctl -s s.ctl backup copy || fail "another one is under way"
TERM=xterm script -qec 'remapctl -s s.ctl backup copy' /dev/null \
    </dev/null >term
assert_grep 'copy: [0-9]+ sectors copied' term

# The spare's file is gone: what is in it isn't.
version=$(cat versions)
rm spare
ctl 0 -s s.ctl backup rescued
stop_nbdkit s
checked rescued "$version"

# Used as a spare since it was made: it is no backup any more.
cp copy used
ctl 0 backup --spare=copy used
start_nbdkit c --filter=remap file empty.img spare=used spare-create=no
stop_nbdkit c
ctl 1 backup --spare=copy used
assert_grep 'is a spare that has been used' err

# It is an older copy, since the spare went on; offline as well.
cp rescued spare
expect_failure nbdkit --filter=remap file main.img spare=spare \
               spare-state="$tmp/state" --run true
assert_grep 'is an older copy of the disk.s spare' expect.out
serve spare-older=yes
stop_nbdkit s
ctl 0 backup --spare=spare offline
checked offline "$version"
# Whoever waits at a terminal sees how far it is.
TERM=xterm script -qec 'remapctl backup --spare=spare offline' /dev/null \
    </dev/null >term
assert_grep 'copying slots: +[0-9]+ %' term
ctl 0 backup --spare=spare offline
assert_no_grep 'copying slots' err
ctl 1 backup --spare=nowhere offline
