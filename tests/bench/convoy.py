# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# No convoy: a sector that takes long to fail, while other requests of the
# same connection, and another connection, go on.  Beside it the same with as
# many such sectors as nbdkit has threads for a connection.

import os
import subprocess

from common import BUILD, Scratch, nbdkit, paired_ratios, ratio_text, table
from remaps import load

SIZE = 64 << 20
THREADS = 16
BASE = "nothing stuck"
STUCK_AT = 32 << 20         # from there on, each megabyte has a bad sector


def measure(options):
    seconds = max(options.seconds, 0.5)
    # Two reads fail for each sector, and the last one must not end before
    # the measurement does.
    delay = int(3000 * seconds)
    results = {"delay_ms": delay, "threads": THREADS}
    cases = {
        BASE: 0,
        "nothing stuck, again": 0,
        "one stuck, same connection": 1,
        "one stuck, another connection": -1,
        "%d stuck, same connection" % (THREADS - 1): THREADS - 1,
        "%d stuck, same connection" % THREADS: THREADS,
    }
    rounds = []
    with Scratch() as scratch:
        scratch.text("bad.txt", "0x0 ? 1\n" + "".join(
            "0x%x 0x200 -\n" % (STUCK_AT + (i << 20)) for i in range(32)))
        main = scratch.sparse("main.img", SIZE)
        good = scratch.text("offsets", "".join(
            "%d\n" % (4096 * i) for i in range(4096)))
        for i in range(options.rounds):
            r = {}
            names = list(cases)
            # Each starts a round in turn.
            for name in names[i % len(names):] + names[:i % len(names)]:
                stuck = cases[name]
                # A fresh spare: what was LOST would fail at once.
                with nbdkit(scratch, "convoy", "-t", str(THREADS),
                            "--filter=remap", "--filter=baddisk", "file",
                            main, "spare=" + scratch.path("spare%d" % i),
                            "baddisk-list=" + scratch.path("bad.txt"),
                            "baddisk-fail-delay=%d" % delay) as s:
                    at = [STUCK_AT + (k << 20) for k in range(abs(stuck))]
                    other = None
                    if stuck < 0:
                        other = subprocess.Popen(
                            [BUILD + "/tests/bench-load", s.uri, "read",
                             "512", "0", "60", *map(str, at)],
                            stdin=open(good), stdout=subprocess.DEVNULL)
                        at = []
                    r[name] = load(s.uri, "read", 4096, 8, seconds, good,
                                   *at)
                    s.process.kill()
                    if other:
                        other.kill()
                        other.wait()
                os.unlink(scratch.path("spare%d" % i))
            options.say("%s" % r)
            rounds.append(r)
    results["cases"] = {
        name: paired_ratios(
            [{k: max(v, 0.001) for k, v in r.items()} for r in rounds],
            name, BASE) for name in cases}
    return results


def report(results):
    return (
        "Throughput of 4K reads at depth 8 while sectors are stuck in main "
        "(%.1f s a failing\nread, scaled down from 30), as a part of that "
        "without; again is the\nnull pair.  nbdkit serves a connection with %d "
        "threads (-t): as many stuck requests\nstop that connection, and no "
        "other.\n\n" %
        (results["delay_ms"] / 1000, results["threads"]) +
        table(["stuck", "throughput"],
              [[k, ratio_text(v)] for k, v in results["cases"].items()]))
