# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Growth: costs as a function of the number of remapped sectors and of the
# disk's size: exponents (cost ~ n^exponent), and a plot if gnuplot is there.

import os

from common import (BUILD, Scratch, exponent, have, nbdkit, run, table)
from remaps import bench_spare

REMAPS = [1000, 10000, 100000, 1000000, 10000000]
SIZES = [10 ** 9, 10 ** 10, 10 ** 11, 10 ** 12, 10 ** 13, 10 ** 14]


def of_remaps(options):
    """{cost: [(entries, value)]}"""
    out = {}
    for _ in range(max(1, options.rounds // 2)):
        lines = run(BUILD + "/tests/bench-map",
                    *map(str, REMAPS)).stdout.splitlines()
        head = lines[0].split()
        for line in lines[1:]:
            row = dict(zip(head, map(float, line.split())))
            n = int(row["entries"])
            for cost, value in (("lookup, ns", row["direct_ns"]),
                                ("update, us", row["single_us"]),
                                ("memory, bytes", row["B/entry"] * n)):
                best = out.setdefault(cost, {})
                best[n] = min(best.get(n, value), value)
    with Scratch() as scratch:
        for n in REMAPS:
            spare = scratch.path("spare.img")
            bench_spare("make", spare, 64 << 30, n, 1)
            t = min(float(bench_spare("open", spare).split()[1])
                    for _ in range(options.rounds))
            out.setdefault("open, ms of processor", {})[n] = t * 1000
            os.unlink(spare)
            options.say("%d remaps: open %.4f s" % (n, t))
    return {k: sorted(v.items()) for k, v in out.items()}


def resident(pid):
    with open("/proc/%d/statm" % pid) as f:
        return int(f.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def of_sizes(options):
    out = {}
    with Scratch() as scratch:
        for size in SIZES:
            size = size // 512 * 512
            main = scratch.sparse("main.img", size)
            spare = scratch.path("spare.img")
            cpu, memory = [], []
            for i in range(options.rounds):
                with nbdkit(scratch, "size", "--filter=remap", "file", main,
                            "spare=" + spare, "spare-size=64M") as s:
                    with open("/proc/%d/schedstat" % s.process.pid) as f:
                        # Formatting counts once only.
                        if i > 0 or options.rounds == 1:
                            cpu.append(int(f.read().split()[0]) / 1e6)
                    memory.append(resident(s.process.pid))
            os.unlink(spare)
            out.setdefault("start, ms of processor", []).append(
                (size, min(cpu)))
            out.setdefault("server's memory, bytes", []).append(
                (size, min(memory)))
            options.say("%d bytes: %s ms, %s bytes" % (size, min(cpu),
                                                       min(memory)))
    return out


def plot(path, results):
    """An SVG with a curve for each cost, both axes logarithmic."""
    blocks, curves = [], []
    for panel in ("remaps", "size"):
        for cost, points in results[panel].items():
            blocks.append("$d%d << EOD\n%s\nEOD\n" % (
                len(curves), "\n".join("%g %g" % p for p in points)))
            curves.append((panel, "%s: n^{%.2f}" % (cost, exponent(points))))
    script = "".join(blocks) + """
set terminal svg size 1000,420 font ",11"
set output "%s"
set logscale xy
set format x "10^{%%T}"
set key left top
set grid
set multiplot layout 1,2
""" % path
    for panel, label in (("remaps", "remapped sectors, scattered"),
                         ("size", "bytes of the disk")):
        script += 'set xlabel "%s"\nplot %s\n' % (label, ", ".join(
            '$d%d using 1:2 with linespoints title "%s"' % (i, title)
            for i, (p, title) in enumerate(curves) if p == panel))
    with Scratch() as scratch:
        run("gnuplot", scratch.text("plot", script + "unset multiplot\n"))


def measure(options):
    results = {"remaps": of_remaps(options), "size": of_sizes(options)}
    if have("gnuplot"):
        plot(os.path.join(options.output, "growth.svg"), results)
    else:
        results["skipped"] = "no plot: gnuplot is not installed"
    return results


def report(results):
    text = ""
    for panel, what in (("remaps", "remapped sectors (scattered)"),
                        ("size", "the disk's bytes (sparse)")):
        rows = []
        costs = results[panel]
        for cost, points in costs.items():
            rows.append([cost] + ["%.4g" % y for _, y in points] +
                        ["%.2f" % exponent(points)])
        xs = [x for x, _ in next(iter(costs.values()))]
        text += "Costs and their growth with %s.\n\n" % what
        text += table(["cost", *("%.0e" % x for x in xs), "exponent"],
                      rows) + "\n"
    return text + results.get("skipped", "The plot is growth.svg.") + "\n"
