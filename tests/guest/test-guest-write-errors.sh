#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Disks that fail writes, served by the direct plugin with the filter over
# it: device-mapper's error and flakey targets that appear while the disk is
# in use, and disks of QEMU that fail by blkdebug.  Each failing write is
# remapped and nothing else is, what can't be read becomes LOST and nothing
# else does (promises 1 to 5 of remap-promises(7)); and a disk whose every
# sector fails is gone, not bad (promise 12).  CD drives are refused (23).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"
. "${abs_top_srcdir:?}/tests/guest/guest.sh"

guest_requires
guest_requires_sectors

# QEMU's disks, with the content of seed 1.
for i in 1 2; do
  truncate -s 8M disk$i.img
  nbdkit -U - file disk$i.img \
         --run "'$abs_top_builddir/tests/sectors' \"\$uri\" write 1 0 16384"
done

cat >script <<'EOF2'
. /files/in-guest.sh
# Nobody else makes the nodes in /dev.
export DM_DISABLE_UDEV=1

# table SEGMENT...: each FIRST:TARGET, up to the next one or the end; what
# is between is the disk's own.
table ()
{
  _at=0
  for _segment in "$@" 16384:; do
    _first=${_segment%%:*} _rest=${_segment#*:}
    _count=${_rest%%:*} _target=${_rest#*:}
    [ "$_first" -eq "$_at" ] ||
      echo "$_at $((_first - _at)) linear /dev/$disk $_at"
    _at=$_first
    case "$_target" in
      error) echo "$_first $_count error" ;;
      # Never up; what fails in its down time follows.
      flakey*) echo "$_first $_count flakey /dev/$disk $_first 0 1000000" \
                    "${_target#flakey}" ;;
      *) break ;;
    esac
    _at=$((_first + _count))
  done
}

# become SEGMENT...: the device in use, from now on.
become ()
{
  table "$@" | dmsetup reload bad
  dmsetup suspend bad
  dmsetup resume bad
}

# check_dm GEOMETRY RATIO [PARAMETER...]: RATIO is sectors of a block.
check_dm ()
{
  _geometry=$1
  _ratio=$2
  shift 2
  rm -f disk.*
  scsi_debug_disk opts=0 "$@"
  table | dmsetup create bad
  sectors_are "" direct:/dev/mapper/bad write 1 0 16384
  serve_remapped /dev/mapper/bad
  sectors_are "" "$uri" read 1 0 16384 2048

  # Three places go bad.  They are written together with much around them,
  # and nothing but them is remapped.
  become 1000:8:error "2000:$((2 * _ratio)):error" 3000:40:error 9000:80:error
  sectors_are "" "$uri" write 2 900 2500 2048
  _remapped="1000+8
2000+$((2 * _ratio))
3000+40"
  assert_equal "$(in_state remapped)" "$_remapped" "REMAPPED of $_geometry"
  sectors_are "" "$uri" read 2 900 2500 64
  assert_equal "$(failing_reads)" 0 "failing reads of what was written"

  # Another one is read only.
  sectors_are "error 9000+80 EIO" "$uri" read 1 3400 12984 1000
  sectors_are "error 9000+80 EIO" "$uri" read 1 3400 12984 64
  assert_equal "$(in_state lost)" 9000+80 "LOST of $_geometry"
  _blocks=$((80 / _ratio))
  [ "$(failing_reads)" -le $((4 * _blocks)) ] ||
    fail "$(failing_reads) failing reads of $_blocks blocks"

  # One that can be read, but not written.
  become "12000:32:flakey 1 error_writes"
  sectors_are "" "$uri" write 3 11900 1000 100
  _remapped="$_remapped
12000+32"
  assert_equal "$(in_state remapped)" "$_remapped" "REMAPPED of $_geometry"
  sectors_are "" "$uri" read 3 11900 1000 100

  # All of it fails: it is gone, nothing changes, and what the map has is
  # there.
  become 0:16384:flakey
  sectors_are "error 100+8 ESHUTDOWN" "$uri" read 1 100 8
  sectors_are "error 100+8 ESHUTDOWN" "$uri" write 4 100 8
  sectors_are "" "$uri" read 2 3000 40
  sectors_are "error 15000+500 ESHUTDOWN" "$uri" write 4 15000 500
  become
  await 30 served 1 200
  sectors_are "" "$uri" read 1 100 8
  sectors_are "" "$uri" read 2 900 2500 64
  sectors_are "" "$uri" read 3 11900 1000 100
  assert_equal "$(in_state lost)" 9000+80 "LOST after the disk was gone"
  assert_equal "$(in_state remapped)" "$_remapped" \
               "REMAPPED after the disk was gone"
  stop_nbdkit disk

  # Was it really the spare?
  assert_equal "$(sectors direct:/dev/mapper/bad read 2 904 2496 | wc -l)" 3 \
               "places that are not on the disk"
  dmsetup remove bad
  rmmod scsi_debug
}

