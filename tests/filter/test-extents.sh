#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Block status: what main says of its holes counts for DIRECT sectors alone.
# A remapped sector over a hole is data, or a client that copies only data
# would lose it (promise 1 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program nbdcopy
requires_plugin sh

cat >status.py <<'PY'
HOLE = nbd.STATE_HOLE | nbd.STATE_ZERO

# A connection that may ask for block status.
def asking(uri):
    c = nbd.NBD()
    c.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    c.connect_uri(uri)
    return c

# One answer: (offset, length, flags) of each extent.
def status(c, count, offset, flags=0):
    answer = []
    def extent(context, at, entries, err):
        for length, what in zip(entries[::2], entries[1::2]):
            answer.append((at, length, what))
            at += length
    c.block_status(count, offset, extent, flags)
    return answer
PY
# ask: as client, with a connection for block status.
ask ()
{
  { cat "$abs_top_srcdir/tests/filter/client.py" status.py -; } |
    nbdsh -u "$disk_uri" -c -
}

truncate -s 8M main.img
bad_sectors bad.txt 4096+8 8192
serve baddisk-fail=write,zero
client <<'PY'
write(4096, pattern(4096, 1, 8))
PY
ask <<'PY'
c = asking(h.get_uri())
is_(status(c, 8 << 20, 0), [(0, 4096 * 512, HOLE), (4096 * 512, 4096, 0),
                            (4104 * 512, 12280 * 512, HOLE)])
PY
nbdcopy "$uri" copy.img
cmp -n 4096 -i $((4096 * 512)):0 copy.img <(client <<'PY'
sys.stdout.flush()
os.write(1, read(4096, 8))
PY
) || fail "a copy without the remapped sectors"

# Islands and states at random places, and questions about any range: each
# byte of an answer is what the disk says if its sector is DIRECT, and data if
# it isn't.  The answer ends where the disk's ends, or after one extent.  The
# disks: one that answers all, one that answers less than it is asked for, one
# that serves nothing smaller than 4 KiB, and one of these whose islands are
# smaller than that all the same.
cat >islands.py <<'PY'
seed = int(os.environ["SEED"])
print("SEED=%d" % seed)
random.seed(seed)
size = os.path.getsize("main.img")
kinds = [random.choice((0, 0, HOLE, nbd.STATE_ZERO)) for i in range(200)]
grain = int(os.environ["GRAIN"])
edges = sorted(random.sample(range(1, size // grain), len(kinds) - 1))
edges = [0] + [grain * e for e in edges] + [size]
with open("extents.txt", "w") as f:
    for kind, a, b in zip(kinds, edges, edges[1:]):
        print(a, b - a, kind, file=f)
PY
SEED=${1:-$RANDOM}
export SEED
cat >main.sh <<'SH'
#!/usr/bin/env -S -u LD_PRELOAD bash
# MINIMUM: of a block; KEEP: extents in an answer (0: all there are).
. ./main.conf
case $1 in
  thread_model) echo parallel ;;
  get_size) stat -c %s main.img ;;
  block_size) echo "$MINIMUM 4096 33554432" ;;
  can_write | can_flush | can_extents) exit 0 ;;
  can_fua | can_cache) echo none ;;
  can_* | is_*) exit 3 ;;
  open) echo h ;;
  flush) ;;
  pread) dd iflag=skip_bytes,count_bytes if=main.img skip="$4" count="$3" ;;
  pwrite) dd oflag=seek_bytes conv=notrunc of=main.img seek="$4" ;;
  extents)
    echo "$3 $4 $5" >>asked.txt
    if [ -e unwilling ]; then
      echo "EIO no answer" >&2
      exit 1
    fi
    if [ $((($3 | $4) % MINIMUM)) -ne 0 ]; then
      echo "EINVAL not whole blocks: $3 $4" >&2
      exit 1
    fi
    awk -v end=$(($3 + $4)) -v start="$4" -v keep="$KEEP" '
      $1 + $2 > start && $1 < end { print $1, $2, $3 }
      $1 + $2 > start && --keep == 0 { exit }' extents.txt >answer.$$
    # The disk is changed after it has looked and before it says so.
    if [ -e race.py ]; then
      mv race.py raced.py
      /usr/bin/python3 raced.py
    fi
    cat answer.$$
    rm answer.$$
    ;;
  *) exit 2 ;;
esac 2>>main.err
SH
chmod +x main.sh

