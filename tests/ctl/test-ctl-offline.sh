#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# remapctl without a server: info, check, table, map, format, relabel, grow;
# on spares that are sound, damaged, cut off, something else, and in use
# (promises 15 and 20 to 23 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

# A spare that a server has filled: sectors of a disk that fails.
random_file main.img $((16 << 20))
bad_sectors bad.txt 100+4 1000 20000+8
start_nbdkit disk --filter=remap --filter=baddisk file main.img \
             spare=spare.img remap-label=the-disk baddisk-list=bad.txt
nbdsh -u "$uri" -c - <<'PY'
import os
for s in 100, 1000:
    h.pwrite(os.urandom(2048), s * 512)
for s in range(20000, 20008):
    try:
        h.pread(512, s * 512)
        raise SystemExit("read a bad sector")
    except nbd.Error:
        pass
h.zero(1024, 100 * 512)
PY

# While a server has it, nobody else looks or writes.
for c in "info spare.img" "table --spare spare.img" "map --spare spare.img" \
         "format --force spare.img main-size=16M" "relabel spare.img x" \
         "grow --spare spare.img 128M"; do
  # shellcheck disable=SC2086
  says 'in use by another server' 1 $c
done
says 'in use by another server' 3 check spare.img
stop_nbdkit disk

# Sound.
sum=$(cksum <spare.img)
ctl 0 info spare.img
assert_grep '^belongs to +a disk of 16777216 bytes.*label the-disk$' out
assert_grep '^sectors +3 remapped, 8 LOST, 2 zero' out
ctl 0 info --json spare.img
assert_equal "$(json out 'r["main"]["label"], r["sectors"]["lost"]')" \
  "('the-disk', 8)" "info --json"
says '^spare.img: sound$' 0 check spare.img
for line in 'header A +good' 'header B +good' 'geometry +good' 'log +good' \
            'map +good .*: 3 sectors remapped, 8 LOST, 2 zero' \
            'slots +good +all 3 that are in use'; do
  assert_grep "^$line" out
done
assert_no_grep DAMAGED out
ctl 0 table --spare spare.img --csv
cat out
states <out >now
slot=$(sed -n 's/^102,2,remapped,\([0-9]*\),.*/\1/p' out)
diff - now <<'TEXT'
100,2,zero,client
102,2,remapped,auto-write
1000,1,remapped,auto-write
20000,8,lost,auto-read
TEXT
assert_grep '^100,2,zero,,[0-9]{10},client$' out
assert_grep '^1000,1,remapped,[0-9]+,[0-9]{10},auto-write$' out
assert_grep '^20000,[1-8],lost,,[0-9]{10},auto-read$' out
ctl 0 table --spare spare.img --badblocks --block-size=4096
assert_equal "$(cat out)" 2500 "bad blocks"
ctl 0 table --spare spare.img --json 20004 10
assert_equal "$(json out 'r["runs"][0]["start"]'), $(json out \
  'sum(x["count"] for x in r["runs"])')" "20004, 4" "table --spare with a range"
ctl 0 map --spare spare.img
assert_grep 'L' out
says 'the disk has 32768 sectors' 1 table --spare spare.img 32768
assert_equal "$(cksum <spare.img)" "$sum" "the spare that was looked at"

# Slots that can't be read, where the disk below fails: every sector of the
# file that a slot is in.
requires_program strace
# LeakSanitizer can't work in a program that is traced.
strace ()
{
  ASAN_OPTIONS=detect_leaks=0:$ASAN_OPTIONS command strace "$@"
}
slot_at=$(/usr/bin/python3 - "$slot" <<'PY'
import struct, sys
d = open("spare.img", "rb").read(1024)
print(struct.unpack_from("<Q", d, 512)[0] + int(sys.argv[1]) * 512)
PY
)
status=0
strace -f -qq -o trace -e trace=pread64 remapctl check spare.img >/dev/null
n=$(grep -c pread64 trace)
nth=$(grep -n ", $slot_at) = " trace | head -n 1 | cut -d: -f1)
[ -n "$nth" ] || fail "no slot was read: offset $slot_at, $n reads"
strace -f -qq -o trace -e trace=pread64 \
       -e inject=pread64:error=EIO:when="$nth+" \
       remapctl check spare.img >out 2>err || status=$?
cat out
assert_equal "$status" 1 "status of a check with unreadable slots"
assert_grep '^slot +DAMAGED .* holds sector 10' out
assert_grep '^spare.img: damaged, but readable$' out

# One header: readable, and a server writes it again.
damage ()
{
  cp spare.img "$1"
  printf 'X' | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}
damage a.img 100
says '^header A +DAMAGED.*wrong checksum' 1 check a.img
assert_grep '^a.img: damaged, but readable$' out
damage b.img $((32768 + 100))
says '^header B +DAMAGED.*wrong checksum' 1 check b.img
damage b.img $((32768))
says '^header B +DAMAGED.*not a header' 1 check b.img
remapctl info b.img >out 2>err || fail "info of a spare with one header"
assert_grep 'header of the spare is damaged' err
# Both.
damage ab.img 100
printf 'X' | dd of=ab.img bs=1 seek=$((32768 + 100)) conv=notrunc status=none
says 'both headers.*damaged' 2 check ab.img
assert_grep 'UNUSABLE' out
says 'both headers.*damaged' 1 info ab.img
says 'both headers.*damaged' 1 table --spare ab.img
# A page of the log, before others.
damage log.img $((16 * 4096 + 4096 + 200))
says 'log is damaged' 2 check log.img
says 'log is damaged' 1 info log.img
# Cut off; something else; nothing.
cp spare.img short.img
truncate -s 1M short.img
says 'UNUSABLE' 2 check short.img
says 'not a spare|neither blank|cut off|bytes' 1 info short.img
says 'neither blank nor a spare' 2 check main.img
says 'neither blank nor a spare' 1 info main.img
says 'neither blank nor a spare' 1 relabel main.img x
truncate -s 2M blank.img
says 'blank' 2 check blank.img
says 'blank' 1 info blank.img
: >nothing.img
says 'blank' 2 check nothing.img
says 'No such file' 3 check nowhere.img
says 'No such file' 1 info nowhere.img
[ ! -e nowhere.img ] || fail "info made a file"
says 'neither a regular file' 3 check .
says 'neither a regular file' 3 check /dev/null

