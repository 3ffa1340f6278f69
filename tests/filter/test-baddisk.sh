#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The baddisk filter: each of its parameters, seen by a real client.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"

requires_plugin memory file
requires_filter log
requires nbdsh --version

# client: runs Python from stdin with a connection h to $uri.
# shellcheck disable=SC2154
client ()
{
  { cat <<'PY'; cat; } | nbdsh -u "$uri" -c -
import errno, nbd, os, time

def outcome(f, *args, **kwargs):
    try:
        f(*args, **kwargs)
    except nbd.Error as e:
        return errno.errorcode[e.errnum]
    return "ok"

def read(sector, count=1):
    return outcome(h.pread, count * 512, sector * 512)

def write(sector, count=1, byte=b"w"):
    return outcome(h.pwrite, byte * (count * 512), sector * 512)

def zero(sector, count=1, flags=nbd.CMD_FLAG_NO_HOLE):
    return outcome(h.zero, count * 512, sector * 512, flags)

# The sectors that can't be read, one by one.
def bad():
    r = []
    for s in range((h.get_size() + 511) // 512):
        if outcome(h.pread, min(512, h.get_size() - s * 512), s * 512) != "ok":
            r.append(s)
    return r

# Leading bytes of sectors, as text.
def content(first, count):
    b = h.pread(count * 512, first * 512)
    return "".join(chr(b[i * 512] or ord(".")) for i in range(count))

def is_(got, wanted):
    assert got == wanted, "got %r, wanted %r" % (got, wanted)
PY
}

# serve ARG...: an empty disk of 64 sectors behind the filter; and an end
# to the one before.
serve ()
{
  [ -z "${nbdkit_pids[disk]:-}" ] || stop_nbdkit disk
  start_nbdkit disk --filter=baddisk memory 32k "$@"
}

# sampled: true for each time it is called, but under valgrind and the
# sanitizers, where starting a server takes seconds, only for every fifth.
calls=0
sampled ()
{
  ! is_instrumented || [ $((calls++ % 5)) -eq 0 ]
}

section ()
{
  echo "== $*"
}

section "a list of each format, exact sectors"
bad_sectors bad.txt 3 10+2 63
serve baddisk-list=bad.txt
client <<'PY'
is_(bad(), [3, 10, 11, 63])
is_(read(0, 64), "EIO")
is_(read(4, 6), "ok")
is_(outcome(h.pread, 1, 3 * 512 - 1), "ok")
is_(outcome(h.pread, 2, 3 * 512 - 1), "EIO")
is_(outcome(h.pread, 1, 4 * 512 - 1), "EIO")
is_(outcome(h.pread, 1, 4 * 512), "ok")
PY
printf '# blocks\n2\n5\n' >blocks.txt
serve baddisk-list=blocks.txt
client <<<'is_(bad(), [4, 5, 10, 11])'
serve baddisk-list=blocks.txt baddisk-block=4k
client <<<'is_(bad(), list(range(16, 24)) + list(range(40, 48)))'
serve baddisk-list=blocks.txt baddisk-block=512
client <<<'is_(bad(), [2, 5])'

section "a sector is bad if any byte of it is"
printf '1023 2 -\n5119 1 /\n10000 0 -\n0x7fffffffffff0000 1 *\n' >bytes.txt
serve baddisk-list=bytes.txt
client <<<'is_(bad(), [1, 2, 9])'
# A list that overlaps neither the disk nor itself at the end of 64 bits.
printf '0xfffffffffffffffe 1 -\n' >far.txt
serve baddisk-list=far.txt
client <<<'is_(bad(), [])'

section "a tail is a sector"
bad_sectors tail.txt 2
stop_nbdkit disk
start_nbdkit disk --filter=baddisk memory 1030 baddisk-list=tail.txt \
             baddisk-heal=write
client <<'PY'
is_(bad(), [2])
is_(outcome(h.pread, 5, 1025), "EIO")
is_(outcome(h.pwrite, b"x" * 5, 1025), "EIO")
is_(outcome(h.pwrite, b"x" * 6, 1024), "ok")
is_(bad(), [])
PY

section "files that other programs write"
if command -v ddrescue >/dev/null && command -v ddrescuelog >/dev/null; then
  cat >test.map <<'END'
0 ? 1
0x0000 0x0600 +
0x0600 0x0200 -
0x0800 0x0c00 +
0x1400 0x0400 -
0x1800 0x6400 +
0x7c00 0x0200 -
0x7e00 0x0200 +
END
  truncate -s 32k disk.img
  ddrescue -q -b 512 -c 1 -H test.map disk.img copy.img rescue.map
  assert_grep '^0x.* -' rescue.map
  serve baddisk-list=rescue.map
  client <<<'is_(bad(), [3, 10, 11, 62])'
  ddrescuelog -l - -b 1024 rescue.map >blocks.txt
  serve baddisk-list=blocks.txt
  client <<<'is_(bad(), [2, 3, 10, 11, 62, 63])'
  ddrescuelog -A rescue.map >annotated.map
  serve baddisk-list=annotated.map
  client <<<'is_(bad(), [3, 10, 11, 62])'
fi

section "sectors go bad while the disk is in use"
bad_sectors bad.txt 1
serve baddisk-list=bad.txt
client <<'PY'
is_(bad(), [1])
for i in range(2, 64):
    with open("new.txt", "w") as f:
        f.write("%d 512 -\n" % (i * 512))
    os.rename("new.txt", "bad.txt")
    is_(read(i), "EIO")
    is_(read(i - 1), "ok")
# In place, at once: same inode, often the same size and the same tick.
for i in range(10, 60):
    with open("bad.txt", "w") as f:
        f.write("%d 512 -\n" % (i * 512))
    is_(read(i), "EIO")
    is_(read(i - 1), "ok")
with open("bad.txt", "w") as f:
    f.write("hello\n")
is_(bad(), [59])
with open("bad.txt", "w") as f:
    f.write("1\nworld\n")
is_(bad(), [59])
os.unlink("bad.txt")
is_(bad(), [59])
is_(write(59), "EIO")
with open("bad.txt", "w") as f:
    f.write("1\n")
is_(bad(), [2, 3])
with open("bad.txt", "w") as f:
    pass
is_(bad(), [])
PY
assert_equal "$(grep -c 'stay as they were' disk.log)" 3 "complaints"
assert_grep "bad.txt: line 1: 'hello' is not a decimal number.*stay" disk.log
assert_grep "bad.txt: line 2: 'world' is not a decimal number.*stay" disk.log
assert_grep "bad.txt: No such file or directory; .*stay" disk.log

section "lists that end the server before it serves"
refuse ()
{
  local wanted=$1
  shift

  expect_failure nbdkit -U "$tmp/refuse.sock" --filter=baddisk memory 32k \
                 "$@" --run true
  assert_grep "$wanted" expect.out
}
printf '0 512 -\n\n# x\n0 x -\n' >wrong.txt
refuse "baddisk-list=.*wrong.txt: line 4: 'x' is not" baddisk-list=wrong.txt
refuse 'nothing.txt: No such file' baddisk-list=nothing.txt
refuse 'is not a regular file' baddisk-list=.
mkfifo fifo
refuse 'is not a regular file' baddisk-list=fifo
truncate -s $((64 * 1024 * 1024 + 1)) huge.txt
refuse 'larger than 64 MiB' baddisk-list=huge.txt
rm huge.txt

section "bad parameters"
bad_parameter ()
{
  ! sampled || refuse "$2" "$1"
}
bad_parameter baddisk-list= 'expected the name of a file'
bad_parameter baddisk-block=0 'from 1 byte to 1G'
bad_parameter baddisk-block=2G 'from 1 byte to 1G'
bad_parameter baddisk-block=x 'could not parse|parse size'
bad_parameter baddisk-random=x 'random'
bad_parameter baddisk-random=% 'percentage'
bad_parameter baddisk-random=101% 'percentage'
bad_parameter baddisk-random=100.000001% 'percentage'
bad_parameter baddisk-random=0.0000001% 'percentage'
bad_parameter baddisk-random=1%2 'percentage'
bad_parameter baddisk-random=-1% 'percentage'
bad_parameter baddisk-random=99999999999999999999% 'percentage'
bad_parameter baddisk-random=-1 'random'
bad_parameter baddisk-seed=x 'seed'
bad_parameter baddisk-cluster=0 'at least one sector'
bad_parameter baddisk-fail= "'' is not an operation"
bad_parameter baddisk-fail=read,erase "'erase' is not an operation"
bad_parameter baddisk-fail=read, "'' is not an operation"
bad_parameter baddisk-errno=EWHAT 'not an error'
bad_parameter baddisk-errno=0 'not an error'
bad_parameter baddisk-errno=-5 'not an error'
bad_parameter baddisk-errno=4096 'not an error'
bad_parameter baddisk-gone-errno=5x 'not an error'
bad_parameter baddisk-recover=-1 'recover'
bad_parameter baddisk-heal=yes 'expected write or none'
bad_parameter baddisk-partial=all 'expected none, good or random'
bad_parameter baddisk-delay=-1 'expected milliseconds'
bad_parameter baddisk-delay=1s 'expected milliseconds'
bad_parameter baddisk-delay=3600001 'expected milliseconds'
bad_parameter baddisk-fail-delay=. 'expected milliseconds'
bad_parameter baddisk-log=nothing/x 'No such file'
bad_parameter baddisk-typo=1 'baddisk-typo'

section "random sectors"
serve baddisk-random=10
client <<'PY'
is_(len(bad()), 10)
is_(bad(), bad())
PY
# Fixed for ever: on every machine, and in every later version.
serve baddisk-random=5 baddisk-seed=42
client <<<'is_(bad(), [2, 10, 18, 23, 48])'
serve baddisk-random=5 baddisk-seed=43
client <<<'assert bad() != [2, 10, 18, 23, 48]; is_(len(bad()), 5)'
serve baddisk-random=64
client <<<'is_(len(bad()), 64)'
serve baddisk-random=63
client <<<'is_(len(bad()), 63)'
serve baddisk-random=0
client <<<'is_(bad(), [])'
serve baddisk-random=12.5%
client <<<'is_(len(bad()), 8)'
serve baddisk-random=1.5625%
client <<<'is_(len(bad()), 1)'
serve baddisk-random=1.562499%
client <<<'is_(bad(), [])'
serve baddisk-random=100%
client <<<'is_(len(bad()), 64)'
bad_sectors bad.txt 0+32
serve baddisk-random=50% baddisk-list=bad.txt
client <<'PY'
b = bad()
is_(b[:32], list(range(32)))
assert 32 < len(b) < 64, b
PY
serve baddisk-random=11 baddisk-cluster=4 baddisk-seed=1
client <<'PY'
b = bad()
is_(len(b), 11)
runs = []
for s in b:
    if runs and s == runs[-1][0] + runs[-1][1]:
        runs[-1][1] += 1
    else:
        runs.append([s, 1])
for start, length in runs[:-1]:
    is_(length % 4, 0)
is_(runs[-1][1] % 4, 3)
PY
serve baddisk-random=7 baddisk-cluster=1000000000000
client <<<'b = bad(); is_(b, list(range(b[0], b[0] + 7)))'
# The disk's size is known when somebody connects.
serve baddisk-random=65
expect_failure nbdsh -u "$uri" -c 'print(h.get_size())'
assert_grep 'baddisk-random=65 is more than the 64 sectors' disk.log

section "kinds of operations"
bad_sectors bad.txt 1
all="r, w, z = read(0, 3), write(0, 3), zero(0, 3)"
for kinds in read write zero read,write write,zero zero,read read,write,zero
do
  sampled || continue
  serve baddisk-list=bad.txt baddisk-fail="$kinds"
  client <<PY
$all
is_(r, "EIO" if "read" in "$kinds" else "ok")
is_(w, "EIO" if "write" in "$kinds" else "ok")
is_(z, "EIO" if "zero" in "$kinds" else "ok")
PY
done
serve baddisk-list=bad.txt
client <<'PY'
is_(read(1), "EIO")
is_(write(1), "EIO")
is_(zero(1), "EIO")
is_(outcome(h.trim, 512, 512), "ok")
is_(outcome(h.flush), "ok")
PY
# Extents and cache need a plugin that has them.
truncate -s 32k disk.img
for kinds in write read,write read; do
  stop_nbdkit disk
  start_nbdkit disk --filter=baddisk file disk.img baddisk-list=bad.txt \
               baddisk-fail=$kinds
  client <<PY
if h.can_cache():
    is_(outcome(h.cache, 1024, 0), "EIO" if "read" in "$kinds" else "ok")
    is_(outcome(h.cache, 1024, 1024), "ok")
PY
done
requires_program nbdinfo
nbdinfo --map "$uri" >map.out || fail "extents must not fail"

section "errors, as the client and the server see them"
for e in EIO:EIO ENOSPC:ENOSPC EPERM:EPERM ENOMEM:ENOMEM 5:EIO 28:ENOSPC \
         EROFS:EPERM ENODATA:EINVAL EILSEQ:EINVAL EREMOTEIO:EINVAL \
         ETIMEDOUT:EINVAL ENODEV:EINVAL ENXIO:EINVAL ENOLINK:EINVAL
do
  sampled || continue
  : >errno.log
  rm -f ops.txt
  [ -z "${nbdkit_pids[disk]:-}" ] || stop_nbdkit disk
  [ -z "${nbdkit_pids[errno]:-}" ] || stop_nbdkit errno
  start_nbdkit errno -v --filter=baddisk memory 32k baddisk-list=bad.txt \
               baddisk-errno="${e%:*}" baddisk-log=ops.txt
  client <<<"is_([read(1), write(1), zero(1)], ['${e#*:}'] * 3)"
  name=${e%:*}
  case "$name" in 5) name=EIO ;; 28) name=ENOSPC ;; esac
  assert_equal "$(head -3 ops.txt | cut -d' ' -f4 | uniq)" "$name" "the log"
  text=$(/usr/bin/python3 -c "import errno, os
print(os.strerror(errno.$name))")
  assert_equal "$(grep -c "sending error reply: $text" errno.log)" 3 \
               "errors that the server got ($name)"
done
serve baddisk-list=bad.txt baddisk-errno=4095 baddisk-log=number.txt
client <<<'read(1)'
assert_grep '^read 512 512 4095 1$' number.txt
stop_nbdkit errno
# nbdkit ends at once if a zero fails with these, unless it had to be fast.
for e in EOPNOTSUPP ENOTSUP; do
  serve baddisk-list=bad.txt baddisk-errno=$e baddisk-gone=gone \
        baddisk-gone-errno=$e
  client <<'PY'
fast = nbd.CMD_FLAG_FAST_ZERO
is_([read(1), write(1), zero(1), zero(1, 1, fast)],
    ["EINVAL", "EINVAL", "EINVAL", "ENOTSUP"])
open("gone", "w").close()
is_([read(0), write(0), zero(0), zero(0, 1, fast)],
    ["EINVAL", "EINVAL", "EINVAL", "ENOTSUP"])
os.unlink("gone")
is_(zero(0), "ok")
PY
done

section "baddisk-recover"
bad_sectors bad.txt 1 3 5
serve baddisk-list=bad.txt baddisk-recover=3 baddisk-log=recover.txt
client <<'PY'
is_([read(1) for i in range(5)], ["EIO", "EIO", "ok", "ok", "ok"])
is_([write(1) for i in range(2)], ["EIO", "EIO"])
is_(read(1), "ok")
# Sector 1 is done with; sector 3 at its second try, with 5 at its first.
is_(read(3), "EIO")
is_(write(3), "EIO")
is_(read(0, 8), "EIO")
is_(read(3), "ok")
is_(read(0, 8), "EIO")
is_(read(0, 8), "ok")
is_(outcome(h.pread, 1, 5 * 512 + 100), "ok")
PY
cat >recover.wanted <<'END'
read 512 512 EIO 1
read 512 512 EIO 2
read 512 512 ok 3
read 512 512 ok 3
read 512 512 ok 3
write 512 512 EIO 0
write 512 512 EIO 0
read 512 512 ok 3
read 1536 512 EIO 1
write 1536 512 EIO 0
read 0 4096 EIO 2
read 1536 512 ok 3
read 0 4096 EIO 2
read 0 4096 ok 3
read 2660 1 ok 3
END
diff -u recover.wanted recover.txt
serve baddisk-list=bad.txt baddisk-recover=1
client <<<'is_(bad(), []); is_(write(1), "EIO")'
# A sector that leaves the list, and comes back, starts afresh.
serve baddisk-list=bad.txt baddisk-recover=2
client <<'PY'
is_([read(1), read(1), read(3), read(3)], ["EIO", "ok", "EIO", "ok"])
for sectors in [3], [3, 1]:
    with open("new.txt", "w") as f:
        f.write("".join("%d 512 -\n" % (s * 512) for s in sectors))
    os.rename("new.txt", "bad.txt")
    read(0)
is_([read(3), read(1), read(1)], ["ok", "EIO", "ok"])
PY

section "baddisk-heal"
bad_sectors bad.txt 1+20
serve baddisk-list=bad.txt baddisk-heal=write baddisk-partial=none
client <<'PY'
is_(write(1), "ok")
is_(content(0, 2), ".w")
is_(zero(2), "ok")
is_(content(2, 1), ".")
is_(outcome(h.trim, 512, 3 * 512), "ok")
is_(read(3), "EIO")
# A part of a sector doesn't heal, nor does a write that fails.
is_(outcome(h.pwrite, b"x" * 511, 3 * 512), "EIO")
is_(outcome(h.pwrite, b"x" * 511, 3 * 512 + 1), "EIO")
is_(outcome(h.pwrite, b"x" * 513, 3 * 512), "EIO")
is_(outcome(h.pwrite, b"x" * 513, 4 * 512 - 1), "EIO")
is_(bad(), list(range(3, 21)))
is_(write(0, 10), "ok")
is_(content(0, 10), "w" * 10)
is_(bad(), list(range(10, 21)))
# Touching the list's file doesn't undo it.
os.utime("bad.txt")
is_(bad(), list(range(10, 21)))
# With a write that isn't allowed to fail, the rest of the list heals.
is_(write(0, 64), "ok")
is_(bad(), [])
PY
serve baddisk-list=bad.txt baddisk-heal=write baddisk-partial=good
client <<'PY'
# Sector 1 in part, 2 and 3 whole: those are written, and so healed.
is_(outcome(h.pwrite, b"x" * 1536, 512 + 1), "EIO")
is_(bad(), [1] + list(range(4, 21)))
is_(content(2, 2), "xx")
PY
serve baddisk-list=bad.txt baddisk-heal=write baddisk-fail=read
client <<'PY'
# Partial writes succeed, and don't heal.
is_(outcome(h.pwrite, b"x" * 511, 512), "ok")
is_([read(1), write(1), read(1), zero(2), read(2)],
    ["EIO", "ok", "ok", "ok", "ok"])
PY
serve baddisk-list=bad.txt baddisk-heal=none
client <<<'is_(write(1), "EIO")'

section "baddisk-partial"
bad_sectors bad.txt 2 5+2
write_and_show="
b = write(0, 10, b'a')
os.rename('none.txt', 'bad.txt')
print(b, content(0, 10))
"
zero_and_show="
os.rename('none.txt', 'keep.txt')
os.rename('bad.txt', 'saved.txt')
os.rename('keep.txt', 'bad.txt')
is_(write(0, 10, b'b'), 'ok')
os.rename('bad.txt', 'none.txt')
os.rename('saved.txt', 'bad.txt')
b = zero(0, 10)
os.rename('none.txt', 'bad.txt')
print(b, content(0, 10))
"
# partial MODE SEED: sets $left to what a write, and in another server a
# zero, leaves.
partial ()
{
  local what

  left=
  for what in "$write_and_show" "$zero_and_show"; do
    bad_sectors bad.txt 2 5+2
    bad_sectors none.txt
    serve baddisk-list=bad.txt baddisk-partial="$1" baddisk-seed="$2"
    client <<<"$what" >left.txt
    left+=$(cat left.txt)
  done
}
partial none 0
assert_equal "$left" 'EIO ..........EIO bbbbbbbbbb' none
partial good 0
assert_equal "$left" 'EIO aa.aa..aaaEIO ..b..bb...' good
partial random 1
one=$left
[[ $one =~ ^EIO\ [a.]{2}\.[a.]{2}\.\.[a.]{3}EIO\ [b.]{2}b[b.]{2}bb[b.]{3}$ ]] ||
  fail "a random part with bad sectors: $one"
partial random 1
assert_equal "$left" "$one" "the same seed twice"
if ! is_instrumented; then
  for seed in 2 3 4 5; do
    partial random $seed
    echo "$left"
  done >others.txt
  [ "$(sort -u others.txt | wc -l)" -ge 3 ] || fail "seeds: $(cat others.txt)"
fi
# Unaligned ends, bytes outside of the request, and a failing single sector.
bad_sectors bad.txt 2
bad_sectors none.txt
serve baddisk-list=bad.txt baddisk-partial=good
client <<'PY'
is_(outcome(h.pwrite, b"x" * 2048, 100), "EIO")
is_(outcome(h.pwrite, b"y" * 100, 2 * 512 + 7), "EIO")
is_(outcome(h.pwrite, b"z" * 20, 3 * 512 - 10), "EIO")
os.rename("none.txt", "bad.txt")
wanted = bytearray(3072)
wanted[100:1024] = b"x" * 924
wanted[1536:2148] = b"x" * 612
wanted[1536:1546] = b"z" * 10
is_(h.pread(3072, 0), wanted)
PY

section "flags and pieces reach the plugin"
bad_sectors bad.txt 2
stop_nbdkit disk
start_nbdkit disk --filter=baddisk --filter=log memory 32k \
             logfile=below.txt baddisk-list=bad.txt baddisk-partial=good
client <<'PY'
is_(outcome(h.pwrite, b"x" * 512, 0, nbd.CMD_FLAG_FUA), "ok")
is_(outcome(h.pwrite, b"x" * 2048, 0, nbd.CMD_FLAG_FUA), "EIO")
is_(outcome(h.zero, 1024, 8192, nbd.CMD_FLAG_FUA), "ok")
is_(outcome(h.trim, 1024, 8192), "ok")
is_(outcome(h.flush), "ok")
is_(read(2), "EIO")
PY
assert_grep 'Write .*offset=0x0 count=0x200 fua=1' below.txt
assert_grep 'Write .*offset=0x0 count=0x400 fua=1' below.txt
assert_grep 'Write .*offset=0x600 count=0x200 fua=1' below.txt
assert_no_grep 'count=0x800' below.txt
assert_grep 'Zero .*offset=0x2000 count=0x400 .*fua=1' below.txt
assert_grep 'Trim .*offset=0x2000 count=0x400' below.txt
assert_grep 'Flush' below.txt
assert_no_grep ' Read ' below.txt

section "delays last at least as long as they should"
serve baddisk-list=bad.txt baddisk-delay=100.5 baddisk-fail-delay=200
client <<'PY'
def seconds(f, *args):
    t = time.monotonic()
    f(*args)
    return time.monotonic() - t
assert seconds(read, 0) >= 0.1005
assert seconds(write, 0) >= 0.1005
assert seconds(h.flush) >= 0.1005
assert seconds(read, 2) >= 0.2
assert seconds(write, 2) >= 0.2
PY

section "a disk that is gone"
rm -f gone.txt
serve baddisk-gone=gone baddisk-list=bad.txt baddisk-log=gone.txt
client <<'PY'
everything = [
    (read, 0), (write, 0), (zero, 0), (outcome, h.flush),
    (outcome, h.trim, 512, 0),
]
def all_ops():
    return [f(*args) for f, *args in everything]
is_(all_ops(), ["ok"] * 5)
open("gone", "w").close()
is_(all_ops(), ["EINVAL"] * 5)
is_(read(2), "EINVAL")
os.unlink("gone")
is_(all_ops(), ["ok"] * 5)
is_(content(0, 1), ".")
PY
assert_equal "$(cat gone.txt)" \
"read 0 512 ENODEV 0
write 0 512 ENODEV 0
zero 0 512 ENODEV 0
flush 0 0 ENODEV 0
trim 0 512 ENODEV 0
read 1024 512 ENODEV 0" "the log of a disk that was gone"
stop_nbdkit disk
: >gone
start_nbdkit disk --filter=baddisk file disk.img baddisk-gone=gone \
             baddisk-gone-errno=EIO baddisk-log=gone2.txt
client <<<'is_([read(0), h.can_cache() and outcome(h.cache, 512, 0) or "EIO"],
               ["EIO", "EIO"])'
