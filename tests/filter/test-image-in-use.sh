#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# One image and two spares: only one server may write to it, those that only
# read share it, and neither nbdkit without the filter nor QEMU is disturbed
# (promise 22 of remap-promises(7)).  Spares are locked in two ways.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program nbdinfo

make_main $((8 << 20))
plugins=(file)
! "$REMAP_NBDKIT" -U - direct main.img --run true >/dev/null 2>&1 ||
  plugins+=(direct)

# lock FILE r|w: until the end of this program, as another server of a host
# that passes these locks on, but not those of flock(2).
lock ()
{
  /usr/bin/python3 - "$@" <<'PY' &
import fcntl, os, struct, sys
alone = sys.argv[2] == "w"
fd = os.open(sys.argv[1], os.O_RDWR if alone else os.O_RDONLY)
F_OFD_SETLK = 37
fcntl.fcntl(fd, F_OFD_SETLK, struct.pack(
    "hhqqi4x", fcntl.F_WRLCK if alone else fcntl.F_RDLCK, 0, 1000, 1, 0))
open("locked", "w").close()
sys.stdin.close()
while not os.path.exists("unlock"):
    import time; time.sleep(0.05)
PY
  locker=$!
  eventually exists locked || fail "can't lock $1"
}
unlock ()
{
  touch unlock
  wait "$locker"
  rm unlock locked
}

for plugin in "${plugins[@]}"; do
  echo "==== $plugin"
  start_nbdkit one --filter=remap "$plugin" main.img spare=one.img spare-size=1M
  ln -sf main.img link.img
  PLUGIN="$plugin link.img" SPARE=two.img \
    refused 'main .*main.img: is in use by another server'
  [ ! -e two.img ] || fail "a spare was left there"
  PLUGIN="$plugin main.img" SPARE=two.img OPTIONS=-r \
    refused 'main .*main.img: is in use by another server'
  # Others have no part in it.
  "$REMAP_NBDKIT" -r -U - "$plugin" main.img \
                  --run 'nbdinfo --size "$uri"'
  if command -v qemu-img >/dev/null; then
    qemu-img compare -f raw -F raw main.img orig.img
    qemu-io -f raw -c 'write -P 7 0 512' main.img
    cp orig.img main.img
  fi
  stop_nbdkit one

  start_nbdkit one -r --filter=remap "$plugin" main.img spare=one.img
  start_nbdkit two --filter=remap "$plugin" main.img spare=two.img \
               spare-size=1M remap-lost=zero
  PLUGIN="$plugin main.img" SPARE=three.img \
    refused 'main .*main.img: is in use by another server'
  stop_nbdkit one
  stop_nbdkit two
  # Parts of one image are two disks; all of it is a third.
  start_nbdkit one --filter=remap --filter=offset "$plugin" main.img \
               offset=0 range=4M spare=one.part spare-size=1M
  start_nbdkit two --filter=remap --filter=offset "$plugin" main.img \
               offset=4M spare=two.part spare-size=1M
  PLUGIN="$plugin main.img" SPARE=three.img \
    refused 'main .*main.img: is in use by another server'
  stop_nbdkit one
  stop_nbdkit two
  rm one.part two.part
  rm one.img two.img
done

echo "==== a spare that flock(2) says nothing of"
start_nbdkit one --filter=remap file main.img spare=spare.img spare-size=1M
stop_nbdkit one
lock spare.img w
refused 'spare .*spare.img: is in use by another server or tool'
expect_failure remapctl info spare.img
unlock
lock spare.img r
refused 'spare .*spare.img: is in use by another server or tool'
remapctl info spare.img
unlock
start_nbdkit one --filter=remap file main.img spare=spare.img
