# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What the Python clients of the remap filter's tests begin with; h is a
# connection.

import errno, json, nbd, os, random, socket, struct, subprocess, sys
import threading, time

SECTOR = 512

# Waits until F () is true: for as long as a very busy machine may take.
def eventually(f, what, seconds=300):
    end = time.monotonic() + seconds
    while not f():
        assert time.monotonic() < end, "never: " + what
        time.sleep(0.05)

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


# The control socket: lines are sent one after the other on a connection;
# replies are what they say.
class Control:
    def __init__(self, path="ctl.sock", timeout=300):
        self.s = socket.socket(socket.AF_UNIX)
        # A connect that doesn't block fails when many others wait.
        self.s.connect(path)
        self.s.settimeout(timeout)
        self.f = self.s.makefile("rb")
    def send(self, line):
        self.s.sendall(line if isinstance(line, bytes) else
                       line.encode() + b"\n")
    # The next reply; None at the end.
    def receive(self):
        line = self.f.readline()
        assert line == b"" or line.endswith(b"\n"), line
        return json.loads(line) if line else None
    def __call__(self, line):
        self.send(line)
        return self.receive()
    def close(self):
        self.f.close()
        self.s.close()

# One request; the reply.
def control(line, path="ctl.sock"):
    c = Control(path)
    try:
        return c(line)
    finally:
        c.close()

# Checks that a request fails, and with which error.
def refuses(line, text, path="ctl.sock"):
    r = control(line, path)
    assert r["ok"] is False and text in r["error"], (line, r)
    return r

# Checks that it succeeds, and what it says; returns all that it says.
def does(request, path="ctl.sock", **wanted):
    r = control(request, path)
    assert r["ok"] is True, (request, r)
    for key, value in wanted.items():
        is_(r[key], value, request + ": " + key)
    return r

# The whole table: (start, count, state, slot, why) of each run.
def table(path="ctl.sock"):
    runs, next_ = [], 0
    while next_ is not None:
        r = control("table %d" % next_, path)
        assert r["ok"], r
        runs += [(x["start"], x["count"], x["state"], x["slot"], x["why"])
                 for x in r["runs"]]
        next_ = r["next"]
    return runs