expect_failure nbdinfo --map "$uri"
assert_grep '^extents 0 [0-9]+ EIO 0$' gone2.txt
rm gone
client <<<'is_(read(0), "ok")'

section "totals, and lines after kill -9"
rm -f ops.txt
bad_sectors bad.txt 2
serve baddisk-list=bad.txt baddisk-log=ops.txt
client <<'PY'
read(0), read(2), read(2), write(0), write(2), zero(0), zero(1), zero(2)
h.trim(512, 1024)
h.flush()
PY
cat >ops.wanted <<'END'
read 1024 512 EIO 1
read 1024 512 EIO 2
write 1024 512 EIO 0
zero 1024 512 EIO 0
trim 1024 512 ok 0
END
diff -u ops.wanted ops.txt
stop_nbdkit disk
cat >>ops.wanted <<'END'
totals reads=3 failed_reads=2 writes=2 failed_writes=1 zeros=3 failed_zeros=1 trims=1 failed_trims=0 flushes=1 failed_flushes=0 caches=0 failed_caches=0 extents=0 failed_extents=0
END
diff -u ops.wanted ops.txt
serve baddisk-list=bad.txt baddisk-log=ops.txt
client <<<'read(2)'
kill_nbdkit disk
echo 'read 1024 512 EIO 1' >>ops.wanted
diff -u ops.wanted ops.txt
rm ops.txt
nbdkit -U "$tmp/run.sock" --filter=baddisk memory 32k baddisk-log=ops.txt \
       --run true
