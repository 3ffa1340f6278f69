#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# fio with checksums over a disk of 1 GiB with 10,000 random bad sectors,
# written through the filter first: neither an error nor a miscompare
# (promises 1, 3 and 5 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires_program fio
requires fio --enghelp=nbd

truncate -s 1G main.img
: >bad.txt
BAD='baddisk-random=10000 baddisk-seed=1'
# shellcheck disable=SC2086
serve $BAD

job ()
{
  fio --name=job --ioengine=nbd --uri="$uri" --size=1G --iodepth=32 \
      --verify=crc32c --verify_fatal=1 --randseed=11 "$@" >fio.out 2>&1 || {
    cat fio.out
    fail "fio failed: $*"
  }
  cat fio.out
  assert_grep 'err= 0' fio.out
}

# The whole image, then 4 KiB over it at random, each with its check.
job --rw=write --bs=1M
job --rw=randwrite --bs=4k --io_size=64M --size=256M --offset=512M
[ "$(grep -c '^write .* EIO' ops.txt)" -gt 10000 ] || fail "no errors?"
crash
rm ops.txt
# shellcheck disable=SC2086
serve $BAD
job --rw=read --bs=1M --size=512M

# Every bad sector has its slot; none was read from main.
assert_no_grep '^(read|write)' ops.txt