# check_blkdebug DEVICE ERRNO
check_blkdebug ()
{
  rm -f disk.*
  serve_remapped "$1"
  sectors_are "error 9000+1 EIO" "$uri" read 1 0 16384 2048
  assert_equal "$(in_state lost)" 9000+1 "LOST of $1"
  sectors_are "" "$uri" write 2 900 10000 2048
  sectors_are "" "$uri" read 2 900 10000 64
  assert_equal "$(in_state remapped)" "1000+1
1007+1
5000+1
9000+1" "REMAPPED of $1"
  assert_equal "$(in_state lost)" "" "LOST of $1"
  [ "$(failing_reads)" -le 4 ] || fail "$(failing_reads) failing reads"
  stop_nbdkit disk
  serve_remapped "$1"
  sectors_are "" "$uri" read 2 900 10000 64
  stop_nbdkit disk
  sectors_are "wrong 1000+1
wrong 1007+1
wrong 5000+1
error 9000+1 $2" "direct:$1" read 2 900 10000
}

check_dm 512n 1 sector_size=512
check_dm 4Kn 8 sector_size=4096
modprobe virtio_scsi
await 30 test -b /dev/sda
check_blkdebug /dev/vda EIO
check_blkdebug /dev/sda ENODATA

# check_refused DEVICE REGEX
check_refused ()
{
  ! nbdkit -U - "$direct" "$1" --run true >refused.out 2>&1 ||
    fail "$1 is served"
  cat refused.out
  [ "$(grep -c error: refused.out)" = 1 ] && grep "$1: $2" refused.out ||
    fail "$1: what is told"
}

# With a disc, and without one.
modprobe sr_mod
await 30 test -b /dev/sr1
check_refused /dev/sr0 "is a CD or DVD drive"
check_refused /dev/sr1 "can't open: No medium found: there is no medium"
EOF2

# bad_disk NODE FILE ERRNO: one bad sector, and three that fail writes only.
bad_disk ()
{
  local rule options sector n=0

  options="driver=blkdebug,node-name=$1,image.driver=file,image.filename=$2"
  options+=",inject-error.0.event=none,inject-error.0.sector=9000"
  options+=",inject-error.0.errno=$3"
  for sector in 1000 1007 5000; do
    n=$((n + 1))
    rule="inject-error.$n"
    options+=",$rule.event=none,$rule.iotype=write,$rule.sector=$sector"
    options+=",$rule.errno=$3"
  done
  echo "$options"
}

truncate -s 8M disc.img
guest_run write-errors script \
  -blockdev "$(bad_disk bad1 disk1.img 5)" \
  -device virtio-blk-pci,drive=bad1,rerror=report,werror=report \
  -device virtio-scsi-pci \
  -blockdev "$(bad_disk bad2 disk2.img 61)" \
  -device scsi-hd,drive=bad2,rerror=report,werror=report \
  -blockdev driver=file,node-name=disc,filename=disc.img,read-only=on \
  -device scsi-cd,drive=disc -device scsi-cd
