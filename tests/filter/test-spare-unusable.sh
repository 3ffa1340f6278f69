#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What can't be a spare is refused before the server goes into the
# background, and left alone (promises 20 to 23 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program mkfs.ext4 mkfifo

make_main $((8 << 20))

SPARE=missing/spare.img refused 'missing/spare.img: its directory doesn.t exist'
[ ! -e missing ] || fail "a directory was made"
mkdir directory
SPARE=directory refused 'spare .*directory: .*(directory|regular file)'
mkfifo fifo
SPARE=/dev/zero refused 'spare /dev/zero: is neither a regular file nor a bl'
timeout 300 nbdkit -f -U - --filter=remap file main.img spare=fifo \
        --run true >fifo.out 2>&1 && fail "a FIFO was accepted"
assert_grep 'fifo: is neither a regular file nor a block device' fifo.out
SPARE=main.img refused 'main.img: is main itself'
ln main.img hard.img
SPARE=hard.img refused 'hard.img: is main itself'
if [ "$(id -u)" != 0 ]; then
  install -m 400 /dev/null readonly.img
  SPARE=readonly.img refused 'readonly.img: .*Permission denied'
fi

# Too small.
for size in 1 4096 1048575; do
  rm -f spare.img
  truncate -s $size spare.img
  refused "spare .*spare.img: .*$size bytes, a spare needs at least 1048576"
done
truncate -s 0 spare.img

# A mistyped path, a filesystem that isn't mounted.
refused 'is missing or blank, and spare-create=no' spare-create=no
assert_equal "$(stat -c %s spare.img)" 0 "size of the empty file"
rm spare.img
refused 'spare.img: .*No such file' spare-create=no
[ ! -e spare.img ] || fail "spare-create=no created a spare"
truncate -s 4M spare.img
refused 'is missing or blank, and spare-create=no' spare-create=no

# Anything that isn't blank, wherever it is.
rm spare.img
truncate -s 8M spare.img
mkfs.ext4 -q spare.img
refused 'is neither blank nor a spare'
for at in 0 4095 1048576 $((8 * 1048576 - 1)); do
  rm spare.img
  truncate -s 8M spare.img
  printf x | dd of=spare.img bs=1 seek=$at conv=notrunc status=none
  refused 'is neither blank nor a spare'
done
rm spare.img
cp orig.img spare.img
refused 'is neither blank nor a spare' spare-offset=1M

# Blank, with and without holes.
for file in missing empty holes zeroes; do
  rm -f spare.img
  case $file in
    missing) ;;
    empty) : >spare.img ;;
    holes) truncate -s 1M spare.img ;;
    zeroes) dd if=/dev/zero of=spare.img bs=1M count=1 status=none ;;
  esac
  serve
  client <<<'is_(read(1), orig(1))'
  stop_nbdkit disk
  assert_grep 'creating a new spare: .*/spare.img, UUID [0-9a-f-]{36}' \
              disk.log
  rm disk.log
done
cmp main.img orig.img
