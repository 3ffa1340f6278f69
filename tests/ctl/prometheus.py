#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Is FILE in Prometheus' text exposition format, as promtool would say?
#
#   prometheus.py FILE

import re, sys

help_, type_, seen, current = {}, {}, set(), None
label = r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"'
sample = re.compile(r'^(nbdkit_remap_[a-z0-9_]+)\{(%s(?:,%s)*)\} (\d+)$'
                    % (label, label))
text = open(sys.argv[1]).read()
assert text.endswith("\n")
for line in text.split("\n")[:-1]:
    if line.startswith("# HELP "):
        current, what = line[7:].split(" ", 1)
        assert current not in help_ and what, line
        help_[current] = what
    elif line.startswith("# TYPE "):
        name, kind = line[7:].split(" ")
        assert name == current and kind in ("counter", "gauge"), line
        assert (kind == "counter") == name.endswith("_total"), line
        type_[name] = kind
    else:
        m = sample.match(line)
        assert m and m.group(1) == current and current in type_, line
        key = (m.group(1), m.group(2))
        assert key not in seen, line
        seen.add(key)
assert seen
