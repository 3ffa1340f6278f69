#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Requests that touch nothing but DIRECT make no system call in the filter,
# and so take no lock that is contended and no memory (promise 24 of
# remap-promises(7)): counted by strace, with and without the filter, with
# and without remapped sectors elsewhere.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
! is_instrumented || skip "counts system calls"
requires_strace

make_main $((8 << 20))
bad_sectors bad.txt 8000+100
serve
client <<'PY'
for s in range(8000, 8100, 2):
    write(s, pattern(s))
PY
stop_nbdkit disk

# count NAME: system calls of the server $pid during a workload.
count ()
{
  local client

  rm -f ready go
  client <<'PY' &
def work(n):
    for i in range(n):
        data = bytes(h.pread(4096, 4096 * (i % 500)))
        h.pwrite(data, 4096 * (i % 500))
work(20)
open("ready", "w").close()
while not os.path.exists("go"):
    time.sleep(0.01)
work(500)
os.unlink("go")
while not os.path.exists("go"):
    time.sleep(0.01)
PY
  client=$!
  eventually exists ready || fail "the client is not ready"
  strace_begin "$pid" -c -o "$1.count" || fail "strace: $(cat strace.err)"
  touch go
  eventually is_missing go || fail "the client doesn't end"
  strace_end
  touch go
  wait "$client"
  cat "$1.count"
}

start_nbdkit bare -t 1 file main.img
disk_uri=$uri
count bare
stop_nbdkit bare
start_nbdkit remap -t 1 --filter=remap file main.img spare=spare.img
disk_uri=$uri
count remap

/usr/bin/python3 - <<'PY'
def counts(name):
    r = {}
    for line in open(name):
        w = line.split()
        if len(w) >= 5 and w[3].isdigit() and w[-1] != "total":
            r[w[-1]] = int(w[3])
    return r
bare, remap = counts("bare.count"), counts("remap.count")
assert bare["pread64"] >= 500 and bare["pwrite64"] >= 500, bare
for call in sorted(set(bare) | set(remap)):
    a, b = bare.get(call, 0), remap.get(call, 0)
    print(call, a, b)
    # What the threads that wait do is not always the same.
    assert abs(a - b) <= 20, call
for call in "mmap", "munmap", "brk", "fdatasync", "fsync":
    assert remap.get(call, 0) == bare.get(call, 0), call
PY
cmp main.img orig.img
