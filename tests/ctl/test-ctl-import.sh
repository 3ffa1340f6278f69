#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# remapctl import of what many programs write, at a server: the sectors that
# are LOST afterwards; and whether a list is one of a partition.  What each
# format may look like is in unit/test-bad-lists.c.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/ctl.sh"
requires_program python3

truncate -s 100M main.img
start_nbdkit disk --filter=remap file main.img spare=spare.img spare-size=10M \
             remap-control="$tmp/control" remap-label=naa.5000c500a1b2c3d4
export REMAP_CONTROL=$tmp/control

# lost WANTED ARG...: these sectors, START+COUNT, are LOST after the import,
# and no others.  They are forgotten again.
lost ()
{
  local wanted=$1
  shift
  ctl 0 import --as=lost "$@"
  cat out
  remapctl table --csv | sed -n 's/^\([0-9]*\),\([0-9]*\),lost,.*/\1+\2/p' |
    sort -n -u | tr '\n' ' ' >lost
  assert_equal "$(cat lost)" "$wanted" "import $*"
  ctl 0 forget-lost 0 204800
  ctl 0 unmap 0 204800
}

# A mapfile of a partition, and one that was saved in Windows.
printf '0x0 ? 1\n0x0 0x1000 +\n0x1000 0x200 -\n' >map
lost '8+1 ' map
lost '2056+1 ' --offset=2048s map
lost '2056+1 ' --offset 1M map
{ printf '\xef\xbb\xbf'; sed 's/$/\r/' map; } >windows
lost '8+1 ' windows
iconv -f UTF-8 -t UTF-16 map >utf16
says 'utf16: line 1: the text is UTF-16' 1 import --as=lost utf16
says 'beyond the disk.*--offset right\?  Nothing was changed' 1 \
     import --as=lost --offset=100M map
says 'beyond the disk.*--block-size right\?  Nothing was changed' 1 \
     import --as=lost --block-size=1M <(echo 100)
says 'offset=x: must be' 2 import --as=lost --offset=x map
says 'format=x: must be one of' 2 import --as=lost --format=x map

# badblocks -b 4096.
printf '3\n5\n' >list
lost '24+8 40+8 ' --block-size=4096 list
lost '6+2 10+2 ' list

printf '2048 8\n4096 1\n' >ranges
says "ranges: line 1: '2048'.*--format=ranges" 1 import --as=lost ranges
lost '2048+8 4096+1 ' --format=ranges ranges
says 'sectors of 512 bytes: leave --block-size out' 1 \
     import --as=lost --format=ranges --block-size=512 ranges

printf '# sectorsize \t512\n0x0 \t0x30\n0x0 0x800 0x7f\n0x800 0x8 0x40 0 0\n' >osc
lost '2048+8 ' osc

printf 'Bad-blocks on /dev/%s:\n  %s for 8 sectors\n' sdc1 4096 sdd1 8192 >md
says "md: line 3: 'sdd1' is another device.*--device=NAME" 1 \
     import --as=lost md
lost '8192+8 ' --device=sdd1 md
lost '4096+8 ' --device=/dev/sdc1 md

cat >dmesg <<'EOF'
[1.0] usb 1-1: new high-speed USB device
[2.0] blk_update_request: I/O error, dev sdb, sector 3000 op 0x0:(READ) flags 0
[3.0] critical medium error, dev sdb, sector 3001 op 0x0:(READ) flags 0x0
[4.0] timeout error, dev sdb, sector 5 op 0x0:(READ) flags 0x0
EOF
lost '3000+2 ' dmesg
ctl 0 import --as=lost dmesg
assert_grep "^dmesg: left out: 1 line about errors that aren't a sector's" out
ctl 0 import --as=lost --json dmesg
assert_equal "$(json out 'r["left"]')" 2 "once more"
ctl 0 forget-lost 0 204800
ctl 0 unmap 0 204800

cat >smart <<'EOF'
smartctl 7.3 2022-02-28 r5338 [x86_64-linux-6.1.0] (local build)
Sector Size:      512 bytes logical/physical

SMART Self-test log structure revision number 1
Num  Test_Description    Status                  Remaining  LifeTime(hours)  LBA_of_first_error
# 1  Extended offline    Completed: read failure       10%     25698         7000
# 2  Short offline       Completed without error       00%     25690         -
EOF
remapctl import --as=lost - <smart >out
assert_grep '^-: 1 bad sector listed' out
assert_equal "$(remapctl table --csv | grep -c '^7000,1,lost,')" 1 \
             "sectors of smartctl's log"
ctl 0 forget-lost 0 204800
ctl 0 unmap 0 204800

# The disk's partitions, as the kernel would show them.
if ! unshare --mount true 2>/dev/null; then
  echo "no partitions: that needs a mount namespace"
  exit 0
fi
mkdir -p sys/8:0/device sys/8:0/sda{1,2,3}
echo naa.5000c500a1b2c3d4 >sys/8:0/device/wwid
echo 204800 >sys/8:0/size
for p in 1:2048:8192 2:10240:8192 3:20480:100; do
  IFS=: read -r number start size <<<"$p"
  echo "$number" >"sys/8:0/sda$number/partition"
  echo "$start" >"sys/8:0/sda$number/start"
  echo "$size" >"sys/8:0/sda$number/size"
done

# shows REGEX STATUS ARG...: as says, where the disk is one of this machine.
shows ()
{
  local regex=$1 status=$2
  shift 2
  # $... are the inner shell's.
  # shellcheck disable=SC2016
  local inner='mount --bind sys /sys/dev/block; exec remapctl "$@"' got=0
  unshare --mount --propagation private bash -c "$inner" - "$@" \
          >out 2>err || got=$?
  cat err >>out
  assert_equal "$got" "$status" "status of $*"
  assert_grep "$regex" out
}

printf '0x0 ? 1\n0x0 0x1000 -\n0x1000 0xb800 +\n' >third.map
shows 'third.map: is it a list of the partition sda3, which has 51200 bytes and begins at byte 10485760 of the disk\?  Then say --offset=10485760; say --offset=0 if' \
      1 import --as=lost third.map
assert_no_grep 'several' out
remapctl table --csv >table
assert_no_grep lost table
shows '8 bad sectors listed' 0 import --as=lost --offset=10485760 third.map
remapctl table --csv >table
assert_grep '^20480,8,lost' table
shows '8 bad sectors listed' 0 import --as=lost --offset=0 third.map
printf '0x0 ? 1\n0x0 0x200 -\n0x200 0x3ffe00 +\n' >first.map
shows 'sda1.*--offset=1048576;.*several partitions of that size' 1 \
      import --as=lost first.map
printf '0x0 ? 1\n0x0 0x200 -\n0x200 0x63ffe00 +\n' >whole.map
shows '1 bad sector listed' 0 import --as=lost whole.map
printf 'Bad-blocks on /dev/sda2:\n  16 for 8 sectors\n' >md
shows 'list of the partition sda2.*--offset=5242880;' 1 import --as=lost md
shows '8 bad sectors listed' 0 \
      import --as=lost --offset=10240s md
# Another disk, or one of another size: nothing is known of it.
echo 204799 >sys/8:0/size
shows '8 bad sectors listed' 0 import --as=lost third.map
echo 204800 >sys/8:0/size
echo naa.5000c500a1b2c3d5 >sys/8:0/device/wwid
shows '8 bad sectors listed' 0 import --as=lost third.map
stop_nbdkit disk
