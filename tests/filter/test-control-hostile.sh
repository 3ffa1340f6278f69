#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Bad input at the control socket: half lines, very long ones, bytes that
# are no text, 1,000 connections, peers that never read, never write, or
# hang up.  Errors, and nothing is changed; other peers and NBD clients are
# served all the while (promise 23 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
serve remap-control=ctl.sock
client <<'PY'
import resource, select
def served():
    is_(read(777), orig(777))
    is_(control("ping")["ok"], True)

# Bytes that are no text.
for line, text in ((b"ping\0\n", "0x00"), (b"\0\n", "0x00"),
                   (b"remap 5\0 6\n", "0x00"), (b"remap \xff5\n", "0xff"),
                   (b"remap \xe2\x82\xac\n", "0xe2"), (b"\x1b[2J\n", "0x1b"),
                   (b"remap 5\rremap 6\n", "0x0d"), (b"%s%n%p\n", "help")):
    c = Control()
    c.send(line)
    r = c.receive()
    assert not r["ok"] and text in r["error"], (line, r)
    is_(c("ping")["ok"], True)      # and the connection goes on
    c.close()

# Lines of up to 4096 bytes; 1 MB without an end; many at once.
c = Control()
c.send(b" " * 4091 + b"ping\n")
is_(c.receive()["ok"], True)
c.send(b"x" * 4095 + b"\n")
assert "no request 'xxxx" in c.receive()["error"]
c.send(b"remap " + b"1" * 4089 + b"\n")
assert "too large" in c.receive()["error"]
c.send(b" " * 4092 + b"ping\n")
assert "longer than 4096" in c.receive()["error"]
is_(c.receive(), None)
c = Control()
try:
    c.send(b"x" * (1 << 20))
    c.send(b"remap 9\n")
except (BrokenPipeError, ConnectionResetError):
    pass
assert "longer than 4096" in c.receive()["error"]
c.close()
served()
c = Control()
c.send(b"ping\n" * 700 + b"remap 5 0\n" * 100 + b"ping\n")
is_([c.receive()["ok"] for i in range(801)], [True] * 700 + [False] * 100 +
    [True])
c.close()

# A byte at a time; half a line, and then nothing more, or a hang-up.
c = Control()
for byte in b"ping\n":
    c.send(bytes([byte]))
is_(c.receive()["ok"], True)
c.send(b"remap 20")
c.s.shutdown(socket.SHUT_WR)
assert "has no end" in c.receive()["error"]
is_(c.receive(), None)
c.close()
c = Control()
c.send(b"remap 21")
c.close()
# The end of input is no hang-up: what was asked for is done.
c = Control()
c.send(b"ping\nverify 0 16384\ntable\n")
c.s.shutdown(socket.SHUT_WR)
is_([c.receive()["ok"] for i in range(3)], [True] * 3)
is_(c.receive(), None)
c.close()
served()

# Peers that never read: 4 of them ask for as much as they can send.  What
# they ask for is read from the socket only as far as replies go.
flooders = []
for i in range(4):
    s = socket.socket(socket.AF_UNIX)
    s.connect("ctl.sock")
    s.setblocking(False)
    sent = 0
    while select.select([], [s], [], 0.3)[1] and sent < 64 << 20:
        sent += s.send(b"status\ntable\nhelp\n" * 200)
    assert sent < 64 << 20, "all was read"
    flooders.append(s)
for i in range(20):
    served()

# 1,000 connections, silent ones: those beyond the limit are told.
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (limit[1], limit[1]))
idle, refused = [], 0
for i in range(1000):
    s = socket.socket(socket.AF_UNIX)
    s.connect("ctl.sock")
    s.settimeout(300)
    idle.append(s)
    if i % 100 == 0:
        is_(read(i), orig(i))
alive = 0
for s in idle:
    try:
        s.sendall(b"ping\n")
        r = s.recv(1000)
    except (BrokenPipeError, ConnectionResetError):
        r = s.recv(1000)
    if b"too many connections" in r:
        refused += 1
    else:
        assert b'"ok":true' in r, r
        alive += 1
assert alive >= 100, alive
print("%d connections served, %d refused" % (alive, refused))
is_(read(778), orig(778))
for s in idle + flooders:
    s.close()
def is_served():
    try:
        return control("ping")["ok"]
    except (BrokenPipeError, ConnectionResetError):
        return False
eventually(is_served, "others have gone")
served()

# Hang-ups at every moment of a request.
for i in range(200):
    c = Control()
    line = random.choice((b"table\n", b"verify 0 16384\n", b"status\nhelp\n",
                          b"retry\nping\n", b"verify 0 163"))
    c.send(line)
    if i % 2 and line.endswith(b"\n"):
        c.s.recv(1)
    c.close()
served()

# Rubbish.
random.seed(3)
words = [b"remap", b"unmap", b"import", b"lost", b"grow", b"retry", b"0",
         b"16384", b"-5", b"0x", b"\0", b"\xff\xfe", b"99999999999999999999",
         b"'", b"\\", b"{", b"*", b"$(id)", b"\t", b"table", b"16383 2"]
c = Control()
for i in range(2000):
    line = b" ".join(random.choice(words)
                     for j in range(random.randrange(6)))
    c.send(line + b"\n")
    r = c.receive()
    if line.split()[:1] in ([b"table"], [b"retry"], [b"remap"], [b"unmap"]):
        continue
    assert not r["ok"] or line.startswith((b"table", b"import lost")), line
c.close()
served()

PY

# Where few files may be open, half of them are for others: those beyond
# are told so, and it goes on when others have gone.
ulimit -Sn 200
serve remap-control=ctl.sock
ulimit -Sn "$(ulimit -Hn)"
client <<'PY'
peers, refused = [], 0
for i in range(150):
    c = Control()
    try:
        r = c("ping")
    except (BrokenPipeError, ConnectionResetError):
        r = c.receive()
    if r["ok"]:
        peers.append(c)
    else:
        is_(r["error"], "too many connections")
        refused += 1
        c.close()
is_(len(peers), 100)
is_(refused, 50)
is_(read(5), orig(5))
connect().pread(512, 0)
for c in peers:
    c.close()
eventually(lambda: control("ping")["ok"], "others have gone")
does("remap 5", done=1)
does("unmap 5", done=1)
PY
few_are_open ()
{
  fds=(/proc/"$pid"/fd/*)
  [ ${#fds[@]} -lt 60 ]
}
is_instrumented || eventually few_are_open || fail "${#fds[@]} files are open"
stop_nbdkit disk
cmp main.img orig.img
