#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# SCSI disks of three geometries (scsi_debug) whose sectors go bad while they
# are in use, served by the direct plugin with the filter over it: every
# sector that can be read is read, exactly those that can't become LOST, and
# the drive is asked no more than promise 5 of remap-promises(7) allows,
# by its own count as well (promises 1, 4, 5, 6 and 13).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"
. "${abs_top_srcdir:?}/tests/guest/guest.sh"

guest_requires
guest_requires_sectors

cat >script <<'EOF2'
. /files/in-guest.sh

# check_disk GEOMETRY RATIO [PARAMETER...]: RATIO is sectors of a block of the
# drive.
check_disk ()
{
  _geometry=$1
  _ratio=$2
  shift 2
  rm -f disk.*
  scsi_debug_disk "$@"
  sectors_are "" "direct:/dev/$disk" write 1 0 16384
  serve_remapped "/dev/$disk"
  sectors_are "" "$uri" read 1 0 16384 2048
  dmesg -c >/dev/null
  _asked=0

  # Ten blocks go bad: found by large requests, then known to all others.
  _a=$((8000 / _ratio * _ratio + _ratio)) _na=$((10 * _ratio))
  scsi_debug_bad $((_a / _ratio)) 10
  sectors_are "error $_a+$_na EIO" "$uri" read 1 0 16384 2048
  _reads=$(failing_reads)
  sectors_are "error $_a+$_na EIO" "$uri" read 1 $((_a - 9)) $((_na + 20)) 1
  sectors_are "error $_a+$_na EIO" "$uri" read 1 $((_a - 7)) $((_na + 20)) 7
  sectors_are "error $_a+$_na EIO" "$uri" read 1 0 16384 128
  assert_equal "$(failing_reads)" "$_reads" "failing reads of what is LOST"
  assert_equal "$(in_state lost)" "$_a+$_na" "LOST of $_geometry"

  # Three others do, and those heal: nobody is to believe them.
  _b=$((12000 / _ratio * _ratio)) _nb=$((3 * _ratio))
  scsi_debug_bad $((_b / _ratio)) 3
  sectors_are "error $_a+$_na EIO
error $_b+$_nb EIO" "$uri" read 1 0 16384 64
  assert_equal "$(remapctl status --json |
                    sed 's/.*"errors":{"read":\([0-9]*\),.*/\1/')" \
               "$(failing_reads)" "errors.read of the status"

  # What is written is there again, with sectors beside it untouched; after
  # kill -9 as well.
  sectors_are "" "$uri" write 2 $((_a + _ratio)) $((_na - 2 * _ratio)) 3
  sectors_are "" "$uri" write 2 $((_b - 50)) $((100 + _nb)) 2048
  stop_nbdkit disk KILL
  serve_remapped "/dev/$disk"
  sectors_are "" "$uri" read 2 $((_a + _ratio)) $((_na - 2 * _ratio)) 5
  sectors_are "" "$uri" read 2 $((_b - 50)) $((100 + _nb)) 2048
  sectors_are "error $_a+$_ratio EIO" "$uri" read 1 0 $((_a + _ratio)) 1000
  sectors_are "error $((_a + _na - _ratio))+$_ratio EIO" \
              "$uri" read 1 $((_a + _na - _ratio)) 300 300
  sectors_are "" "$uri" read 1 $((_b + _nb + 50)) 2000
  stop_nbdkit disk
  assert_equal "$(in_state lost --spare=disk.spare)" "$_a+$_ratio
$((_a + _na - _ratio))+$_ratio" "LOST in the end of $_geometry"
  assert_equal "$(in_state remapped --spare=disk.spare)" \
               "$((_a + _ratio))+$((_na - 2 * _ratio))
$_b+$_nb" "REMAPPED in the end of $_geometry"

  _reads=$(failing_reads)
  _asked=$(scsi_debug_medium_errors)
  echo "$_geometry: 13 bad blocks, $_reads failing reads, by the drive's count" \
       "$_asked"
  [ "$_reads" -ge 13 ] && [ "$_reads" -le $((4 * 13)) ] ||
    fail "$_reads failing reads"
  [ "$_asked" -ge 13 ] && [ "$_asked" -le $((4 * 13)) ] ||
    fail "$_asked commands that failed"
  rmmod scsi_debug
}

check_disk 512n 1 sector_size=512 physblk_exp=0
check_disk 512e 1 sector_size=512 physblk_exp=3
check_disk 4Kn 8 sector_size=4096
EOF2

guest_run medium-errors script
