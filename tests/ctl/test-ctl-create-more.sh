#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# remapctl create for disks that are only to be read or copied, and with
# arguments for nbdkit.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/ctl.sh"
requires_program nbdinfo nbdcopy

cleanup_fn stop_all

truncate -s 10M main.img
printf content | dd of=main.img bs=512 seek=5 conv=notrunc status=none
cp main.img second.img
cp main.img third.img
before=$(sha256sum <main.img)
uri ()
{
  echo "nbd+unix:///?socket=$PWD/run/$1.nbd"
}

ctl 0 create --read-only dm_name=ro main_dev=main.img spare_dev=ro.spare
nbdinfo --is readonly "$(uri ro)" || fail "--read-only: clients may write"
ctl 0 list
assert_grep '^ro .*read-only' out
ctl 0 import -n ro --as=lost <(printf '0x0 ? 1\n0x0 0x200 -\n')
if nbdcopy "$(uri ro)" null: 2>/dev/null; then
  fail "--read-only: LOST sectors read as zeroes"
fi
ctl 0 stop ro

# Copied as zeroes, and listed.
ctl 0 create --for-copying dm_name=copy main_dev=second.img \
    spare_dev=copy.spare
assert_grep 'remapctl -n copy table --mapfile' out
ctl 0 import -n copy --as=lost <(printf '0x0 ? 1\n0xa00 0x200 -\n')
nbdinfo --is readonly "$(uri copy)" || fail "--for-copying: clients may write"
nbdcopy "$(uri copy)" copy.img
cmp copy.img <(head -c 10M /dev/zero)
remapctl -n copy table --mapfile >lost.map
assert_grep '^0x0+A00 +0x0+200 +-' lost.map
ctl 0 stop copy
assert_equal "$(sha256sum <main.img)" "$before" "a read-only disk"
assert_equal "$(sha256sum <second.img)" "$before" "a disk that was copied"

# Arguments for nbdkit: options, filters and parameters, wherever they belong.
ctl 0 create dm_name=more main_dev=third.img spare_dev=more.spare \
    -- -e disk --filter=baddisk baddisk-random=1 remap-retries=0
remapctl -n more verify 0 20480 >out
assert_grep '1 sector bad' out
ctl 0 create --dry-run main_dev=main.img spare_dev=other.spare -- -t 64
assert_grep 'nbdkit -f .* -t 64 remap-status=' out
# The spare is in /tmp, which the unit's page warns of.
remapctl create --unit --dry-run --read-only main_dev=main.img \
         spare_dev=other.spare -- remap-retries=0 >out
assert_grep '^REMAP_ARGS=.* -r remap-retries=0"' out
ctl 0 stop more
for wrong in -P -Pfile --pidfile=x -U --unix=x -p1 --port --run -s -f \
             remap-control=x remap-status=x; do
  says "create: $wrong.*is create's own" 3 create main_dev=main.img \
       spare_dev=other.spare -- "$wrong" x
done
[ ! -e other.spare ] || fail "a spare of a server that was refused"
