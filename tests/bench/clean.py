# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The clean path: what do servers cost while nothing is wrong?

import json
import os
import statistics
import time

from common import (Daemon, Scratch, Server, Skip, have, need, nbdkit,
                    paired_ratios, ratio_text, run, table)

SIZE = 64 << 20
BASE = "nofilter"

# name, fio's rw, block size, depth, connections
WORKLOADS = [
    (rw + " 4K depth %d" % depth, rw, "4k", depth, 1)
    for depth in (1, 32) for rw in ("randread", "randwrite")
] + [(rw + " 128K depth 8", rw, "128k", 8, 1) for rw in ("read", "write")]
WORKLOADS += [(w[0] + ", 4 connections", *w[1:4], 4) for w in WORKLOADS]


def image(scratch, name):
    """An image without holes: these are read and written differently."""
    path = scratch.path(name + ".img")
    with open(path, "wb") as f:
        for _ in range(SIZE >> 20):
            f.write(b"image" * 209716)
        f.truncate(SIZE)
    return path


def start_servers(scratch, say):
    """{name: server}, all running; a reason for those that can't."""
    servers, skipped = {}, {}

    def add(name, start, *programs):
        try:
            need(*programs)
            servers[name] = start(name.replace(" ", "-"))
        except (Skip, RuntimeError) as e:
            skipped[name] = str(e).splitlines()[0]
            say("%s: skipped: %s" % (name, skipped[name]))

    def kit(*filters):
        def start(name):
            return nbdkit(scratch, name, *filters, "file",
                          image(scratch, name))
        return start

    def remap(name):
        return nbdkit(scratch, name, "--filter=remap", "file",
                      image(scratch, name),
                      "spare=" + scratch.path("spare.img"))

    def qemu_raw(name):
        return Server(scratch, name, [
            "qemu-nbd", "-t", "-e", "8", "-f", "raw", "-k", "SOCKET",
            image(scratch, name)])

    def qemu_overlay(name):
        base, path = image(scratch, name), scratch.path("overlay.qcow2")
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", base, "-F",
            "raw", path)
        return Server(scratch, name, [
            "qemu-nbd", "-t", "-e", "8", "-f", "qcow2", "-k", "SOCKET", path])

    def nbd_server(name):
        # It goes into the background.
        pid = scratch.path("nbd-server.pid")
        sock = scratch.path("nbd-server.sock")
        config = scratch.text("nbd-server.conf", """[generic]
user = root
group = root
unixsock = %s
[disk]
exportname = %s
""" % (sock, image(scratch, name)))
        run("nbd-server", "-C", config, "-p", pid)
        return Daemon(sock, pid, "nbd+unix:///disk?socket=" + sock)

    add("bare", kit())
    add(BASE, kit("--filter=nofilter"))
    add("nofilter again", kit("--filter=nofilter"))
    add("remap", remap)
    add("cow", kit("--filter=cow"))
    add("qemu-nbd raw", qemu_raw, "qemu-nbd")
    add("qemu-nbd qcow2", qemu_overlay, "qemu-nbd", "qemu-img")
    add("nbd-server", nbd_server, "nbd-server")
    return servers, skipped


def cpu_seconds(pid):
    """Of the process and its children, ended ones included."""
    total, tick = 0, os.sysconf("SC_CLK_TCK")
    todo = [pid]
    while todo:
        p = todo.pop()
        try:
            with open("/proc/%d/stat" % p) as f:
                w = f.read().rsplit(")", 1)[1].split()
            total += sum(int(x) for x in w[11:15])
            for t in os.listdir("/proc/%d/task" % p):
                with open("/proc/%d/task/%s/children" % (p, t)) as f:
                    todo += [int(x) for x in f.read().split()]
        except OSError:
            pass
    return total / tick


