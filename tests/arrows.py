#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Which part of the source may use which: the order is below, and all of what
# is there keeps to it.  Called by static.sh, or by hand:
#
#   tests/arrows.py [TREE]
#
# A unit is NAME.c with NAME.h, or one of them alone.  It uses what it
# includes, and what it calls: a header that is the front of a whole room
# declares functions of many units, so that includes alone don't tell.
# Nothing is printed but what is wrong, and the status is 1 then.

import os, re, sys

# The rooms, and the rooms that each of them uses beside itself.  The tests
# use all of them.
ROOMS = """
lib/base        -
lib/host        lib/base
lib/map         lib/base
lib/spare       lib/base lib/map
lib/engine      lib/base lib/map lib/spare
filter/remap    lib
filter/baddisk  lib
plugin/direct   lib
ctl             lib
monitor         lib ctl
"""

# The order inside the rooms that decide and store.  A unit uses units of the
# lines above its own, never one beside it or below.  NAME.h is a header that
# isn't taken together with NAME.c: the front of a room, which says what the
# room does for others, is used from its top to its bottom.  In the other
# rooms units may use each other in any order that has no circle.
ORDER = {
    "lib/map": """
        map.h readers
        tree pending
        node
        search load
        replace
        update
        map
    """,
    "lib/spare": """
        errors features attribute
        changes
        spare.h
        sample
        format
        logpage
        layout identity pages stamp internal
        leader
        ownership
        header slots notes attributes
        carried room
        state
        pieces snapshot
        checkpoint
        store batch reserve replay probe history examine
        open commit grow
        create backup copy-id
    """,
    "lib/engine": """
        errors canaries events alone
        engine.h
        internal
        request log blocks marks stats spare-dev recognise
        in-flight samples copy
        suspects states
        returned
        lost settle touched refused
        complete
        main-dev record parts
        merge
        keep
        read-copy
        read write
        edge operation flush rescue-write
        rescue-zero copying fold
        finish
        zero cache pwrite operators unmap verify status rescue
        watch engine
    """,
    "filter/remap": "remap.h",          # the others: any order
}

# What decides and stores knows neither nbdkit nor sockets.
FOREIGN = {"lib": r"nbdkit|sys/socket|sys/un\.h|netinet", "ctl": r"nbdkit",
           "monitor": r"nbdkit"}

found = []

def complain(*words):
    found.append(" ".join(words))

def room_of(path):
    return next((r for r in rooms if path.startswith(r + "/")), None)

# The room lib/x is part of lib.
def may_use(room, other):
    return other == room or any(
        other == u or other.startswith(u + "/") for u in rooms[room])

def without_comments(text):
    text = re.sub(r"/\*.*?\*/", lambda m: " " + "\n" * m[0].count("\n"),
                  text, flags=re.S)
    return re.sub(r"//.*", "", text)

# The file that an #include "NAME" of PATH means, as the compiler finds it;
# then those that it wouldn't find, but that are meant.
def find_header(path, name):
    room = room_of(path)
    for place in [os.path.dirname(path), room, "lib", *rooms, ""]:
        header = os.path.normpath(os.path.join(place, name))
        if header in text:
            return header
    return None

def unit_of(path):
    room, name = room_of(path), os.path.splitext(path)[0]
    if os.path.basename(path) in ORDER.get(room, "").split():
        return path
    return name

# The functions that a header of structs declares or defines: outside of all
# braces, a name and a list of arguments.
def functions_in(source):
    outside, depth = "", 0
    for c in re.sub(r"^\s*#(?:.*\\\n)*.*", "", source, flags=re.M):
        depth -= c == "}"
        outside += c if depth == 0 else ""
        depth += c == "{"
    outside = re.sub(r"\b(?:__attribute__|_Alignas|_Static_assert)\s*"
                     r"\((?:[^()]|\([^()]*\))*\)", "", outside)
    return re.findall(r"(\w+)\s*\([^*]", outside)

# What is defined at the left margin, as functions are here, for others: in
# a .c file it isn't static.
def defined_in(path, source):
    for m in re.finditer(r"^([^\n]*)\n(\w+) \([^;{}]*\)\s*\{", source, re.M):
        if path.endswith(".h") or not re.search(r"\bstatic\b", m[1]):
            yield m[2]