for disk in '1 0 4096 4194816' '1 3 4096 4194816' '4096 0 4096 4194304' \
            '4096 1 512 4194304'; do
  echo "==== $disk"
  read -r MINIMUM KEEP GRAIN SIZE <<<"$disk"
  export GRAIN
  stop_nbdkit disk
  rm -f spare.img asked.txt
  printf 'MINIMUM=%d\nKEEP=%d\n' "$MINIMUM" "$KEEP" >main.conf
  truncate -s "$SIZE" main.img
  cat "$abs_top_srcdir/tests/filter/client.py" status.py islands.py |
    /usr/bin/python3 -
  start_nbdkit disk --filter=remap sh main.sh spare=spare.img \
               remap-control=ctl.sock
  ask <<'PY'
random.seed(int(os.environ["SEED"]) + 1)
settings = dict(line.split("=") for line in open("main.conf"))
minimum, keep = int(settings["MINIMUM"]), int(settings["KEEP"])
size = os.path.getsize("main.img")
sectors = (size + 511) // 512
main = [tuple(map(int, line.split())) for line in open("extents.txt")]
wanted = bytearray(b"".join(bytes([kind]) * (n // 512)
                            for at, n, kind in main))
is_(len(wanted), sectors)
for i in range(60):
    at, n = random.randrange(sectors - 40), random.choice((1, 2, 7, 8, 31))
    what = random.choice(("remap", "import lost", "import lost", "forget"))
    if what == "forget":
        does("import lost %d %d" % (at, n))
        does("forget-lost %d %d" % (at, n))
    else:
        does("%s %d %d" % (what, at, n))
mapped = {s for start, n, state, slot, why in table()
          for s in range(start, start + n)}
assert len(mapped) > 100, len(mapped)
for s in mapped:
    wanted[s] = 0

c = asking(h.get_uri())
def questions():
    with open("asked.txt") as f:
        return [[*map(int, line.split()[:2]), "req_one" in line]
                for line in f]
asked = 0
open("asked.txt", "a").close()
# More or less at an edge of something: of a sector, a block, an extent.
def place():
    at = random.choice((0, random.randrange(size),
                        512 * random.choice(sorted(mapped)),
                        random.choice(main)[0]))
    return min(size - 1, max(0, at + random.choice((0, 0, 0, 1, -1, 512))))
for i in range(150):
    offset = place()
    count = min(size - offset,
                random.choice((1, 511, 512, 5000, 100000, size)))
    one = random.random() < 0.4
    got = status(c, count, offset, nbd.CMD_FLAG_REQ_ONE if one else 0)
    at = offset
    for j, (start, n, flags) in enumerate(got):
        is_((start, n > 0), (at, True), "the order")
        assert j == 0 or flags != got[j - 1][2], "what is alike is joined"
        for s in range(start // 512, (start + n - 1) // 512 + 1):
            # Where the disk has answered for another part of a block it is
            # data: that is always true.
            if flags != 0 or int(os.environ["GRAIN"]) >= minimum:
                is_(flags, wanted[s], "sector %d" % s)
        at += n
    assert at <= offset + count
    first = offset // 512
    if one:
        is_(len(got), 1)
    elif keep == 0:
        is_(at, offset + count, "all of it")
    q = questions()[asked:]
    asked += len(q)
    assert len(q) <= 1, q
    # The layer below is asked once, as the client has asked, and not if the
    # map knows.
    known = one and first in mapped or all(
        s in mapped for s in range(first, (offset + count - 1) // 512 + 1))
    is_(len(q), 0 if known else 1, (offset, count, one))
    for n, start, flag in q:
        is_(flag, one)
        assert start + n >= offset + count
print(len(mapped), "sectors aren't DIRECT;", asked, "questions")
PY
done

# Main is asked; then a sector is given back to it; then the answer comes, of
# when main had a hole there.
stop_nbdkit disk
rm -f spare.img
printf 'MINIMUM=1\nKEEP=0\n' >main.conf
truncate -s 0 main.img
truncate -s 1M main.img
echo "0 1048576 3" >extents.txt
start_nbdkit disk --filter=remap sh main.sh spare=spare.img \
             remap-control=ctl.sock
ask <<'PY'
does("import lost 100 8")
write(100, pattern(100, 1, 8))
c = asking(h.get_uri())
with open("race.tmp", "w") as f:
    f.write(open(os.environ["abs_top_srcdir"] +
                 "/tests/filter/client.py").read())
    f.write('does("unmap 100 8", done=8)\n')
os.rename("race.tmp", "race.py")
got = status(c, 1 << 20, 0)
assert os.path.exists("raced.py")
is_(table(), [])
is_(raw(100, 8), pattern(100, 1, 8))
for start, n, flags in got:
    if start < 108 * 512 and start + n > 100 * 512:
        is_(flags, 0, "data that was given back")

# What a disk doesn't tell is data.
open("unwilling", "w").close()
is_(status(c, 1 << 20, 0), [(0, 1 << 20, 0)])
PY
