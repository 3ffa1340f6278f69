#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What the filter adds to a 4K request that touches nothing but DIRECT
# (promise 24 of remap-promises(7)), in instructions, counted by callgrind
# and compared with nbdkit's filter that does nothing.  Each count is that of
# 500 requests more, so that what happens once doesn't count.  Both servers have
# a thread that only waits (exitwhen's): libc's calls take longer in a process
# that has more than one, as every server has that isn't told -t 1, and the
# filter has one of its own.
#
# With nothing remapped, a read has 134 more, a write, which holds its range,
# 158 (gcc 12, -O2).  Beside one remapped sector a lookup adds 87.  The
# limits leave some room for other compilers.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program valgrind
requires_filter nofilter exitwhen
requires_plugin memory
! is_instrumented || skip "counts instructions"
grep -q '^CFLAGS = .*-O[23]' "$abs_top_builddir/Makefile" ||
  skip "counts the instructions of an optimised build"

/usr/bin/python3 - <<'PY'
import nbd, os, re

REMAP = ["--filter=" + os.environ["REMAP_FILTER"]]

def instructions(filters, parameters, write, n):
    h = nbd.NBD()
    h.connect_command([
        "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
        "--log-file=callgrind.log", os.environ["REMAP_NBDKIT"], "-s",
        "-t", "1", *filters, "--filter=exitwhen", "memory", "64M",
        "exit-when-file-created=never", "exit-when-poll=10000", *parameters])
    data = b"x" * 4096
    for i in range(n):
        at = 4096 * (i % 100)
        if write:
            h.pwrite(data, at)
        else:
            h.pread(4096, at)
    h.shutdown()
    del h
    with open("callgrind.log") as f:
        return int(re.search(r"Collected : (\d+)", f.read()).group(1))

def a_request(filters, parameters, write):
    return (instructions(filters, parameters, write, 700) -
            instructions(filters, parameters, write, 200)) / 500

# A spare with nothing, and one with a remapped sector far away from the
# requests: made beforehand, so that this doesn't count.
with open("bad.txt", "w") as f:
    f.write("0 ? 1\n0x2000000 0x200 -\n")
for spare, at in ("none.img", 0), ("one.img", 0x2000000):
    h = nbd.NBD()
    h.connect_command([
        os.environ["REMAP_NBDKIT"], "-s", *REMAP,
        "--filter=" + os.environ["BADDISK_FILTER"], "memory", "64M",
        "baddisk-list=bad.txt", "spare=" + spare])
    h.pwrite(bytes(512), at)
    h.shutdown()
    del h

for write, limit, limit_one in (False, 135, 225), (True, 165, 260):
    base = a_request(["--filter=nofilter"], [], write)
    for name, spare, most in (("nothing", "none.img", limit),
                              ("one sector", "one.img", limit_one)):
        n = a_request(REMAP, ["spare=" + spare], write) - base
        print("%s, %s remapped: %.1f instructions, at most %d" %
              ("write" if write else "read", name, n, most))
        assert n <= most, n
PY