def called_in(source):
    return set(re.findall(r"(?<![\w.>])(\w+) \(", source)) - set(
        re.findall(r"^(\w+) \([^;{}]*\)\s*\{", source, re.M))

# Each circle, as the strongly connected units of ARROWS (Tarjan).
def circles(arrows):
    index, low, stack, result = {}, {}, [], []

    def visit(u):
        index[u] = low[u] = len(index)
        stack.append(u)
        for v in sorted(arrows.get(u, ())):
            if v not in index:
                visit(v)
                low[u] = min(low[u], low[v])
            elif v in stack:
                low[u] = min(low[u], index[v])
        if low[u] == index[u]:
            n = stack.index(u)
            if len(stack) > n + 1:
                result.append(sorted(stack[n:]))
            del stack[n:]

    for u in sorted(arrows):
        if u not in index:
            visit(u)
    return result

os.chdir(sys.argv[1] if len(sys.argv) > 1 else
         os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
rooms = {}
for line in ROOMS.split("\n"):
    if line:
        room, *uses = line.split()
        rooms[room] = [u for u in uses if u != "-"]

text = {}
for top in sorted({r.split("/")[0] for r in rooms}):
    for folder, _, names in os.walk(top):
        for name in names:
            if name.endswith((".c", ".h")):
                path = os.path.join(folder, name)
                with open(path) as f:
                    text[path] = without_comments(f.read())
if len(text) < 100:
    sys.exit("where are the sources?")
for path in [p for p in sorted(text) if room_of(p) is None]:
    complain(path + ": is in no room")
    del text[path]

line_of = {}
for room, order in ORDER.items():
    for number, line in enumerate(order.strip().split("\n")):
        for name in line.split():
            unit = room + "/" + name
            line_of[unit] = number
            if unit not in map(unit_of, text):
                complain(unit + ": is in the order, and isn't there")

# ARROWS[unit][unit]: why it is thought so
arrows = {unit_of(p): {} for p in text}

def arrow(path, target, why):
    a, b, room, other = unit_of(path), unit_of(target), *map(
        room_of, (path, target))
    if a == b:
        return
    arrows[a].setdefault(b, path + " " + why)
    if not may_use(room, other):
        complain("%s %s: %s doesn't use %s" % (path, why, room, other))
    elif room == other and a in line_of and b in line_of and (
            line_of[b] >= line_of[a]):
        complain("%s %s: %s isn't above %s" % (path, why, b, a))

for path, source in sorted(text.items()):
    room, unit = room_of(path), unit_of(path)
    if len(ORDER.get(room, "").split()) > 1 and unit not in line_of:
        complain(unit + ": has no place in the order of " + room)
    for name in re.findall(r'^\s*#\s*include\s*"([^"]*)"', source, re.M):
        header = find_header(path, name)
        if header is None:
            complain('%s includes "%s": there is none' % (path, name))
        else:
            arrow(path, header, 'includes "%s"' % name)
    for top, words in FOREIGN.items():
        if path.startswith(top + "/"):
            for name in re.findall(r"^\s*#\s*include\s*<([^>]*)>", source,
                                   re.M):
                if re.match(words, name):
                    complain("%s includes <%s>: not in %s" % (path, name, top))
    if re.search(r"(?:^|[/-])internal\.h$", path):
        for name in functions_in(source):
            complain("%s: structs and constants only, and no %s ()" %
                     (path, name))

# Programs have names of their own: parameters_set () is in two of them.
homes = {}
for path, source in text.items():
    for name in defined_in(path, source):
        homes.setdefault(name, set()).add(path)
if len(homes) < 300:
    sys.exit("where are the functions?")
for path, source in sorted(text.items()):
    for name in called_in(re.sub(r'"(?:\\.|[^"\\\n])*"', '""', source)
                          if path.endswith(".c") else ""):
        here = {h for h in homes.get(name, ())
                if room_of(h) == room_of(path) or h.startswith("lib/")}
        for home in here or homes.get(name, ()):
            arrow(path, home, "calls %s ()" % name)

for circle in circles(arrows):
    complain("a circle: " + " ".join(circle))
    for a in circle:
        for b in set(circle) & set(arrows[a]):
            complain("   ", arrows[a][b])

print("\n".join(found), end="\n" if found else "")
sys.exit(bool(found))
