#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The benchmarks: `make bench'.  README.md says how to read the results.

import argparse
import json
import os
import sys
import time

import clean
import common
import convoy
import core
import dying
import growth
import hot
import remapping
import remaps

ITEMS = {
    "clean": (clean, "the clean path"),
    "remaps": (remaps, "many remapped sectors"),
    "core": (core, "the core alone"),
    "remapping": (remapping, "remapping"),
    "dying": (dying, "a dying disk"),
    "convoy": (convoy, "no convoy"),
    "hot": (hot, "a hot sector"),
    "growth": (growth, "growth"),
}


def parse():
    p = argparse.ArgumentParser(
        description="Benchmarks of nbdkit-remap: run through the build "
        "directory's run script, or by `make bench'.")
    p.add_argument("items", nargs="*", metavar="ITEM",
                   help="some of: %s (default: all)" % " ".join(ITEMS))
    p.add_argument("--rounds", type=int, default=7,
                   help="rounds of each comparison (default: 7)")
    p.add_argument("--seconds", type=float, default=1,
                   help="of each measurement (default: 1)")
    p.add_argument("--only", action="append", default=[],
                   help="cases whose name contains this")
    p.add_argument("--output", default="bench",
                   help="folder for results.json, results.txt, growth.svg")
    o = p.parse_args()
    unknown = set(o.items) - set(ITEMS)
    if unknown:
        p.error("no such item: " + " ".join(unknown))
    if o.rounds < 1 or o.seconds <= 0:
        p.error("at least one round, and more than 0 seconds")
    return o


def main():
    options = parse()
    options.output = os.path.abspath(options.output)
    os.makedirs(options.output, exist_ok=True)
    options.say = lambda text: print(text, file=sys.stderr, flush=True)

    results_path = os.path.join(options.output, "results.json")
    results = {"items": {}}
    if os.path.exists(results_path):
        with open(results_path) as f:
            results = json.load(f)
    for name in options.items or ITEMS:
        module, title = ITEMS[name]
        options.say("== " + title)
        machine = common.machine()
        try:
            measured = module.measure(options)
            text = module.report(measured)
        except common.Skip as e:
            measured, text = {"skipped": str(e)}, "skipped: %s\n" % e
        machine["load_after"] = [round(x, 2) for x in os.getloadavg()]
        results["items"][name] = {
            "title": title, "machine": machine, "rounds": options.rounds,
            "seconds": options.seconds,
            "date": time.strftime("%Y-%m-%d", time.gmtime()),
            "results": measured, "text": text,
        }
        with open(results_path, "w") as f:
            json.dump(results, f, indent=1)

    with open(os.path.join(options.output, "results.txt"), "w") as f:
        for name in ITEMS:
            if name not in results["items"]:
                continue
            r = results["items"][name]
            m = r["machine"]
            head = "== %s\n\n%s, %d processors, Linux %s, %s, %s\n" % (
                r["title"], m["processor"], m["processors"], m["kernel"],
                m["nbdkit"], r["date"])
            head += ("load average before and after: %s, %s; %d rounds of "
                     "%g s\n\n" % (m["load"][0], m["load_after"][0],
                                   r["rounds"], r["seconds"]))
            f.write(head + r["text"] + "\n")
    with open(os.path.join(options.output, "results.txt")) as f:
        sys.stdout.write(f.read())


if __name__ == "__main__":
    main()
