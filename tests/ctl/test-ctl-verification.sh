#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# dm-remap's own verification (complete_remap_verification.sh and others: a
# sector is remapped by hand; what is read before and after?), done right:
# the content must stay the same, and what is written afterwards must be in
# the spare, at the slot that the table names, and nowhere else (promises 1,
# 2 and 13 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

# Sectors that say what they are, as those of dm-remap's test.
/usr/bin/python3 - <<'PY'
with open("main.img", "wb") as f:
    for s in range(8192):
        f.write((b"MAIN_DATA_AT_SECTOR_%d " % s * 40)[:512])
PY
cp main.img orig.img
start_nbdkit disk --filter=remap file main.img spare=spare.img \
             remap-control="$tmp/control"
disk_uri=$uri
export REMAP_CONTROL=$tmp/control
read_sector ()
{
  nbdsh -u "$disk_uri" \
        -c "import sys; sys.stdout.buffer.write(h.pread(512, $1 * 512))"
}

sector=1000
# Before: main's content, and nothing is remapped.
read_sector $sector >before
assert_grep "^MAIN_DATA_AT_SECTOR_$sector " before
ctl 0 table --csv
assert_equal "$(wc -l <out)" 1 "lines of an empty table"

# The remap: the sector reads the same, from its slot.
ctl 0 remap $sector
read_sector $sector | cmp - before
ctl 0 table --json $sector
slot=$(json out 'r["runs"][0]["slot"]')
assert_equal "$(json out 'r["runs"][0]["why"]')" manual "reason"

# Where is that in the spare?  As remap-spare(5) says: the first segment is
# at byte 512 of the header, and has an offset and a number of slots.
slot_offset=$(od -An -t u8 -j 512 -N 8 spare.img)
slot_offset=$((slot_offset + slot * 512))
slot_content ()
{
  dd if=spare.img bs=512 skip=$slot_offset count=512 iflag=skip_bytes,count_bytes \
     status=none
}
slot_content | cmp - before

# Writing through NBD: the slot has it, main doesn't.
/usr/bin/python3 -c 'print("SPARE_DATA_AT_SECTOR_1000 " * 20, end="")' |
  head -c 512 >new
nbdsh -u "$disk_uri" -c "
h.pwrite(open('new', 'rb').read(), $sector * 512)
h.flush()"
read_sector $sector | cmp - new
slot_content | cmp - new
cmp main.img orig.img

# Its neighbours are main's, to read and to write.
for n in $((sector - 1)) $((sector + 1)); do
  read_sector $n | cmp - <(dd if=orig.img bs=512 skip=$n count=1 status=none)
  nbdsh -u "$disk_uri" -c "
h.pwrite(open('new', 'rb').read(), $n * 512)
h.flush()"
  dd if=main.img bs=512 skip=$n count=1 status=none | cmp - new
done
dd if=main.img bs=512 skip=$sector count=1 status=none | cmp - before

# A request across: split at the edges.
/usr/bin/python3 -c 'print("ACROSS_THE_EDGES " * 100, end="")' |
  head -c 1536 >across
nbdsh -u "$disk_uri" -c "
h.pwrite(open('across', 'rb').read(), ($sector - 1) * 512)
h.flush()
assert h.pread(1536, ($sector - 1) * 512) == open('across', 'rb').read()"
slot_content | cmp - <(tail -c +513 across | head -c 512)
dd if=main.img bs=512 skip=$sector count=1 status=none | cmp - before

# After a restart, and with the disk's own content overwritten behind the
# filter's back: a mapping wins.
stop_nbdkit disk
dd if=/dev/zero of=main.img bs=512 seek=$sector count=1 conv=notrunc \
   status=none
start_nbdkit disk --filter=remap file main.img spare=spare.img \
             spare-create=no remap-control="$tmp/control"
disk_uri=$uri
read_sector $sector | cmp - <(tail -c +513 across | head -c 512)
ctl 0 table --json $sector
assert_equal "$(json out 'r["runs"][0]["slot"]')" "$slot" "the slot"

# Two more, by hand: no slot is used twice, none is overwritten.
ctl 0 remap 2000 2
ctl 0 table --csv
assert_equal "$(tail -n +2 out | awk -F, '{ for (i = 0; i < $2; i++)
  print $4 + i }' | sort | uniq -d)" "" "slots that are used twice"
read_sector $sector | cmp - <(tail -c +513 across | head -c 512)

# And back: main has it again.
ctl 0 unmap $sector
dd if=main.img bs=512 skip=$sector count=1 status=none |
  cmp - <(tail -c +513 across | head -c 512)
read_sector $sector | cmp - <(tail -c +513 across | head -c 512)
