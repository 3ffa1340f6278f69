#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Errors of a server that goes into the background: what is known before is
# on the terminal, with a status; what is known only later (main's size)
# goes to syslog and ends the server before a client is served (promises
# 20 and 23 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_root

make_main $((8 << 20))
serve
stop_nbdkit disk
cp spare.img good.img

# Before: no daemon, a status, the message on stderr.
printf x | dd of=spare.img bs=1 seek=5 conv=notrunc status=none
printf x | dd of=spare.img bs=1 seek=33000 conv=notrunc status=none
expect_failure nbdkit -U "$tmp/s" -P "$tmp/p" --filter=remap file main.img \
               spare=spare.img
assert_grep 'error: remap: spare .*spare.img: both headers' expect.out
[ ! -e p ] || fail "a server was started"
cp good.img spare.img

# So is a growth that is asked for and can't be: what follows isn't blank.
size=$(stat -c %s spare.img)
printf x | dd of=spare.img bs=1 seek=$((size + 5000)) conv=notrunc status=none
cksum spare.img >before
expect_failure nbdkit -U "$tmp/s" -P "$tmp/p" --filter=remap file main.img \
               spare=spare.img spare-size=$((size + (4 << 20)))
assert_grep "error: remap: spare .*: can't be enlarged from $size to" expect.out
assert_grep 'not blank' expect.out
[ ! -e p ] || fail "a server was started"
cksum spare.img | diff before -
cp good.img spare.img

# After: syslog is what listens at /dev/log.  In a mount namespace of its
# own the test has a /dev for that; where that can't be had (a chroot), it
# listens there as long as nobody else does.
if unshare -m true 2>/dev/null; then
  namespace='unshare -m'
elif [ ! -e /dev/log ]; then
  namespace="env"
  cleanup_fn rm -f /dev/log
else
  skip "needs a mount namespace, or a /dev/log of its own"
fi
cat >listen.py <<'PY'
import os, socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
s.settimeout(300)
print("ready", flush=True)
try:
    while True:
        print(s.recv(65536).decode(errors="replace").rstrip("\n\0"),
              flush=True)
except socket.timeout:
    pass
PY
cat >with-syslog.sh <<'SH'
set -eu
log=/dev/log
if [ "$1" != env ]; then
  mount --make-rprivate /
  mkdir dev
  mount -t tmpfs tmpfs dev
  cp -a /dev/null /dev/zero /dev/urandom /dev/random dev/
  log=dev/log
fi
shift
: >syslog.txt
/usr/bin/python3 listen.py "$log" >syslog.txt &
listener=$!
trap 'kill $listener' EXIT
# until_true COMMAND...: for five minutes at most.
until_true ()
{
  end=$(($(date +%s) + 300))
  until "$@" || [ "$(date +%s)" -ge "$end" ]; do
    sleep 0.05
  done
}
until_true grep -q ready syslog.txt
[ "$log" = /dev/log ] || mount --bind dev /dev
"$@" >foreground.out 2>&1 || :
until_true grep -q 'nbdkit.*remap' syslog.txt
# Or a zombie that nobody has asked for.
gone ()
{
  ! [ -s p ] ||
    ! grep -q '^State:[[:space:]]*[^Z]' "/proc/$(cat p)/status" 2>/dev/null
}
until_true gone
! gone || exit 0
echo "still running" >still
kill "$(cat p)"
SH

truncate -s 4M main.img
cksum spare.img >before
$namespace bash with-syslog.sh "$namespace" \
        nbdkit -U "$tmp/s" -P "$tmp/p" --filter=remap file main.img \
        spare=spare.img || :
cat syslog.txt foreground.out
[ ! -e still ] || fail "the server went on"
assert_grep 'ready' syslog.txt
assert_grep 'spare.img belongs to a disk of 8388608 bytes, but main has 4194' \
            syslog.txt
assert_equal "$(grep -c 'nbdkit.*remap' syslog.txt)" 1 "messages in syslog"
cksum spare.img | diff before -
! URI="nbd+unix:///?socket=$tmp/s" client <<<'' 2>/dev/null ||
  fail "a client was served"

# With --log=stderr and -v the same message is on stderr.
rm -f p s
nbdkit -v --log=stderr -U "$tmp/s" -P "$tmp/p" --filter=remap file main.img \
       spare=spare.img >stderr.out 2>&1 || :
eventually grep -q 'belongs to a disk of' stderr.out || :
assert_grep 'error: remap: spare .* belongs to a disk of 8388608' stderr.out
