# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Many remapped sectors: 4K reads over 64 GiB (sparse) that hit none of them,
# one request in ten, or nothing else.

import os
import random
import subprocess

from common import (BUILD, Scratch, nbdkit, paired_ratios, ratio_text, run,
                    table)

SIZE = 64 << 30
OFFSETS = 20000
BASE = "nofilter"

# name, runs, sectors in each
SPARES = [
    ("1 thousand scattered", 1000, 1),
    ("1 million scattered", 1000000, 1),
    ("10 million scattered", 10000000, 1),
    ("1 million in runs of 64", 15625, 64),
    ("10 million in runs of 64", 156250, 64),
]


def bench_spare(*args):
    return run(BUILD + "/tests/bench-spare", *map(str, args)).stdout


def offsets(spare, seed=1):
    """Offsets of 4K blocks: {share of hits: [...]}."""
    r = random.Random(seed)
    kinds = {"hit": [], "clean": []}
    for line in bench_spare("sample", spare, SIZE, OFFSETS).splitlines():
        kind, at = line.split()
        kinds[kind].append(int(at))
    some = [r.choice(kinds["hit" if r.random() < 0.1 else "clean"])
            for _ in range(OFFSETS)]
    return {"none": kinds["clean"], "one in ten": some, "all": kinds["hit"]}


def load(uri, what, size, depth, seconds, path, *stuck):
    """Requests a second."""
    with open(path) as f:
        r = subprocess.run(
            [BUILD + "/tests/bench-load", uri, what, str(size), str(depth),
             str(seconds), *map(str, stuck)],
            stdin=f, stdout=subprocess.PIPE, text=True, check=True)
    rate, failed = r.stdout.split()
    if int(failed):
        raise RuntimeError("%s requests failed" % failed)
    return float(rate)


def measure_spare(options, scratch, main, runs, length):
    spare = scratch.path("spare.img")
    bench_spare("make", spare, SIZE, runs, length)
    result = {"density": runs * length / (SIZE // 512), "hits": {}}
    wanted = offsets(spare)
    servers = {
        BASE: nbdkit(scratch, "base", "--filter=nofilter", "file", main),
        "nofilter again": nbdkit(scratch, "again", "--filter=nofilter",
                                 "file", main),
        "remap": nbdkit(scratch, "remap", "--filter=remap", "file", main,
                        "spare=" + spare),
    }
    try:
        for share, where in wanted.items():
            path = scratch.text("offsets", "".join("%d\n" % x
                                                   for x in where))
            for depth in (1, 32):
                rounds = []
                for i in range(options.rounds):
                    names = list(servers)
                    k = i % len(names)
                    rounds.append({
                        n: load(servers[n].uri, "read", 4096, depth,
                                options.seconds, path)
                        for n in names[k:] + names[:k]})
                result["hits"]["%s, depth %d" % (share, depth)] = {
                    n: paired_ratios(rounds, n, BASE) for n in servers}
    finally:
        for s in servers.values():
            s.stop()
        os.unlink(spare)
    return result


def measure(options):
    results = {}
    with Scratch() as scratch:
        main = scratch.sparse("main.img", SIZE)
        for name, runs, length in SPARES:
            if options.only and not any(o in name for o in options.only):
                continue
            results[name] = r = measure_spare(options, scratch, main, runs,
                                              length)
            for k, v in r["hits"].items():
                options.say("%s, %s: %s, nofilter again %s" % (
                    name, k, ratio_text(v["remap"]),
                    ratio_text(v["nofilter again"])))
    return results


def report(results):
    rows = []
    for name, r in results.items():
        for k, v in r["hits"].items():
            rows.append([name, "%.4f %%" % (100 * r["density"]), k,
                         ratio_text(v["remap"]),
                         ratio_text(v["nofilter again"])])
    return ("4K reads over 64 GiB, as a part of nofilter's throughput (slots "
            "and main are holes).\n\n" +
            table(["remapped sectors", "density", "requests that hit",
                   "remap", "nofilter again"], rows))
