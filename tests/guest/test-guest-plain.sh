#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What a failing disk does to those who use it without the filter, or through
# a plugin with a page cache: the evidence for what README.md says about
# which plugin to use for what.  This is about the kernel and nbdkit, and
# fails if they no longer behave so.  With the direct plugin and the filter
# the same workload is fine.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"
. "${abs_top_srcdir:?}/tests/guest/guest.sh"

guest_requires
guest_requires_sectors

cat >script <<'EOF2'
. /files/in-guest.sh
# Nobody else makes the nodes in /dev.
export DM_DISABLE_UDEV=1
bad=/dev/mapper/bad

# new_disk: $bad, of 8 MiB with seed 1, whose sectors 1003 and 2000 to 2007
# have just gone bad.
new_disk ()
{
  dmsetup remove bad 2>/dev/null || :
  echo "0 16384 linear /dev/$disk 0" | dmsetup create bad
  sectors_are "" direct:$bad write 1 0 16384
  dmsetup reload bad <<TABLE
0 1003 linear /dev/$disk 0
1003 1 error
1004 996 linear /dev/$disk 1004
2000 8 error
2008 14376 linear /dev/$disk 2008
TABLE
  dmsetup suspend bad
  dmsetup resume bad
  drop_caches
}

drop_caches ()
{
  echo 3 >/proc/sys/vm/drop_caches
}

# The workload: writes 900 to 2499, flushes twice, reads at once, and reads
# what is there when the page cache has forgotten it.
use ()
{
  # The cache lives as long as anybody has the device open.
  exec 9<$bad
  sectors "$1" write+flush 2 900 1600
  echo "at once:"
  sectors "$1" read 2 900 1600
  drop_caches
  echo "later:"
  sectors "$1" read 2 900 1600
  exec 9<&-
}

check ()
{
  assert_equal "$2" "$3" "$1"
  printf '%s:\n%s\n' "$1" "$2" | sed '2,$s/^/    /'
}

scsi_debug_disk opts=0

echo "---- a medium error of a drive, one sector"
sectors_are "" "direct:/dev/$disk" write 1 0 16384
scsi_debug_bad 1003 1
check "the device, O_DIRECT" "$(sectors "direct:/dev/$disk" read 1 900 1600)" \
      "error 1003+1 ENODATA"
drop_caches
check "the device, page cache" \
      "$(sectors "cached:/dev/$disk" read 1 900 1600)" "error 1000+8 EIO"
drop_caches
start_nbdkit plain file "/dev/$disk"
check "the file plugin" \
      "$(sectors "nbd+unix:///?socket=$PWD/plain.sock" read 1 900 1600)" \
      "error 1000+8 EIO"
stop_nbdkit plain
serve_remapped "/dev/$disk"
check "direct and remap" "$(sectors "$uri" read 1 900 1600)" \
      "error 1003+1 EIO"
stop_nbdkit disk
rm -f disk.*
echo 0 >/sys/bus/pseudo/drivers/scsi_debug/opts

echo "---- sectors that can be neither read nor written"
new_disk
check "the device, O_DIRECT" "$(use direct:$bad)" \
      "error 1003+1 EIO
error 2000+8 EIO
flush ok
flush ok
at once:
error 1003+1 EIO
error 2000+8 EIO
later:
error 1003+1 EIO
error 2000+8 EIO"

# All writes succeed, the second flush knows nothing any more, and the cache
# shows what isn't on the disk.
swallowed="flush EIO
flush ok
at once:
later:
error 1000+8 EIO
error 2000+8 EIO"
new_disk
check "the device, page cache" "$(use cached:$bad)" "$swallowed"
new_disk
start_nbdkit plain file $bad
check "the file plugin" "$(use "nbd+unix:///?socket=$PWD/plain.sock")" \
      "$swallowed"
stop_nbdkit plain

# The filter can't remap errors that it isn't told of; it fails the flush.
new_disk
start_nbdkit plain --filter="$remap" file $bad spare=plain.spare
check "the file plugin and remap" \
      "$(use "nbd+unix:///?socket=$PWD/plain.sock")" "$swallowed"
stop_nbdkit plain

new_disk
serve_remapped $bad
check "direct and remap" "$(use "$uri")" "flush ok
flush ok
at once:
later:"
stop_nbdkit disk

echo "---- remapped by hand with dmsetup, as dm-remap does"
# To places that have held something else: nobody is told.
dmsetup reload bad <<TABLE
0 1003 linear /dev/$disk 0
1003 1 linear /dev/$disk 16000
1004 996 linear /dev/$disk 1004
2000 8 linear /dev/$disk 16008
2008 14376 linear /dev/$disk 2008
TABLE
dmsetup suspend bad
dmsetup resume bad
check "the device, O_DIRECT" "$(sectors direct:$bad read 2 900 1600)" \
      "wrong 1003+1
wrong 2000+8"

# An error of the page cache is told to everybody who asks next, with FUA
# too: so good writes fail for another connection's bad one.
echo "---- writes with FUA, of bad sectors and of good ones beside them"
new_disk
exec 9<$bad
start_nbdkit plain file $bad
check "the file plugin" \
      "$(sectors "nbd+unix:///?socket=$PWD/plain.sock" fua 3 5000 2000 200)" \
      "200 of 200 bad, 200 of 200 good"
stop_nbdkit plain
exec 9<&-
new_disk
start_nbdkit plain "$direct" $bad
check "the direct plugin" \
      "$(sectors "nbd+unix:///?socket=$PWD/plain.sock" fua 3 5000 2000 200)" \
      "200 of 200 bad, 0 of 200 good"
stop_nbdkit plain
new_disk
rm -f disk.*
serve_remapped $bad
check "direct and remap" "$(sectors "$uri" fua 3 5000 2000 200)" \
      "0 of 200 bad, 0 of 200 good"
stop_nbdkit disk
EOF2

guest_run plain script
