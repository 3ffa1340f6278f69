# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Reads mutants.txt, for check-mutants.sh:
#
#   mutate.py LIST                  name, file and tests, a line for each
#   mutate.py LIST why NAME         what it breaks
#   mutate.py LIST check TREE       do all of them still apply?
#   mutate.py LIST apply NAME TREE  changes the file below TREE

import os, re, sys

def parse(path):
    mutants, m, part = {}, None, None
    for number, line in enumerate(open(path), 1):
        if part is None:
            if line.startswith("== "):
                m = {"name": line[3:].strip(), "pairs": []}
                if m["name"] in mutants:
                    sys.exit("%s:%d: a second %s" % (path, number, m["name"]))
                mutants[m["name"]] = m
            elif line.startswith("<<<<"):
                m["pairs"].append(["", ""])
                part = 0
            elif m is not None and ":" in line and not line.startswith("#"):
                key, value = line.split(":", 1)
                m[key] = value.strip()
            elif line.strip() and not line.startswith("#"):
                sys.exit("%s:%d: what is this?" % (path, number))
        elif line.startswith(("== ", "<<<<")):
            sys.exit("%s:%d: >>>> is missing before it" % (path, number))
        elif line.startswith("===="):
            part = 1
        elif line.startswith(">>>>"):
            part = None
        else:
            m["pairs"][-1][part] += line
    for m in mutants.values():
        for key in ("why", "file", "tests"):
            if key not in m:
                sys.exit("%s: %s has no %s" % (path, m["name"], key))
    return mutants

# The old lines must be there exactly once: a mutant that doesn't apply is
# an error, or it would seem to be caught.
def mutated(m, tree):
    path = os.path.join(tree, m["file"])
    text = open(path).read()
    for old, new in m["pairs"]:
        old, new = old.rstrip("\n"), new.rstrip("\n")
        n = text.count(old)
        if n != 1 or old == new:
            sys.exit("mutant %s: its lines occur %d times in %s: adapt it in "
                     "mutants.txt" % (m["name"], n, m["file"]))
        text = text.replace(old, new)
    return path, text

mutants = parse(sys.argv[1])
command = sys.argv[2] if len(sys.argv) > 2 else "list"
if command == "list":
    for m in mutants.values():
        print(m["name"], m["file"], m["tests"])
elif command == "check":
    for m in mutants.values():
        mutated(m, sys.argv[3])
elif sys.argv[3] not in mutants:
    sys.exit("there is no mutant " + sys.argv[3])
elif command == "why":
    print(mutants[sys.argv[3]]["why"])
elif command == "apply":
    path, text = mutated(mutants[sys.argv[3]], sys.argv[4])
    with open(path, "w") as f:
        f.write(text)
