#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A drive that doesn't answer: requests fail in time, others go on, late
# answers reach no buffer that is in use again, what is late on the disk
# overwrites nothing that was acknowledged, and how many requests are stuck
# is bounded.  Under the remap filter, a write that is late is remapped, and
# its blocks are not given back (promise 3 of remap-promises(7)).
#
# The drive is a server that is stopped for a while (SIGSTOP), or that
# answers for bad sectors after seconds only.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/device.sh"
requires nbdsh --version
requires_bad_device

make_main $((8 << 20))

# A drive that answers nothing at all.
hung_drive ()
{
  local method=$1

  echo "==== a drive that hangs, $method"
  rm -f bare.log
  cp orig.img main.img
  make_bad_device main.img
  start_nbdkit bare -t 80 -v direct "$loop" direct-timeout=2 "$method"
  DRIVE=${nbdkit_pids[device]} URI=$uri client <<'PY'
import signal
drive = int(os.environ["DRIVE"])
def states():
    for task in os.listdir("/proc/%d/task" % drive):
        with open("/proc/%d/task/%s/stat" % (drive, task)) as f:
            yield f.read().rsplit(")", 1)[1].split()[0]
# Each thread stops when it gets to it.
def hang():
    os.kill(drive, signal.SIGSTOP)
    while set(states()) != {"T"}:
        time.sleep(0.01)
def go_on():
    os.kill(drive, signal.SIGCONT)
def log():
    return open("bare.log").read()
def send_read(c, s, done):
    b = nbd.Buffer(8 * SECTOR)
    c.aio_pread(b, s * SECTOR, done)
    return b
# NBD has no ETIMEDOUT: it is EINVAL on the wire.
LATE = errno.EINVAL
def check_others(first):
    got = {}
    def keep(c, s, done):
        got[s] = send_read(c, s, done)
        return got[s]
    others = list(range(first, first + 8 * 200, 8))
    is_(set(at_depth(16, others, keep).values()), {0})
    for s in others:
        is_(bytes(got[s].to_bytearray()), orig(s, 8), s)

try:
    # Reads, whose answers come when their threads do something else.
    hang()
    is_(set(at_depth(16, range(0, 128, 8), send_read).values()), {LATE})
    assert log().count("was not answered within 2 s") == 1
    go_on()
    check_others(1000)

    # A write that is late: nothing is written there before it has ended.
    hang()
    is_(outcome(write, 200, pattern(200, 1)), "EINVAL")
    before = log().count("no answer to a write")
    before += log().count("a write of 512 bytes at 102400 was not answered")
    is_(before, 1)
    is_(outcome(h.pwrite, b"new", 200 * SECTOR + 100), "EINVAL")
    is_(outcome(write, 200, pattern(200, 2)), "EINVAL")
    is_(log().count("no answer to a write") +
        log().count("a write of 512 bytes at 102400 was not answered"), 1)
    go_on()
    eventually(lambda: outcome(write, 200, pattern(200, 3)) == "ok",
               "the late write is over")
    check_others(3000)
    is_(read(200), pattern(200, 3))
    is_(outcome(h.flush), "ok")

    # As many as may be stuck, and then none more.
    hang()
    many = range(5000, 5000 + 8 * 64, 8)
    is_(set(at_depth(64, many, send_read).values()), {LATE})
    is_(log().count("64 requests are stuck"), 0)
    is_(outcome(read, 9000), "EINVAL")
    is_(outcome(read, 9008), "EINVAL")
    is_(log().count("64 requests are stuck"), 1)
    # Never sent, so nothing is known of the drive.
    is_(log().count("at 4608000: Device or resource busy"), 1)
    is_(outcome(h.flush), "EINVAL")
    go_on()
    eventually(lambda: outcome(read, 9000) == "ok", "the drive is back")
    check_others(7000)
    check_others(9000)
    is_(outcome(h.flush), "ok")
finally:
    go_on()
PY
  assert_grep 'no request is stuck any more' bare.log
  assert_grep 'late answer to a write of 512 bytes at 102400' bare.log
  stop_nbdkit bare
  detach_loop "$loop"
  end_fuse
  stop_nbdkit device
}

# A drive that takes seconds for bad sectors, while others are served; a
# failed write leaves its good sectors written, when it is over.
slow_errors ()
{
  local method=$1

  echo "==== a drive that is slow for bad sectors, $method"
  rm -f spare.img disk.log
  cp orig.img main.img
  bad_sectors bad.txt 1000 2003 3000+2
  CONNECTIONS=128 make_bad_device main.img baddisk-fail-delay=5000 \
                  baddisk-partial=good
  start_nbdkit disk -D remap.verbose=1 -v --filter=remap direct "$loop" \
               spare=spare.img spare-size=4M direct-timeout=2 "$method"
  disk_uri=$uri
  client <<'PY'
result = {}
def slow():
    c = connect()
    result["read"] = outcome(read, 1000, 1, c)
    result["write"] = outcome(write, 2000, pattern(2000, 1, 8), 0, c)
    result["again"] = outcome(write, 2000, pattern(2000, 2, 8), 0, c)
    result["edge"] = outcome(c.pwrite, b"edge", 2001 * SECTOR + 50)
t = threading.Thread(target=slow)
t.start()
n = 0
while t.is_alive():
    s = 4000 + n % 4000
    is_(read(s), orig(s))
    n += 1
    # Not so many that the slow one's connection has its turn again.
    t.join(0.1)
t.join()
assert n > 0
is_(result, {"read": "EIO", "write": "ok", "again": "ok", "edge": "ok"})
# Until all that is late has landed: only what was written last is read.
wanted = bytearray(pattern(2000, 2, 8))
wanted[SECTOR + 50:SECTOR + 54] = b"edge"
deadline = time.monotonic() + 300
while "no request is stuck any more" not in open("disk.log").read():
    is_(read(2000, 8), bytes(wanted))
    # Stuck requests are looked at when something is asked of the disk.
    is_(read(9000), orig(9000))
    assert time.monotonic() < deadline
    time.sleep(0.1)
is_(read(2000, 8), bytes(wanted))
write(2000, pattern(2000, 4, 8))
is_(read(2000, 8), pattern(2000, 4, 8))
is_(outcome(h.flush), "ok")
# The write that was late is on the disk by now, and doesn't count.
is_(raw(2000), pattern(2000, 1))
is_(outcome(read, 1000), "EIO")
PY
  assert_grep 'late answer to a write' disk.log
  assert_no_grep 'main is lost' disk.log
  crash
  bad_sectors bad.txt
  start_nbdkit disk --filter=remap direct "$loop" spare=spare.img
  disk_uri=$uri
  client <<'PY'
is_(read(2000, 8), pattern(2000, 4, 8))
is_(outcome(read, 1000), "EIO")
is_(read(3000, 2), orig(3000, 2))
PY
  stop_nbdkit disk
  detach_loop "$loop"
  end_fuse
  stop_nbdkit device
}

for method in direct-io=threads direct-io=uring; do
  if [ "$method" = direct-io=uring ] &&
     ! nbdkit direct --dump-plugin | grep -q '^direct_io_uring=yes'; then
    echo "io_uring is not to be had: not tested"
    continue
  fi
  hung_drive "$method"
  slow_errors "$method"
done
