# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What the benchmarks share: servers, images in memory, the machine,
# statistics, tables.

import os
import random
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

# Where the images are: memory, so that the servers are what is measured.
MEMORY = os.environ.get("REMAP_BENCH_DIR", "/dev/shm")

SOURCE = os.environ["abs_top_srcdir"]
BUILD = os.environ["abs_top_builddir"]


class Skip(Exception):
    """This can't be measured here; the text says why."""


def have(program):
    return shutil.which(program) is not None


def need(*programs):
    for p in programs:
        if not have(p):
            raise Skip("the program %s is not installed" % p)


class Scratch:
    """A directory in memory that goes away with everything in it."""

    def __enter__(self):
        self.dir = tempfile.mkdtemp(prefix="remap-bench-", dir=MEMORY)
        return self

    def __exit__(self, *exc):
        shutil.rmtree(self.dir, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.dir, name)

    def sparse(self, name, size):
        path = self.path(name)
        with open(path, "wb") as f:
            f.truncate(size)
        return path

    def text(self, name, text):
        path = self.path(name)
        with open(path, "w") as f:
            f.write(text)
        return path


class Server:
    """A server on a Unix socket, from when it can be connected to.

    COMMAND has SOCKET where the path of the socket belongs.
    """

    def __init__(self, scratch, name, command, ready=60):
        self.name = name
        self.socket = scratch.path(name + ".sock")
        self.uri = "nbd+unix:///?socket=" + self.socket
        self.log = scratch.path(name + ".log")
        if os.path.exists(self.socket):
            os.unlink(self.socket)
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [w.replace("SOCKET", self.socket) for w in command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + ready
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.stop()
                raise RuntimeError("%s did not start:\n%s" %
                                   (name, self.messages()))
            time.sleep(0.01)

    def answers(self):
        with socket.socket(socket.AF_UNIX) as s:
            return s.connect_ex(self.socket) == 0

    def messages(self):
        with open(self.log, errors="replace") as f:
            return f.read()[-2000:]

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.stop()


class Daemon:
    """A server that went into the background by itself."""

    class Process:
        pid = 0

    def __init__(self, sock, pid_file, uri):
        self.uri = uri
        self.process = self.Process()
        for _ in range(500):
            if os.path.exists(sock) and os.path.exists(pid_file):
                with open(pid_file) as f:
                    self.process.pid = int(f.read().split()[0])
                return
            time.sleep(0.01)
        raise RuntimeError("did not start")

    def stop(self):
        os.kill(self.process.pid, signal.SIGTERM)


def nbdkit(scratch, name, *args, **kwargs):
    return Server(scratch, name, ["nbdkit", "-f", "-U", "SOCKET", *args],
                  **kwargs)


def run(*command, check=True, **kwargs):
    """Runs a program; its output is in .stdout and .stderr."""
    r = subprocess.run(command, stdin=subprocess.DEVNULL,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       text=True, **kwargs)
    if check and r.returncode != 0:
        raise RuntimeError("%s: status %d\n%s%s" % (
            " ".join(command), r.returncode, r.stdout[-300:],
            r.stderr[-1000:]))
    return r


# ---- statistics -------------------------------------------------------

def median_ci(values, level=0.95, rounds=2000):
    """The median, and its interval by the bootstrap (always the same)."""
    r = random.Random(1)
    if not values:
        return None
    m = sorted(statistics.median(r.choices(values, k=len(values)))
               for _ in range(rounds))
    return {
        "median": statistics.median(values),
        "low": m[int(rounds * (1 - level) / 2)],
        "high": m[int(rounds * (1 + level) / 2) - 1],
        "n": len(values),
    }


def paired_ratios(rounds, name, base):
    """ROUNDS: [{contender: value}].  Ratios within each round."""
    return median_ci([r[name] / r[base] for r in rounds
                      if r.get(name) and r.get(base)])


def exponent(points):
    """The slope of log y over log x (least squares): y ~ x^slope."""
    import math
    p = [(math.log(x), math.log(y)) for x, y in points if x > 0 and y > 0]
    mx = sum(x for x, _ in p) / len(p)
    my = sum(y for _, y in p) / len(p)
    d = sum((x - mx) ** 2 for x, _ in p)
    return sum((x - mx) * (y - my) for x, y in p) / d if d else 0


# ---- results ----------------------------------------------------------

def table(head, rows):
    """Text in columns; numbers to the right."""
    rows = [[str(c) for c in r] for r in rows]
    w = [max(len(r[i]) for r in [head] + rows) for i in range(len(head))]
    lines = []
    for r in [head] + rows:
        lines.append("  ".join(c.ljust(n) if i == 0 else c.rjust(n)
                               for i, (c, n) in enumerate(zip(r, w))))
    lines.insert(1, "  ".join("-" * n for n in w))
    return "\n".join(lines) + "\n"


def ratio_text(ci):
    if ci is None:
        return "-"
    return "%.3f (%.3f-%.3f)" % (ci["median"], ci["low"], ci["high"])


def first_line(*command):
    try:
        return run(*command, check=False).stdout.splitlines()[0].strip()
    except (OSError, IndexError):
        return "none"


def machine():
    """What ran this, and what else it was doing."""
    model, mem = "?", 0
    with open("/proc/cpuinfo") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.split(":", 1)[1].strip()
    with open("/proc/meminfo") as f:
        mem = int(f.readline().split()[1]) >> 20
    return {
        "processor": model, "processors": os.cpu_count(), "memory_GiB": mem,
        "kernel": os.uname().release, "images": MEMORY,
        "load": [round(x, 2) for x in os.getloadavg()],
        "nbdkit": first_line("nbdkit", "--version"),
        "fio": first_line("fio", "--version"),
        "qemu-nbd": first_line("qemu-nbd", "--version"),
        "ddrescue": first_line("ddrescue", "--version"),
    }
