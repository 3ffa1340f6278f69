#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A control socket whose replies are made up:
#
#   fake-server.py SOCKET FILE
#
# FILE has a line for each request that is understood: a regular expression,
# an arrow (->), and the reply.  The first that matches is used; a reply that
# begins with ! is one of the ways to misbehave below.  Requests are printed.

import json, os, re, socket, sys, threading

path, script = sys.argv[1:3]
rules = []
for line in open(script):
    if line.strip() and not line.startswith("#"):
        pattern, reply = line.rstrip("\n").split(" -> ", 1)
        rules.append((re.compile(pattern + "$"), reply))

def reply_to(request):
    for pattern, reply in rules:
        if pattern.match(request):
            return reply
    m = re.match(r"map (\d+)$", request)
    if m:
        return count(int(m.group(1)))
    return '{"ok":false,"error":"no such request"}'

# Sector by sector in words: no more of the disk than is in the table.
def count(wanted):
    size = json.loads(reply_to("status"))["main"]["size"]
    sectors = (size + 511) // 512
    n = min(wanted, sectors)
    if n == 0:
        return '{"ok":true,"size":0,"cells":0,"counts":[]}'
    starts = [sectors * i // n for i in range(n + 1)]
    counts, at = {}, 0
    states = "remapped", "lost", "zero"
    while at is not None and at < sectors:
        page = json.loads(reply_to("table %d %d" % (at, sectors - at)))
        for run in page["runs"]:
            for s in range(run["start"], run["start"] + run["count"]):
                cell = max(i for i in (s * n // sectors, s * n // sectors + 1)
                           if i < n and starts[i] <= s)
                c = counts.setdefault(cell, [0, 0, 0])
                c[states.index(run["state"])] += 1
        at = page["next"]
    total = [sum(c[i] for c in counts.values()) for i in range(3)]
    return json.dumps({
        "ok": True, "size": size, "cells": n, "remapped": total[0],
        "lost": total[1], "zero": total[2],
        "counts": [[i] + counts[i] for i in sorted(counts)]})

def misbehave(c, how):
    if how == "close":              # without a reply
        pass
    elif how == "half":             # a reply that is cut off
        c.sendall(b'{"ok":true,"version":"0.1')
    elif how == "huge":             # one that never ends
        try:
            while True:
                c.sendall(b"[" * 65536)
        except OSError:
            pass
    elif how == "nested":           # deeper than any stack
        c.sendall(b"[" * 1000000 + b"\n")
    elif how == "binary":
        c.sendall(bytes(range(256)).replace(b"\n", b"") + b"\n")
    elif how == "nul":
        c.sendall(b'{"ok":true\0}\n')
    elif how == "empty":
        c.sendall(b"\n")
    elif how == "silent":           # until the client has gone
        c.recv(1)
    else:
        sys.exit("misbehave? " + how)
    c.close()

def serve(c):
    f = c.makefile("rb")
    for line in f:
        request = line.decode().strip()
        print(request, flush=True)
        reply = reply_to(request)
        if reply.startswith("!"):
            return misbehave(c, reply[1:])
        c.sendall(reply.encode() + b"\n")

s = socket.socket(socket.AF_UNIX)
s.bind(path + ".new")
s.listen(64)
os.rename(path + ".new", path)      # from now on it answers
while True:
    c, _ = s.accept()
    threading.Thread(target=serve, args=(c,), daemon=True).start()