assert_equal "$(grep -c ^totals ops.txt)" 1 "one line of totals under --run"
if [ -c /dev/full ]; then
  start_nbdkit full --filter=baddisk memory 32k baddisk-list=bad.txt \
               baddisk-log=/dev/full
  client <<<'is_([read(2), read(2), read(3)], ["EIO", "EIO", "ok"])'
  stop_nbdkit full
  assert_equal "$(grep -c "can't write to the log" full.log)" 1 "complaints"
fi

section "many requests at once, counted exactly"
rm -f ops.txt
bad_sectors bad.txt 2 5+12 40+10
bad_sectors other.txt 2 20+20 50+10
cp bad.txt one.txt
start_nbdkit disk -t 8 --filter=baddisk memory 32k baddisk-list=bad.txt \
             baddisk-log=ops.txt baddisk-random=3 baddisk-heal=write \
             baddisk-recover=1000000 baddisk-partial=random
pids=()
for i in 1 2 3; do
  client >"count.$i" <<PY &
import random, shutil
r = random.Random($i)
failed = [0, 0]
def done(kind):
    def f(error):
        failed[kind] += error.value != 0
        return 1
    return f
for i in range(1500):
    while h.aio_in_flight() >= 24:
        h.poll(-1)
    first = r.randrange(64)
    size = r.randrange(1, 1 + min(8, 64 - first)) * 512 - r.randrange(3)
    if r.randrange(4):
        h.aio_pread(nbd.Buffer(size), first * 512, completion=done(0))
    else:
        h.aio_pwrite(nbd.Buffer.from_bytearray(bytearray(size)), first * 512,
                     completion=done(1))
    if $i == 1 and i % 20 == 10:
        shutil.copy("other.txt" if i % 40 == 10 else "one.txt", "new.txt")
        os.rename("new.txt", "bad.txt")
while h.aio_in_flight():
    h.poll(-1)
print(*failed)
PY
  pids+=($!)
done
for p in "${pids[@]}"; do
  wait "$p"
done
stop_nbdkit disk
read -r reads writes < <(awk '{ r += $1; w += $2 } END { print r, w }' count.*)
echo "$reads reads and $writes writes failed"
if [ "$reads" -lt 100 ] || [ "$writes" -lt 10 ]; then
  fail "too few failed"
fi
assert_equal "$(awk '$1 == "read" && $4 != "ok"' ops.txt | wc -l)" "$reads" \
             "lines of failed reads"
assert_equal "$(awk '$1 == "write" && $4 != "ok"' ops.txt | wc -l)" \
             "$writes" "lines of failed writes"
assert_grep "^totals reads=[0-9]+ failed_reads=$reads writes=[0-9]+ failed_writes=$writes " ops.txt
assert_equal "$(grep -cvE '^(totals .*|(read|write) [0-9]+ [0-9]+ (EIO|ok) [0-9]+)$' ops.txt)" 0 "lines that are mixed up"
