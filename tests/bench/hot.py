# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# One hot remapped sector, or an operator's request, beside a busy disk.

from common import BUILD, MEMORY, run, table


def measure(options):
    """bench-hot's columns."""
    lines = run(BUILD + "/tests/bench-hot", MEMORY,
                str(min(5 * options.rounds, 100))).stdout.splitlines()
    options.say("\n".join(lines))
    return dict(zip(lines[0].split(), map(float, lines[1].split())))


def report(results):
    return ("Writes of 4K by two threads while a third one writes one sector all "
            "the time: processor\ntime of a write beside a remapped sector, and "
            "beside 256 blocks that an operator's request\nhas gathered, as a "
            "part of that beside a DIRECT one (bench-hot.c has the columns).\n\n"
            + table(list(results), [["%.4g" % v for v in results.values()]]))
