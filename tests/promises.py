#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Is promises.txt complete and true?  By hand: tests/promises.py [TREE].

import os, re, sys

os.chdir(sys.argv[1] if len(sys.argv) > 1 else
         os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
POD, LIST = "lib/engine/remap-promises.pod", "tests/promises.txt"
found = []

def complain(*words):
    found.append(" ".join(map(str, words)))

def read(path):
    with open(path) as f:
        return f.read()

# Numbers of promises that a file cites, one, or some: "1, 3 and 13", "10 to 12",
# over the ends of lines and of comments' lines.
def cited_in(path):
    text = re.sub(r"\n[ \t]*[*#/]*[ \t]*", " ", read(path))
    numbers = set()
    for m in re.finditer(r"\b[Pp]romises? ((?:\d+(?:,? and |, | to )?)+)",
                         text):
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", m[1]):
            numbers.update(range(int(first), int(last or first) + 1))
    return numbers

# What the manual page says: {number: title}
promised = {int(n): title for n, title in re.findall(
    r"^=item (\d+)\. (.+)$", read(POD), re.M)}

# What the list says: {number: {"title", "kept", "tests", "bugs"}}
listed, entry, key = {}, None, None
for lineno, line in enumerate(read(LIST).split("\n"), 1):
    heading = re.match(r"== (\d+) (.+)$", line)
    words = re.match(r"(kept|tests|bugs):(.*)$", line)
    if line.startswith("#") or not line.strip():
        continue
    elif heading:
        if int(heading[1]) in listed:
            complain("%s:%d: a second %s" % (LIST, lineno, heading[1]))
        entry = {"title": heading[2], "kept": [], "tests": [], "bugs": []}
        listed[int(heading[1])] = entry
        key = None
    elif words and entry:
        key = words[1]
        entry[key] += words[2].split()
    elif line.startswith(" ") and key:
        entry[key] += line.split()
    else:
        complain("%s:%d: what is this?" % (LIST, lineno))

# The tests: {name: source files}
programs = dict(re.findall(
    r"^(\w+)_SOURCES = (.*)$",
    read("tests/Makefile.am").replace("\\\n", " "), re.M))
tests = {}
for line in read("tests/list.txt").split("\n"):
    if line and not line.startswith("#"):
        name, command = line.split()[1], line.split()[4]
        if command.endswith((".sh", ".py")):
            sources = [command]
        else:
            # Not what it shares with others: rigs, disks.
            sources = [s for s in programs[command.replace("-", "_")].split()
                       if re.match(r"(unit/test-|crash/|bench/).*\.c$", s)]
        tests[name] = ["tests/" + s for s in sources]

# The planted bugs: {name: (numbers, tests)}
bugs = {name: (set(map(int, re.findall(r"\d+", numbers))), names.split())
        for name, numbers, names in re.findall(
            r"^== (.*)\nwhy:\s*([\d, ]+):.*\n(?:file:.*\n)?tests:(.*)$",
            read("tests/mutants/mutants.txt"), re.M)}

if len(bugs) < len(re.findall("^== ", read("tests/mutants/mutants.txt"),
                              re.M)):
    complain("a planted bug doesn't say which promise it breaks")
if len(promised) < 20 or len(tests) < 100 or len(bugs) < 50:
    sys.exit("where are the promises, the tests, or the planted bugs?")

def check_kept(number, kept):
    path, _, function = kept.partition(":")
    if not os.path.isfile(path):
        return complain(number, kept + ": there is no such file")
    if not re.search(r"^%s \(" % re.escape(function), read(path), re.M):
        complain(number, kept + ": there is no such function in it")
    header = re.sub(r"\.c$", ".h", path)
    if not any(number in cited_in(p) for p in (path, header)
               if os.path.isfile(p)):
        complain(number, "%s: neither it nor its header cites promise %d" %
                 (path, number))

def check_test(number, name):
    if name not in tests:
        complain(number, "%s: is not in list.txt" % name)
    elif not any(number in cited_in(p) for p in tests[name]):
        complain(number, "%s: %s doesn't cite promise %d" %
                 (name, " ".join(tests[name]), number))

def check_bug(number, name, its_tests):
    if name not in bugs:
        complain(number, "%s: is not in mutants.txt" % name)
    elif number not in bugs[name][0]:
        complain(number, "%s: breaks something else, mutants.txt says" % name)
    elif not set(bugs[name][1]) & set(its_tests):
        complain(number, "%s: is noticed by none of the promise's tests: %s" %
                 (name, " ".join(bugs[name][1])))

for number, title in promised.items():
    if number not in listed:
        complain(number, title + ": is not in " + LIST)
for number, entry in listed.items():
    if promised.get(number) != entry["title"]:
        complain(number, "%s: %s has: %s" % (entry["title"], POD,
                                             promised.get(number)))
    for key in ("kept", "tests", "bugs"):
        if not entry[key]:
            complain(number, "nothing is said of: " + key)
        if len(set(entry[key])) < len(entry[key]):
            complain(number, "something is said twice of: " + key)
    for kept in entry["kept"]:
        check_kept(number, kept)
    for name in entry["tests"]:
        check_test(number, name)
    for name in entry["bugs"]:
        check_bug(number, name, entry["tests"])
for name, (numbers, _) in bugs.items():
    for number in sorted(numbers):
        if name not in listed.get(number, {"bugs": [name]})["bugs"]:
            complain(number, "%s: breaks this, and is not in %s" % (name, LIST))

print("\n".join(found), end="\n" if found else "")
sys.exit(bool(found))
