#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The examples of README, the manual pages, scripts and recipes: each server in
# them listens on a Unix socket or on 127.0.0.1, since NBD has no password, and
# one with the remap filter can be looked at, since it has remap-control.

import os, re, sys

os.chdir(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
files = ["README.md"]
for top in "lib", "filter", "plugin", "ctl", "monitor", "examples":
    for folder, _, names in os.walk(top):
        files += [os.path.join(folder, n) for n in names
                  if n.endswith((".pod", ".md", ".sh", ".service"))]

def commands(path):
    with open(path) as f:
        text = re.sub(r"\\\n\s*(# *)?", " ", f.read())
    for line in text.split("\n"):
        # As code: indented, between backticks, or in a script.
        found = re.findall(r"`([^`]*)`", line) if path.endswith(".md") and \
            not line.startswith("    ") else [line]
        for c in found:
            m = re.search(r"(?:^|[ /\"=])nbdkit (-.*)", c)
            if m and ("--filter=" in m[1] or re.search(r" direct ", m[1])):
                yield m[1]

# Where an address comes from elsewhere: the variable, and what it must be.
CHOSEN = {
    '"$HOST"': ("examples/rescue.md", "    HOST=127.0.0.1\n"),
    '"$listen"': ("examples/quickstart.sh", "\nlisten=127.0.0.1\n"),
    '$NBDKIT_ARGS': ("examples/nbdkit-remap@.service",
                     '"NBDKIT_ARGS=-U /run/'),
}

checked = wrong = 0
for path in sorted(files):
    for c in commands(path):
        # What says how a command is written, and is none; what serves nobody.
        if "[PLUGIN-PARAMETERS...]" in c or "..." in c or \
                "--dump-plugin" in c:
            continue
        checked += 1
        address = re.search(r"(?:^| )(?:-U \S+|-i 127\.0\.0\.1( |$))", c)
        chosen = [v for v in CHOSEN if "-i " + v in c or
                  (v.startswith("$N") and v in c)]
        for v in chosen:
            where, text = CHOSEN[v]
            address = address or (path == where and text in open(where).read())
        if not address:
            print("%s: listens everywhere: nbdkit %s" % (path, c))
            wrong += 1
        if "--filter=remap" in c and "remap-control=" not in c:
            print("%s: no remap-control: nbdkit %s" % (path, c))
            wrong += 1
print("%d examples" % checked)
if checked < 20:
    sys.exit("where are the examples?")
sys.exit(bool(wrong))