def fio(scratch, uri, workload, seconds):
    _, rw, bs, depth, connections = workload
    r = run("fio", "--name=bench", "--ioengine=nbd", "--uri=" + uri,
            "--rw=" + rw, "--bs=" + bs, "--iodepth=%d" % depth,
            "--numjobs=%d" % connections, "--group_reporting", "--thread",
            "--time_based", "--runtime=%dms" % (seconds * 1000),
            "--size=%d" % SIZE,
            "--randrepeat=0", "--percentile_list=50:99:99.9",
            "--output-format=json", cwd=scratch.dir)
    job = json.loads(r.stdout[r.stdout.index("{"):])["jobs"][0]
    side = job["read"] if "read" in rw else job["write"]
    p = side["clat_ns"].get("percentile", {})
    return {"value": side["iops"], "requests": side["total_ios"],
            "latency_us": [p.get(k, 0) / 1000 for k in
                           ("50.000000", "99.000000", "99.900000")]}


def nbdcopy(scratch, uri, workload, seconds):
    t = time.monotonic()
    run("nbdcopy", uri, "null:")
    t = time.monotonic() - t
    return {"value": SIZE / t, "requests": SIZE // 262144}


def measure_workload(options, scratch, servers, workload, how):
    rounds = []
    for i in range(options.rounds):
        r = {}
        names = list(servers)
        # Each starts a round in turn.
        for name in names[i % len(names):] + names[:i % len(names)]:
            pid = servers[name].process.pid
            cpu = cpu_seconds(pid)
            r[name] = how(scratch, servers[name].uri, workload,
                          options.seconds)
            r[name]["cpu_us"] = ((cpu_seconds(pid) - cpu) * 1e6 /
                                 max(r[name]["requests"], 1))
        rounds.append(r)
    out = {}
    for name in servers:
        values = [r[name]["value"] for r in rounds]
        out[name] = {
            "median": statistics.median(values), "values": values,
            "ratio": paired_ratios(
                [{n: x["value"] for n, x in r.items()} for r in rounds],
                name, BASE),
            "cpu_us": statistics.median(r[name]["cpu_us"] for r in rounds),
        }
        if "latency_us" in rounds[0][name]:
            out[name]["latency_us"] = [
                round(statistics.median(r[name]["latency_us"][i]
                                        for r in rounds), 1)
                for i in range(3)]
    return out


def measure(options):
    need("fio")
    results = {}
    with Scratch() as scratch:
        os.environ["TMPDIR"] = scratch.dir      # cow's, too
        servers, skipped = start_servers(scratch, options.say)
        try:
            workloads = [(w, fio) for w in WORKLOADS]
            if have("nbdcopy"):
                workloads.append((("nbdcopy",), nbdcopy))
            for w, how in workloads:
                if options.only and not any(o in w[0] for o in options.only):
                    continue
                results[w[0]] = r = measure_workload(options, scratch,
                                                     servers, w, how)
                options.say("%-40s remap %s, nofilter again %s" % (
                    w[0], ratio_text(r["remap"]["ratio"]),
                    ratio_text(r["nofilter again"]["ratio"])))
        finally:
            for s in servers.values():
                s.stop()
            del os.environ["TMPDIR"]
    return {"base": BASE, "skipped": skipped, "workloads": results}


def verdict(r):
    """Is the goal of at least 0.99 of nofilter met, or within the noise?"""
    a, null = r["remap"]["ratio"], r["nofilter again"]["ratio"]
    if a["median"] >= 0.99:
        return "yes"
    return "noise" if a["high"] >= null["low"] else "no"


def report(results):
    w = results["workloads"]
    names = list(next(iter(w.values()))) if w else []
    text = ("Throughput as a part of nofilter's (median of the paired ratios, "
            "95 % interval).\n\"goal\": remap reaches 0.99, or its interval "
            "overlaps that of the null pair\n(noise).\n\n")
    text += table(["workload", *names, "goal"], [
        [k, *(ratio_text(r[n]["ratio"]) for n in names), verdict(r)]
        for k, r in w.items()])
    text += "\nThe server's processor time, microseconds a request.\n\n"
    text += table(["workload", *names], [
        [k, *("%.1f" % r[n]["cpu_us"] for n in names)]
        for k, r in w.items()])
    text += "\nLatency at depth 1, microseconds: p50 / p99 / p99.9.\n\n"
    text += table(["workload", *names], [
        [k, *("%.0f / %.0f / %.0f" % tuple(r[n]["latency_us"])
              for n in names)]
        for k, r in w.items() if "depth 1" in k])
    for name, why in results["skipped"].items():
        text += "\n%s: skipped: %s\n" % (name, why)
    return text
