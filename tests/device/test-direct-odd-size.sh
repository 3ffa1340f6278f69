#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A file whose size is no multiple of a sector, served by the direct plugin:
# programs that keep to the advertised block size (nbdcopy, nbdinfo --map)
# get all of it, with and without the remap filter.  The filter's block is
# still a sector; where that has 4096 bytes, blocksize-policy says so.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/device.sh"
requires_program nbdcopy nbdinfo
requires nbdinfo --version

# copies SIZE: into the server and out of it; its map adds up to SIZE.
copies ()
{
  random_file in.img "$1"
  for options in '' '--connections=3 --requests=16' '--synchronous'; do
    # shellcheck disable=SC2086
    nbdcopy --flush $options in.img "$uri"
    rm -f out.img
    # shellcheck disable=SC2086
    nbdcopy $options "$uri" out.img
    cmp in.img out.img
  done
  nbdinfo --map "$uri" >map.txt
  awk -v size="$1" '{ sum += $2 } END { exit sum != size }' map.txt ||
    fail "the map does not add up to $1 bytes: $(cat map.txt)"
}

# block_size WHAT NUMBER: is that what is advertised?  (Newer nbdinfos add
# "(4K)" to it.)
block_size ()
{
  nbdinfo "$uri" >info.txt
  assert_grep "block_size_$1: $2( |\$)" info.txt
}

for size in 300 $((1000 * 1000 + 123)) $(((5 << 20) + 511)); do
  echo "==== $size bytes"
  rm -f odd.img spare.img
  truncate -s "$size" odd.img
  start_nbdkit bare direct odd.img
  block_size minimum 1
  block_size preferred 4096
  copies "$size"
  stop_nbdkit bare
  cmp in.img odd.img

  start_nbdkit disk -v --filter=remap direct odd.img spare=spare.img \
               spare-size=4M
  block_size minimum 1
  copies "$size"
  stop_nbdkit disk
  assert_grep "main $size bytes, block 512," disk.log
done

echo "==== no tail"
truncate -s 1M even.img
start_nbdkit bare direct even.img
block_size minimum 512
copies $((1 << 20))
stop_nbdkit bare

requires_loop
requires_program mkfs.ext4 mount umount
requires_filter blocksize-policy
truncate -s 32M fs.img
make_loop fs.img --sector-size 4096
mkfs.ext4 -q "$loop"
mkdir fs
mount "$loop" fs
cleanup_fn umount -l fs
size=$((2 * 1000 * 1000 + 123))
truncate -s "$size" fs/odd.img
echo "==== sectors of 4096 bytes"
start_nbdkit bare direct fs/odd.img
block_size minimum 1
copies "$size"
stop_nbdkit bare
start_nbdkit disk -v --filter=remap --filter=blocksize-policy direct \
             fs/odd.img spare=spare2.img spare-size=4M blocksize-minimum=4096
copies "$size"
stop_nbdkit disk
assert_grep "main $size bytes, block 4096," disk.log
truncate -s $((2 << 20)) fs/even.img
start_nbdkit bare direct fs/even.img
block_size minimum 4096
stop_nbdkit bare
