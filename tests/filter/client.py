# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What the Python clients of the remap filter's tests begin with; h is a
# connection.

import errno, nbd, os, random, struct, subprocess, sys, threading, time

SECTOR = 512

# Content that tells which sector it is of, and which writing of it.
def pattern(sector, tag=1, count=1):
    return b"".join(struct.pack("<QQ", s, tag) * 32
                    for s in range(sector, sector + count))

def read(sector, count=1, handle=None):
    return bytes((handle or h).pread(count * SECTOR, sector * SECTOR))

def write(sector, data, flags=0, handle=None):
    (handle or h).pwrite(data, sector * SECTOR, flags)

# The name of the error of a request, or ok.
def outcome(f, *args, **kwargs):
    try:
        f(*args, **kwargs)
    except nbd.Error as e:
        return errno.errorcode[e.errnum] if e.errnum else str(e)
    return "ok"

def is_(got, wanted, what=""):
    assert got == wanted, "%s: got %.200r, wanted %.200r" % (what, got, wanted)

# What is in a file: main itself, or what it was at first.
def raw(sector, count=1, path="main.img"):
    with open(path, "rb") as f:
        f.seek(sector * SECTOR)
        return f.read(count * SECTOR)

def orig(sector, count=1):
    return raw(sector, count, "orig.img")

# Lines of ops.txt, as lists of words; the totals left out.
def disk_log(kind=None, path="ops.txt"):
    with open(path) as f:
        lines = [line.split() for line in f]
    return [w for w in lines if w[0] != "totals" and kind in (None, w[0])]

def failed(kind):
    return [w for w in disk_log(kind) if w[3] != "ok"]

# Where in the spare are sectors of these contents?  Content -> offsets.
def places(contents, path="spare.img"):
    found = {c: [] for c in contents}
    fd = os.open(path, os.O_RDONLY)
    end = os.lseek(fd, 0, os.SEEK_END)
    at = 0
    while at < end:
        try:
            at = os.lseek(fd, at, os.SEEK_DATA)
        except OSError:
            break
        at -= at % SECTOR
        data = os.pread(fd, 1 << 20, at)
        for i in range(0, len(data), SECTOR):
            if data[i:i + SECTOR] in found:
                found[data[i:i + SECTOR]].append(at + i)
        at += len(data)
    os.close(fd)
    return found

def connect(uri=None):
    c = nbd.NBD()
    c.connect_uri(uri or h.get_uri())
    return c

# Sends requests at a depth: FUNCTION (handle, item, completion) each.
# Returns the errno of each item, 0 for success.
def at_depth(depth, items, function, handle=None):
    c = handle or h
    result, buffers, todo = {}, {}, list(items)[::-1]
    def callback(item):
        def completed(error):
            result[item] = error.value if hasattr(error, "value") else error
            return 1
        return completed
    while todo or c.aio_in_flight() > 0:
        while todo and c.aio_in_flight() < depth:
            item = todo.pop()
            buffers[item] = function(c, item, callback(item))
        c.poll(-1)
    return result

