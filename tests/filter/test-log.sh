#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The log: 100,000 sectors that are lost are a few lines, among which the one
# about the disk that is gone is seen; under systemd lines have priorities, and
# times elsewhere; a log that stands still holds up nobody (promise 38 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_filter blocksize-policy

# Every second block of 4 KiB is bad.
make_main $((100 << 20))
/usr/bin/python3 - >bad.txt <<'PY'
print("0 ? 1")
for i in range(12500):
    print("%#x 0x1000 -" % (i * 8192))
PY
BELOW=--filter=blocksize-policy serve remap-control=ctl.sock \
     blocksize-minimum=4096 baddisk-gone=gone
client <<'PY'
def read_at(c, at, done):
    buf = nbd.Buffer(4096)
    c.aio_pread(buf, at, completion=done)
    return buf
errors = at_depth(16, [i * 8192 for i in range(12500)], read_at)
is_(set(errors.values()), {errno.EIO})
does("status", became_lost=100000)
open("gone", "w").close()
is_(outcome(read, 8), "ESHUTDOWN")
PY
stop_nbdkit disk
lines=$(wc -l <disk.log)
echo "$lines lines"
[ "$lines" -lt 100 ] || fail "$lines lines"
assert_grep 'main is lost' disk.log
# Each of them is counted.
sed -En 's/.*sectors [0-9]+-[0-9]+ .*, ([0-9]+) bytes.: .* LOST$/\1 512/p
         s/.* ([0-9]+) more sectors? LOST in 5 s, first [0-9]+$/\1 1/p' disk.log |
  awk '{ n += $1 / $2 } END { print n " LOST"; exit n != 100000 }' ||
  fail "not all were counted"
assert_no_grep '<[0-9]>' disk.log
assert_equal "$(grep -c 'remap: 20[0-9-]* [0-9:]*[-+][0-9]*: ' disk.log)" \
             "$(grep -c 'error: remap: ' disk.log)" "lines with times"

# systemd says which file stderr is.
truncate -s 8M main.img
bad_sectors bad.txt 100
rm -f disk.log gone spare.img
: >disk.log
JOURNAL_STREAM=$(stat -c %d:%i disk.log)
export JOURNAL_STREAM
serve baddisk-gone=gone
client <<'PY'
is_(outcome(read, 100), "EIO")
open("gone", "w").close()
is_(outcome(read, 8), "ESHUTDOWN")
os.unlink("gone")
eventually(lambda: outcome(read, 8) == "ok", "main is back")
PY
stop_nbdkit disk
assert_grep '^<3>nbdkit: remap: sectors 100-100 .*LOST$' disk.log
assert_grep '^<3>nbdkit: remap: main is lost' disk.log
assert_grep '^<5>nbdkit: remap: main is back' disk.log
# It says so of another one; or messages go elsewhere.
JOURNAL_STREAM=1:1
rm -f spare.img
serve
client <<<'is_(outcome(read, 100), "EIO")'
stop_nbdkit disk
assert_grep '^nbdkit: error: remap: 20.*: sectors 100-100 .*LOST$' disk.log
JOURNAL_STREAM=$(stat -c %d:%i disk.log)
rm -f spare.img
before=$(grep -c LOST disk.log)
OPTIONS=--log=null serve
client <<<'is_(outcome(read, 100), "EIO")'
stop_nbdkit disk
assert_equal "$(grep -c LOST disk.log)" "$before" "lines with --log=null"
unset JOURNAL_STREAM

# A pipe that is full, and that nobody reads: clients and others are served, and
# the server ends.
rm -f spare.img
mkfifo fifo
cat >hold.py <<'PY'
import os, time
fd = os.open("fifo", os.O_RDWR | os.O_NONBLOCK)
try:
    while True:
        os.write(fd, b"x" * 4096)
except BlockingIOError:
    pass
open("full", "w").close()
while not os.path.exists("enough"):
    time.sleep(0.05)
PY
/usr/bin/python3 hold.py &
holder=$!
eventually exists full || fail "the pipe isn't full"
nbdkit -U - --filter=remap file main.img spare=spare.img --run true
nbdkit -f -U "$tmp/stuck.sock" -P "$tmp/stuck.pid" --filter=remap \
       --filter=baddisk file main.img spare=spare.img spare-create=no \
       baddisk-list=bad.txt remap-control=ctl.sock \
       </dev/null >fifo 2>&1 &
pid=$!
nbdkit_pids[stuck]=$pid
eventually has_text stuck.pid || fail "it doesn't start"
nbdkit_threads[stuck]=$(count_threads "$pid")
URI="nbd+unix:///?socket=$tmp/stuck.sock" client <<'PY'
is_(outcome(read, 100), "EIO")
def told():
    return [e for e in does("events")["events"] if e["kind"] == "sector.lost"]
eventually(told, "the event")
for i in range(100):
    is_(read(8 + i % 50), orig(8 + i % 50))
PY
# A sanitizer's report would wait for the pipe for ever.
! is_instrumented || await_idle stuck
unset "nbdkit_pids[stuck]"
kill "$pid"
eventually has_ended "$pid" || { kill -s KILL "$pid"; fail "it doesn't end"; }
status=0
wait "$pid" || status=$?
assert_equal "$status" 0 "the end of a server whose log stands still"
touch enough
wait "$holder"
