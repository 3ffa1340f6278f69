# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The core alone: lookups, memory, opening a spare, instructions a request.

import os
import re
import statistics

from common import BUILD, SOURCE, Scratch, have, run, table
from remaps import bench_spare

ENTRIES = [0, 1000, 1000000, 10000000]


def lookups(options):
    """bench-map's columns, the best of the rounds for each."""
    best = {}
    for _ in range(max(1, options.rounds // 2)):
        out = run(BUILD + "/tests/bench-map", *map(str, ENTRIES)).stdout
        lines = out.splitlines()
        head = lines[0].split()
        for line in lines[1:]:
            row = dict(zip(head, map(float, line.split())))
            b = best.setdefault(int(row["entries"]), row)
            for k in row:
                if k.endswith(("_ns", "_us", "_s")):
                    b[k] = min(b[k], row[k])
                elif k.startswith("M/s"):
                    b[k] = max(b[k], row[k])
        options.say(out)
    return best


def opening(options):
    out = {}
    with Scratch() as scratch:
        for name, runs, length in (("1 thousand scattered", 1000, 1),
                                   ("1 million scattered", 1000000, 1),
                                   ("10 million scattered", 10000000, 1),
                                   ("1 million in runs of 64", 15625, 64)):
            spare = scratch.path("spare.img")
            bench_spare("make", spare, 64 << 30, runs, length)
            r = [list(map(float, bench_spare("open", spare).split()))
                 for _ in range(options.rounds)]
            os.unlink(spare)
            out[name] = {
                "seconds": min(x[0] for x in r),
                "processor_seconds": statistics.median(x[1] for x in r),
                "bytes_a_sector": r[0][4] / r[0][2],
                "bytes_an_entry": r[0][4] / r[0][3],
            }
            options.say("%s: %s" % (name, out[name]))
    return out


def instructions(options):
    """What the test of the suite counts."""
    if not have("valgrind"):
        return {"skipped": "valgrind is not installed"}
    r = run("bash", SOURCE + "/tests/filter/test-instructions.sh",
            check=False)
    return {a: float(n) for a, n in re.findall(
        r"^((?:read|write), .*) remapped: ([\d.]+) instructions", r.stdout,
        re.M)}


def measure(options):
    return {"map": lookups(options), "open": opening(options),
            "instructions": instructions(options)}


def report(results):
    m = results["map"]
    head = list(next(iter(m.values())))
    text = ("The map (bench-map.c says what the columns are; the best of the "
            "rounds).\n\n")
    text += table(head, [["%d" % r["entries"]] +
                         ["%.4g" % r[k] for k in head[1:]]
                         for r in m.values()])
    text += "\nOpening a spare: seconds, and those of the processor.\n\n"
    text += table(["remapped sectors", "s", "processor s", "B/sector",
                   "B/entry"], [
        [k, "%.4f" % r["seconds"], "%.4f" % r["processor_seconds"],
         "%.2f" % r["bytes_a_sector"], "%.2f" % r["bytes_an_entry"]]
        for k, r in results["open"].items()])
    text += ("\nInstructions added to a clean 4K request, compared with "
             "nofilter.\n\n")
    text += table(["request, remapped elsewhere", "instructions"],
                  [[k, v] for k, v in results["instructions"].items()])
    return text
