# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# conformance.py URI BACKING SIZE SEED ROUNDS TRIM SERVED
#
# Random requests of every alignment and size to a server that is empty at
# first, compared with the same reads and writes of a copy in memory; in the
# end the file that is behind the server is compared, too.
#
# In each round several requests are in flight on three connections.  Their
# bytes don't overlap, but most of their sectors do: a server that reads,
# modifies and writes a sector must not undo what another request has
# written there.  As many rounds again go to the last pages of a file with a
# tail.
#
# If BACKING itself is served (SERVED is "file"; else it is behind a "device"),
# nothing of it is dirty in the page cache whenever no request is under way: what
# goes through the cache meets what goes past it, and the kernel takes that for a
# loss of data ("Page cache invalidation failure on direct I/O").  It logs that
# ten times a day at most, but tells each descriptor of the file by an EIO of
# its next fsync: so a descriptor that is open all the time knows of any.
#
# A clean page of the tail may be there: a flush beside its write keeps the
# server from dropping it.  That is rare.

import ctypes, errno, mmap, nbd, os, random, sys

uri, backing = sys.argv[1:3]
size, seed, rounds, may_trim = (int(n) for n in sys.argv[3:7])
served = sys.argv[7] == "file"
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

# The pages of the file that are in the page cache.
libc = ctypes.CDLL(None, use_errno=True)
def cached(fd, size):
    with mmap.mmap(fd, size, mmap.MAP_PRIVATE,
                   mmap.PROT_READ | mmap.PROT_WRITE) as m:
        start = ctypes.c_char.from_buffer(m)
        pages = (ctypes.c_ubyte * ((size + mmap.PAGESIZE - 1)
                                   // mmap.PAGESIZE))()
        if libc.mincore(ctypes.c_void_p(ctypes.addressof(start)),
                        ctypes.c_size_t(size), pages) != 0:
            sys.exit("mincore: %s" % os.strerror(ctypes.get_errno()))
        del start
    return [i for i, page in enumerate(pages) if page & 1]

# Some filesystems take O_DIRECT for a wish.
def is_past_the_cache():
    name = backing + ".probe"
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_DIRECT)
    os.unlink(name)
    try:
        with mmap.mmap(-1, mmap.PAGESIZE) as buf:
            os.writev(fd, [buf])
        return not cached(fd, mmap.PAGESIZE)
    finally:
        os.close(fd)

witness = os.open(backing, os.O_RDONLY)
if served and not is_past_the_cache():
    print("the filesystem has no O_DIRECT that is past the page cache")
    served = False

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

# Within the last pages, with many whole sectors among them.
def ranges_at_the_end(n):
    at = max(0, size - rnd.choice((600, 2500, 8192)))
    for i in range(n):
        if rnd.random() < 0.5:
            at = min((at + 511) & ~511, size - 1)
        length = min(rnd.choice((1, 100, 512, 512, 512, 1024, 1536,
                                 rnd.randrange(1, 600))), size - at)
        yield at, length
        at += length
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

def run_round(ranges):
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
rounds_cached = 0
for n in range(rounds if size % 512 == 0 else 2 * rounds):
    run_round(ranges if n < rounds else ranges_at_the_end)
    if served and cached(witness, size):
        # What is dirty can't be dropped at once.
        os.posix_fadvise(witness, 0, 0, os.POSIX_FADV_DONTNEED)
        if cached(witness, size):
            sys.exit("round %d: dirty pages in the page cache: %r"
                     % (n, cached(witness, size)))
        rounds_cached += 1
connections[0].flush()
check("read of everything", connections[1].pread(size, 0), 0, size)
for c in connections:
    c.shutdown()
with open(backing, "rb") as f:
    check("what is in the file:", f.read(size), 0, size)
assert os.path.getsize(backing) == size, os.path.getsize(backing)
os.fsync(witness)
if rounds_cached > rounds // 10:
    sys.exit("the page cache kept pages in %d rounds" % rounds_cached)
print(", ".join("%d %s" % (n, k) for k, n in sorted(counts.items())))
