# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Remapping: sectors newly remapped a second, durably, against what the
# machine itself does: write 4 KiB, fdatasync.  The spare is on a disk.

import os
import tempfile
import time

from common import (Scratch, median_ci, nbdkit, paired_ratios, ratio_text,
                    table)
from remaps import load

# name, sectors a request, depth, requests
CASES = [
    ("scattered, depth 1", 1, 1, 200),
    ("scattered, depth 32", 1, 32, 2000),
    ("runs of 64, depth 1", 64, 1, 200),
    ("runs of 64, depth 32", 64, 32, 2000),
]


def fdatasyncs(directory, n=100):
    """write+fdatasync a second."""
    path = os.path.join(directory, "sync")
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.posix_fallocate(fd, 0, n * 4096)
        os.fsync(fd)
        t = time.monotonic()
        for i in range(n):
            os.pwrite(fd, b"x" * 4096, i * 4096)
            os.fdatasync(fd)
        return n / (time.monotonic() - t)
    finally:
        os.close(fd)
        os.unlink(path)


def remap(scratch, directory, length, depth, requests):
    """Sectors a second."""
    size = requests * length * 1024
    spare = os.path.join(directory, "spare.img")
    scratch.text("bad.txt", "0x0 ? 1\n0x0 0x%x -\n" % size)
    path = scratch.text("offsets", "".join(
        "%d\n" % (i * length * 1024) for i in range(requests)))
    with nbdkit(scratch, "remap", "-t", "64", "--filter=remap",
                "--filter=baddisk", "memory", "%d" % (size + (1 << 20)),
                "baddisk-list=" + scratch.path("bad.txt"),
                "baddisk-fail=write", "spare=" + spare,
                "spare-size=256M") as s:
        rate = load(s.uri, "write", length * 512, depth, 0, path)
    os.unlink(spare)
    return rate * length


def measure(options):
    results = {}
    with Scratch() as scratch, tempfile.TemporaryDirectory(
            dir=os.environ.get("REMAP_BENCH_DISK", "/var/tmp")) as disk:
        for name, length, depth, requests in CASES:
            rounds = []
            for _ in range(options.rounds):
                rounds.append({
                    "fdatasync": fdatasyncs(disk),
                    "remap": remap(scratch, disk, length, depth, requests)})
            results[name] = {
                "sectors_a_second": median_ci([r["remap"] for r in rounds]),
                "fdatasyncs_a_second": median_ci([r["fdatasync"]
                                                  for r in rounds]),
                "requests_per_fdatasync": paired_ratios(
                    [{"remap": r["remap"] / length,
                      "fdatasync": r["fdatasync"]} for r in rounds],
                    "remap", "fdatasync"),
            }
            options.say("%s: %s" % (name, results[name]))
    return results


def report(results):
    return (
        "Sectors newly remapped a second, durably, and requests in the time "
        "of one\nwrite+fdatasync of 4 KiB.  (Flushes are counted in the test "
        "shared-flushes.)\n\n" +
        table(["requests", "sectors/s", "fdatasync/s",
               "requests per write+fdatasync"],
              [[k, "%.0f" % r["sectors_a_second"]["median"],
                "%.0f" % r["fdatasyncs_a_second"]["median"],
                ratio_text(r["requests_per_fdatasync"])]
               for k, r in results.items()]))
