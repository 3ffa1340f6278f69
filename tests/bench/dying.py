# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A dying disk: what do a reader and its tools put it through?  baddisk
# sums up what a drive would have taken (baddisk-clock=on).

import os
import random
import subprocess
import time

from common import (Scratch, Skip, have, need, nbdkit, run, table)

SECTOR = 512
SIZE = 1 << 30
BAD = 500
RUNS = 53


def bad_runs(seed=1):
    """BAD sectors in RUNS runs, apart from each other: (first, count)."""
    r = random.Random(seed)
    cuts = sorted(r.sample(range(1, BAD), RUNS - 1))
    counts = [b - a for a, b in zip([0] + cuts, cuts + [BAD])]
    places = sorted(r.sample(range(SIZE // SECTOR // 1024), RUNS))
    return [(p * 1024 + r.randrange(1024 - n), n)
            for p, n in zip(places, counts)]


def read_log(path):
    """Failing reads, and the totals of the last server that ended."""
    failing, totals = 0, {}
    with open(path) as f:
        for line in f:
            w = line.split()
            if w[0] == "totals":
                totals = dict(x.split("=") for x in w[1:])
            elif w[0] == "read" and w[3] != "ok":
                failing += 1
    return failing, {k: float(v) for k, v in totals.items()}


def compare(got, want):
    """Sectors that are right, and those that are neither right nor zero."""
    right = wrong = 0
    piece, zero = 1 << 20, bytes(SECTOR)
    with open(got, "rb") as g, open(want, "rb") as w:
        while True:
            b = w.read(piece)
            if not b:
                return right, wrong
            a = g.read(len(b)).ljust(len(b), b"\0")
            if a == b:
                right += len(b) // SECTOR
                continue
            for i in range(0, len(b), SECTOR):
                s = a[i:i + SECTOR]
                right += s == b[i:i + SECTOR]
                wrong += s != b[i:i + SECTOR] and s != zero


class Disk:
    """A server over the dying disk, with or without remap."""

    def __init__(self, scratch, *remap):
        self.scratch = scratch
        self.log = scratch.path("ops.txt")
        self.remap = remap
        args = ["--filter=baddisk", "pattern", "size=%d" % SIZE,
                "baddisk-list=" + scratch.path("bad.txt"),
                "baddisk-clock=on", "baddisk-log=" + self.log]
        if remap:
            args = ["--filter=remap", *args,
                    "spare=" + scratch.path("spare.img"), *remap]
        self.server = nbdkit(scratch, "dying", "-r", *args)
        self.uri = self.server.uri

    def stop(self):
        self.server.stop()
        return read_log(self.log)


class Mount:
    """The disk as a file, by nbdfuse."""

    def __init__(self, scratch, uri):
        self.dir = scratch.path("mnt")
        os.makedirs(self.dir, exist_ok=True)
        self.path = os.path.join(self.dir, "disk")
        self.process = subprocess.Popen(["nbdfuse", "-r", self.path, uri],
                                        stderr=subprocess.DEVNULL)
        for _ in range(500):
            if os.path.exists(self.path):
                return
            time.sleep(0.01)
        raise Skip("nbdfuse can't mount here")

    def __enter__(self):
        return self.path

    def __exit__(self, *exc):
        run("fusermount3", "-u", self.dir, check=False)
        self.process.wait(60)


def unlink(path):
    if os.path.exists(path):
        os.unlink(path)


def ddrescue(*options):
    def read(disk, out):
        need("ddrescue", "nbdfuse")
        unlink(disk.scratch.path("rescue.map"))
        with Mount(disk.scratch, disk.uri) as path:
            run("ddrescue", "-q", "-b", str(SECTOR), *options, path, out,
                disk.scratch.path("rescue.map"))
    return read


def dd(disk, out):
    need("nbdfuse")
    with Mount(disk.scratch, disk.uri) as path:
        run("dd", "if=" + path, "of=" + out, "bs=64k", "conv=noerror,sync",
            "status=none", check=False)


def nbdcopy(disk, out):
    need("nbdcopy")
    run("nbdcopy", "--synchronous", disk.uri, out, check=False)


CONTENDERS = [
    ("ddrescue -d", (), ddrescue("-d")),
    ("ddrescue -d -n", (), ddrescue("-d", "-n")),
    ("ddrescue -d -r1", (), ddrescue("-d", "-r1")),
    ("dd conv=noerror,sync", (), dd),
    ("nbdcopy", (), nbdcopy),
    ("remap retries=0, ddrescue -d", ("remap-retries=0",), ddrescue("-d")),
    ("remap, ddrescue -d", ("remap-retries=1",), ddrescue("-d")),
    ("remap retries=0, lost=zero, nbdcopy",
     ("remap-retries=0", "remap-lost=zero"), nbdcopy),
    ("remap lost=zero, nbdcopy", ("remap-lost=zero",), nbdcopy),
    ("remap, dd conv=noerror,sync", ("remap-retries=1",), dd),
]


def one(scratch, remap, read, want):
    """One pass, a second one, and one after a restart."""
    out = scratch.path("out.img")
    result = {}

    # The first two in one server, after the first one alone: the second
    # one costs the difference.
    for passes in 1, 2:
        unlink(scratch.path("ops.txt"))
        unlink(scratch.path("spare.img"))
        disk = Disk(scratch, *remap)
        try:
            for _ in range(passes):
                unlink(out)
                read(disk, out)
        finally:
            failing, totals = disk.stop()
        result[passes] = (failing, totals["clock"])
        if passes == 1:
            right, wrong = compare(out, want)
            result["seek"] = totals["seek"]
    unlink(scratch.path("ops.txt"))
    disk = Disk(scratch, *remap)
    try:
        unlink(out)
        read(disk, out)
    finally:
        failing, totals = disk.stop()
    unlink(out)
    return {
        "failing_reads": [result[1][0], result[2][0] - result[1][0], failing],
        "seconds": [round(t, 1) for t in (
            result[1][1], result[2][1] - result[1][1], totals["clock"])],
        "seek_seconds": result["seek"],
        "failing_reads_per_bad_sector": result[1][0] / BAD,
        "recovered": right,
        "missing": SIZE // SECTOR - BAD - right,
        "wrong": wrong,
    }


def measure(options):
    results = {}
    with Scratch() as scratch:
        runs = bad_runs()
        scratch.text("bad.txt", "0x0 ? 1\n" + "".join(
            "0x%x 0x%x -\n" % (a * SECTOR, n * SECTOR) for a, n in runs))
        want = scratch.path("want.img")
        with nbdkit(scratch, "pattern", "pattern", "size=%d" % SIZE) as s:
            run("nbdcopy", s.uri, want)
        for name, remap, read in CONTENDERS:
            if options.only and not any(o in name for o in options.only):
                continue
            try:
                results[name] = one(scratch, remap, read, want)
            except Skip as e:
                results[name] = {"skipped": str(e)}
            options.say("%s: %s" % (name, results[name]))
    return {"sectors": SIZE // SECTOR, "bad": BAD, "runs": len(runs),
            "contenders": results}


def report(results):
    rows = []
    for name, r in results["contenders"].items():
        if "skipped" in r:
            rows.append([name, r["skipped"]] + [""] * 7)
            continue
        rows.append([name, "%.2f" % r["failing_reads_per_bad_sector"]] +
                    ["%d" % n for n in r["failing_reads"]] +
                    ["%.0f" % t for t in r["seconds"]] +
                    [r["missing"], r["wrong"]])
    return (
        "%d bad sectors in %d runs on 1 GiB.  For each pass (the third after "
        "a restart):\nfailing reads, and seconds that a drive would have "
        "taken.  Good sectors missing, and\nsectors with a content that was "
        "never there, after one pass.\n\n" % (results["bad"],
                                              results["runs"]) +
        table(["reader", "a bad sector", "1st", "2nd", "3rd", "1st s",
               "2nd s", "3rd s", "missing", "wrong"], rows))
