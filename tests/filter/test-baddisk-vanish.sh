#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The baddisk filter's sectors that make the disk vanish when they are read:
# for how long, what fails then, and what was under way.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((1 << 20))
bad_sectors vanish.txt 100+2

# vanishing [ARG...]: main.img, with sectors that make it vanish.
vanishing ()
{
  [ -z "${nbdkit_pids[disk]:-}" ] || stop_nbdkit disk
  rm -f ops.txt
  start_nbdkit disk --filter=baddisk file main.img baddisk-log=ops.txt \
               baddisk-vanish=vanish.txt "$@"
  disk_uri=$uri
}

echo "== for a number of requests, of any kind, each time"
vanishing baddisk-vanish-requests=6
client <<'PY'
is_(read(99), orig(99))
for i in range(2):
    is_(outcome(read, 90, 20), "EINVAL")
    is_([outcome(read, 0), outcome(read, 100), outcome(write, 0, pattern(0)),
         outcome(h.zero, 512, 0), outcome(h.trim, 512, 0), outcome(h.flush)],
        ["EINVAL"] * 6)
    is_(read(0), orig(0))
is_(outcome(h.cache, 1024, 99 * 512), "EINVAL")
is_([outcome(read, s) for s in range(7)], ["EINVAL"] * 6 + ["ok"])
# Writing doesn't make it vanish, and doesn't help.
write(100, pattern(100))
h.zero(512, 101 * 512)
h.trim(512, 101 * 512)
is_(outcome(read, 101), "EINVAL")
is_([outcome(read, s) for s in range(7)], ["EINVAL"] * 6 + ["ok"])
PY
# The fifth word counts what made it vanish.
cat >wanted <<'END'
read 46080 10240 ENODEV 1
read 46080 10240 ENODEV 2
cache 50688 1024 ENODEV 3
read 51712 512 ENODEV 4
END
awk '$5 != 0' ops.txt | diff -u wanted -
assert_equal "$(grep -c 'ENODEV 0$' ops.txt)" 24 "requests that failed"

echo "== for a time, with an error of choice, from when the read is answered"
vanishing baddisk-vanish-time=300 baddisk-gone-errno=EIO \
          baddisk-fail-delay=100
client <<'PY'
def away():
    t = time.monotonic()
    is_(outcome(read, 100), "EIO")
    while outcome(read, 0) != "ok":
        pass
    assert time.monotonic() - t >= 0.4, time.monotonic() - t
away()
away()
PY

echo "== a thousand milliseconds, unless something else is said"
vanishing
client <<'PY'
t = time.monotonic()
is_(outcome(read, 100), "EINVAL")
while outcome(read, 0) != "ok":
    pass
assert time.monotonic() - t >= 1
PY

echo "== both: whatever is later"
vanishing baddisk-vanish-time=0.001 baddisk-vanish-requests=2
client <<'PY'
is_(outcome(read, 100), "EINVAL")
time.sleep(0.01)
is_([outcome(read, s) for s in range(3)], ["EINVAL", "EINVAL", "ok"])
PY

echo "== what is under way fails as well; its write may have reached the disk"
if nbdkit eval --dump-plugin >/dev/null 2>&1; then
  stop_nbdkit disk
  # The plugin says what has reached it, and ends it when it may.
  wait_for_go="while [ ! -e $tmp/go ]; do sleep 0.05; done"
  start_nbdkit under --filter=baddisk eval \
               thread_model='echo parallel' get_size='echo 1048576' \
               can_write='exit 0' can_flush='exit 0' \
               pread=": >$tmp/reads; $wait_for_go; head -c \$3 /dev/zero" \
               pwrite="cat >$tmp/written; : >$tmp/writes; $wait_for_go" \
               flush=": >$tmp/flushes; $wait_for_go" \
               baddisk-vanish=vanish.txt baddisk-vanish-time=3600000
  URI=$uri client <<'PY'
def under_way(f, *args):
    results = []
    def done(error):
        results.append(error.value)
        return 1
    c = connect()
    f(c, *args, completion=done)
    return c, results
requests = [
    under_way(nbd.NBD.aio_pwrite,
              nbd.Buffer.from_bytearray(bytearray(pattern(7))), 7 * 512),
    under_way(nbd.NBD.aio_pread, nbd.Buffer(512), 8 * 512),
    under_way(nbd.NBD.aio_flush),
]
for name in "reads", "writes", "flushes":
    while not os.path.exists(name):
        time.sleep(0.02)
is_(outcome(read, 100), "EINVAL")
open("go", "w").close()
for c, results in requests:
    while not results:
        c.poll(-1)
    is_(results, [errno.EINVAL])
is_(open("written", "rb").read(), pattern(7))
PY
  stop_nbdkit under
fi

echo "== a list that changes; the disk that is told to go is gone as before"
vanishing baddisk-vanish-requests=1 baddisk-gone=gone
client <<'PY'
with open("new.txt", "w") as f:
    f.write("%d 512 -\n" % (50 * 512))
os.rename("new.txt", "vanish.txt")
is_(read(100), pattern(100))
open("gone", "w").close()
is_([outcome(read, 50), outcome(read, 0)], ["EINVAL"] * 2)
os.unlink("gone")
is_(read(0), orig(0))
is_([outcome(read, 50), outcome(read, 0), outcome(read, 0)],
    ["EINVAL", "EINVAL", "ok"])
PY

echo "== with the clock nothing is waited for, and what fails costs nothing"
vanishing baddisk-clock=on baddisk-vanish-requests=1
client <<'PY'
is_([outcome(read, 50), outcome(read, 0), outcome(read, 0)],
    ["EINVAL", "EINVAL", "ok"])
PY
stop_nbdkit disk
assert_grep ' fail=0.000 ' ops.txt

echo "== wrong values"
for p in vanish= vanish=nothing.txt vanish-time=x vanish-time=3600001 \
         vanish-requests=-1 vanish-requests=4294967296; do
  expect_failure nbdkit -U "$tmp/wrong.sock" --filter=baddisk memory 32k \
                 "baddisk-$p" --run true
  assert_grep "baddisk-${p%%=*}" expect.out
  assert_equal "$(grep -c 'error:' expect.out)" 1 "messages of $p"
done
