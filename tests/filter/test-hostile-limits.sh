#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Limits of the shell that the server is started from: on the size of files
# (a spare that hits it is full, not broken, and nobody is killed) and on
# open files (promises 17, 18 and 23 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
! is_instrumented || skip "valgrind and sanitizers need files of their own"

make_main $((8 << 20))

# limited BLOCKS COMMAND...: with files of at most so many KiB.
limited ()
{
  local kib=$1
  shift
  ulimit -S -f "$kib"
  "$@"
  ulimit -S -f unlimited
}

# A new spare has no room for what it needs: an error, and nothing is left.
limited 512 refused 'spare .*spare.img: .*File too large'
[ ! -e spare.img ] || fail "an unfinished spare was left behind"

# One that exists doesn't get any larger; what it has goes on.
bad_sectors bad.txt 100+10
serve spare-size=2M
client <<'PY'
write(100, pattern(100))
PY
stop_nbdkit disk
limited 2048 refused 'spare .*spare.img: .*File too large' spare-size=4M
limited 2048 serve
client <<'PY'
is_(read(100), pattern(100))
write(101, pattern(101))
is_(read(101), pattern(101))
PY
stop_nbdkit disk

# A limit below what the spare has: what is mapped can be read, what needs
# room beyond the limit gets ENOSPC, and nothing else happens.
limited 256 serve
client <<'PY'
is_(read(100), pattern(100))
is_(read(99), orig(99))
r = outcome(write, 102, pattern(102))
assert r in ("ENOSPC", "ok"), r
is_(read(101), pattern(101))
write(99, pattern(99))
PY
stop_nbdkit disk
serve
client <<'PY'
is_(read(100, 2), pattern(100, 1, 2))
write(102, pattern(102))
is_(read(102), pattern(102))
is_(read(99), pattern(99))
PY
stop_nbdkit disk

# Open files: from far too few to enough, the server either starts or says
# why not.  (A client that finds none left is nbdkit's affair.)
started=0 refused=0
for n in 3 4 5 6 7 8 9 10 11 12 13 14 16 24 32; do
  status=0
  (ulimit -S -n "$n"
   exec timeout 300 nbdkit -U - --filter=remap file main.img spare=spare.img \
        --run true) >open.out 2>&1 </dev/null || status=$?
  cat open.out
  [ "$status" -lt 99 ] || [ "$status" -eq 126 ] || [ "$status" -eq 127 ] ||
    fail "status $status with $n open files"
  if [ "$status" -eq 0 ]; then
    started=$((started + 1))
  else
    [ -s open.out ] || fail "no message with $n open files"
    refused=$((refused + 1))
  fi
done
echo "$started started, $refused did not"
[ "$started" -gt 0 ] || fail "it never started"
serve
client <<'PY'
is_(read(100, 2), pattern(100, 1, 2))
PY