# format: what isn't blank stays, unless it is forced, with its name said.
sum=$(cksum <spare.img)
says 'holds the spare .*16777216.*the-disk.*3 sectors remapped and 8 LOST' 1 \
     format spare.img main-size=1G
says 'holds data that is neither' 1 format main.img main-size=1G
says 'holds what was a spare .both headers' 1 format ab.img main-size=1G
assert_equal "$(cksum <spare.img)" "$sum" "the spare that was refused"
cp spare.img forced.img
remapctl format --force forced.img main-size=1G label=new >out 2>err
assert_grep 'destroying the spare .*the-disk.*3 sectors remapped' err
says 'a disk of 1073741824 bytes.*label new' 0 info forced.img
says '0 remapped, 0 LOST' 0 info forced.img
says 'sound' 0 check forced.img
remapctl format --force ab.img main-size=1G >out 2>err
says 'sound' 0 check ab.img
says '[0-9]+ slots' 0 format new.img main-size=16M size=2M label=the-disk
assert_equal "$(stat -c %s new.img)" $((2 << 20)) "size of a new spare"
says 'a new spare' 0 format default.img main-size=16M
assert_equal "$(stat -c %s default.img)" $((64 << 20)) "default size"
# A server takes it, and only for the right disk.
start_nbdkit disk --filter=remap file main.img spare=new.img \
             spare-create=no remap-label=the-disk
stop_nbdkit disk
says 'sound' 0 check new.img
# A part of a file: what is beside it stays.
random_file part.img $((4 << 20))
cp part.img part.orig
dd if=/dev/zero of=part.img bs=1M seek=1 count=2 conv=notrunc status=none
says 'a new spare' 0 format --spare-offset=1M part.img main-size=16M size=2M
cmp -n $((1 << 20)) part.img part.orig
cmp -i $((3 << 20)) part.img part.orig
says 'sound' 0 check --spare-offset=1M part.img
says 'neither blank' 2 check part.img
remapctl format --force --spare-offset=1M part.img main-size=17M size=2M \
         >out 2>err
assert_grep 'destroying the spare' err
cmp -n $((1 << 20)) part.img part.orig
cmp -i $((3 << 20)) part.img part.orig

# relabel: to a copy of the disk, and back; all else stays.
remapctl table --csv --spare spare.img >before
says '"the-copy" now, and not to "the-disk"' 0 relabel spare.img the-copy
start_nbdkit disk --filter=remap file main.img spare=spare.img \
             remap-label=the-copy
stop_nbdkit disk
start_nbdkit_may_fail disk --filter=remap file main.img spare=spare.img \
                      remap-label=the-disk && fail "the old label was taken"
says 'sound' 0 check spare.img
remapctl table --csv --spare spare.img | diff before -
says '""' 0 relabel spare.img ''
says 'without a label' 0 info spare.img
says 'now' 0 relabel spare.img "$(printf '%0255d' 0)"
# Killed at every write: one label or the other, and sound or repaired.
cp spare.img kill.img
label='0+'
for n in 1 2 3 4 5; do
  strace -f -qq -o /dev/null -e trace=pwrite64 \
         -e inject=pwrite64:signal=KILL:when="$n" \
         remapctl relabel kill.img "killed-$n" >/dev/null 2>&1 || :
  says "label ($label|killed-$n)\$" 0 info kill.img
  label=$(sed -n 's/.*, label //p' out)
  [ "$n" != 3 ] ||
    assert_grep '^owner +process [0-9]+ of the host "[^ ]+", last seen ' out
  says 'sound' 0 check kill.img
  [ "$n" != 3 ] || {
    assert_grep '^owner +good +process [0-9]+ of the host ' out
    assert_grep 'did not give the spare back' out
  }
  remapctl table --csv --spare kill.img | diff before -
done

# That nobody uses it, and who did, is said.
says '^owner +none; the last one was process [0-9]+ of ' 0 info spare.img
says '^owner +good +none; the last one was process [0-9]+ of ' 0 check spare.img
cp spare.img stamp.img
printf x | dd of=stamp.img bs=1 seek=$((12 * 4096)) conv=notrunc status=none
says '^owner +DAMAGED' 1 check stamp.img
remapctl info --json spare.img >out
assert_equal "$(/usr/bin/python3 -c 'import json, sys
print(json.load(sys.stdin)["spare"]["owner"]["stamp"])' <out)" given-back "stamp"

# grow: blank space only.
says 'has 80.0 MiB now' 0 grow --spare spare.img 80M
says 'sound' 0 check spare.img
remapctl table --csv --spare spare.img | diff before -
says "can't be made smaller" 1 grow --spare spare.img 64M
truncate -s 100M spare.img
printf 'something' | dd of=spare.img bs=1 seek=90M conv=notrunc status=none
says 'not blank' 1 grow --spare spare.img 100M
says '^size +83886080' 0 info spare.img
