# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# conformance.py URI BACKING SIZE SEED ROUNDS TRIM
#
# Random requests of every alignment and size to a server that is empty at
# first, compared with the same reads and writes of a copy in memory; in the
# end the file that is behind the server is compared, too.
#
# In each round several requests are in flight on three connections.  Their
# bytes don't overlap, but most of their sectors do: a server that reads,
# modifies and writes a sector must not undo what another request has
# written there.

import errno, nbd, os, random, sys

uri, backing = sys.argv[1:3]
size, seed, rounds, may_trim = (int(n) for n in sys.argv[3:7])
rnd = random.Random(seed)
copy = bytearray(size)
connections = []
for i in range(3):
    c = nbd.NBD()
    # What is advertised is the unit of failure, not a limit.
    c.set_strict_mode(c.get_strict_mode() & ~nbd.STRICT_ALIGN)
    c.connect_uri(uri)
    connections.append(c)
assert connections[0].get_size() == size
assert connections[0].can_multi_conn()
assert connections[0].can_fua()

KINDS = (["read"] * 4 + ["write"] * 4 + ["fua", "zero", "zero-data",
         "zero-fua", "fast", "flush"] + ["trim"] * may_trim)

def lengths():
    return rnd.choice((1, 7, 511, 512, 513, 1024, 4095, 4096, 4097, 8192,
                       rnd.randrange(1, 600), rnd.randrange(1, 20000),
                       rnd.randrange(1, 300000),
                       rnd.randrange(1, 300) * 512))

# Ranges beside each other, with and without a gap, somewhere: most begin
# and end within sectors of their neighbours.
def ranges(n):
    at = rnd.choice((0, rnd.randrange(size), rnd.randrange(size) & ~4095,
                     max(0, size - rnd.randrange(1, 20000))))
    for i in range(n):
        length = min(lengths(), size - at)
        if i == 0 and rnd.random() < 0.02:
            length = min(3500000 + rnd.randrange(5000), size - at)
        if length == 0:
            return
        yield at, length
        at += length + rnd.choice((0, 0, 0, 1, 100, 512, 4096, 5000))
        if at >= size:
            return

def check(what, got, at, length):
    wanted = copy[at:at + length]
    if got == wanted:
        return
    bad = [i for i in range(length) if got[i] != wanted[i]]
    sys.exit("%s of %d bytes at %d: %d bytes are wrong, from %d on: got %r, "
             "wanted %r" % (what, length, at, len(bad), at + bad[0],
                            got[bad[0]:bad[0] + 16],
                            bytes(wanted[bad[0]:bad[0] + 16])))

def run_round():
    requests = []

    def completion(request):
        def completed(error):
            request["error"] = getattr(error, "value", error)
            return 1
        return completed

    for at, length in ranges(rnd.randrange(1, 14)):
        c = rnd.choice(connections)
        kind = rnd.choice(KINDS)
        r = {"kind": kind, "at": at, "length": length, "error": None}
        done = completion(r)
        requests.append(r)
        if kind == "read":
            r["buf"] = nbd.Buffer(length)
            c.aio_pread(r["buf"], at, done)
        elif kind in ("write", "fua"):
            r["data"] = rnd.randbytes(length)
            r["buf"] = nbd.Buffer.from_bytearray(bytearray(r["data"]))
            c.aio_pwrite(r["buf"], at, done,
                         nbd.CMD_FLAG_FUA if kind == "fua" else 0)
        elif kind == "flush":
            c.aio_flush(done)
        elif kind == "trim":
            c.aio_trim(length, at, done)
        else:
            c.aio_zero(length, at, done,
                       {"zero": 0, "zero-data": nbd.CMD_FLAG_NO_HOLE,
                        "zero-fua": nbd.CMD_FLAG_FUA,
                        "fast": nbd.CMD_FLAG_FAST_ZERO}[kind])
    while any(c.aio_in_flight() for c in connections):
        for c in connections:
            if c.aio_in_flight():
                c.poll(-1)

    for r in requests:
        kind, at, length = r["kind"], r["at"], r["length"]
        counts[kind] = counts.get(kind, 0) + 1
        if kind == "fast" and r["error"] in (errno.ENOTSUP, errno.EOPNOTSUPP):
            counts["fast refused"] = counts.get("fast refused", 0) + 1
            kind = "flush"
        elif r["error"]:
            sys.exit("%s of %d bytes at %d: %s"
                     % (kind, length, at, errno.errorcode[r["error"]]))
        if kind == "read":
            check(kind, r["buf"].to_bytearray(), at, length)
        elif kind in ("write", "fua"):
            copy[at:at + length] = r["data"]
        elif kind.startswith("zero") or kind == "fast":
            copy[at:at + length] = bytes(length)
    # What was trimmed reads as before, or as zeroes, sector by sector.
    for r in requests:
        if r["kind"] == "trim":
            at, length = r["at"], r["length"]
            got = connections[0].pread(length, at)
            for start in range(at & ~511, at + length, 512):
                first, last = max(start, at), min(start + 512, at + length)
                sector = got[first - at:last - at]
                if sector == bytes(last - first):
                    copy[first:last] = sector
                elif sector != copy[first:last]:
                    sys.exit("trim of %d bytes at %d: sector at %d is "
                             "neither old nor zero" % (length, at, start))

counts = {}
for n in range(rounds):
    run_round()
connections[0].flush()
check("read of everything", connections[1].pread(size, 0), 0, size)
for c in connections:
    c.shutdown()
with open(backing, "rb") as f:
    check("what is in the file:", f.read(size), 0, size)
assert os.path.getsize(backing) == size, os.path.getsize(backing)
print(", ".join("%d %s" % (n, k) for k, n in sorted(counts.items())))
