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

import os, re, socket, sys, threading

path, script = sys.argv[1:3]
rules = []
for line in open(script):
    if line.strip() and not line.startswith("#"):
        pattern, reply = line.rstrip("\n").split(" -> ", 1)
        rules.append((re.compile(pattern + "$"), reply))

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
        for pattern, reply in rules:
            if pattern.match(request):
                break
        else:
            reply = '{"ok":false,"error":"no such request"}'
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
