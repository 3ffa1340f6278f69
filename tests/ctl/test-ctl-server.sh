#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Every request of remapctl with a real server over a disk that fails, and
# lists of bad sectors from and to other programs.

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

random_file orig.img $((16 << 20))
cp orig.img main.img
bad_sectors bad.txt 100+4 20000+8
start_nbdkit disk --filter=remap --filter=baddisk file main.img \
             spare=spare.img remap-control="$tmp/control" \
             remap-label=the-disk baddisk-list=bad.txt
disk_uri=$uri
export REMAP_CONTROL=$tmp/control

# table WANTED: what the table says now.
table ()
{
  remapctl table --csv | states | tr '\n' ' ' >now
  assert_equal "$(cat now)" "$1" "the table"
}

ctl 0 ping
ctl 0 status
assert_grep '^health +ok$' out
assert_grep 'label the-disk' out
ctl 0 status --dm
assert_grep '^0 32768 remap v2.0 0/109600 0/109600 0/109600 health=1 errors=W0:R0' out
table ''

ctl 0 remap 2048
assert_equal "$(cat out)" "1 sector moved to the spare" "remap"
ctl 0 remap 20004 8
assert_grep '^4 sectors moved to the spare, 4 sectors .* LOST now$' out
assert_grep 'LOST: 20004 \+ 4' out
table '2048,1,remapped,manual 20004,4,lost,manual 20008,4,remapped,manual '
ctl 0 remap 2048 2
assert_grep '^1 sector moved.*1 sector left' out
says '32768 sectors' 1 remap 32768
says '32768 sectors|beyond' 1 remap 32767 2
says '.' 1 remap 18446744073709551615

ctl 0 verify 0 200
assert_grep '^200 sectors read, 4 sectors bad' out
assert_grep '^  bad: 100 \+ 4$' out
ctl 0 verify 2048 2
assert_grep 'all of them good' out

ctl 0 retry
assert_grep '^0 sectors recovered, 4 still LOST$' out
bad_sectors bad.txt 100+4 20000+5
ctl 0 retry 20000 8
assert_grep '^3 sectors recovered, 1 still LOST$' out
ctl 0 forget-lost 20004
assert_grep '^1 sector LOST, and zeroes' out
ctl 0 unmap 2048 2
assert_grep '^2 sectors given back' out
ctl 0 table --csv
# (Who recovered them is no matter here.)
assert_equal "$(sed 's/,[a-z]*$/,x/' out | states | tr '\n' ' ')" \
  '20004,1,zero,x 20005,7,remapped,x ' "the table"

# What a client's errors lead to, and what turning it off does.
ctl 0 set_auto_remap 0
expect_failure nbdsh -u "$disk_uri" -c 'h.pwrite(b"x" * 512, 100 * 512); h.flush()'
ctl 0 status --json
assert_equal "$(json out 'r["auto_remap"]')" False "auto_remap"
ctl 0 set_auto_remap 1
nbdsh -u "$disk_uri" -c 'h.pwrite(b"x" * 512, 100 * 512)'
ctl 0 status --dm
assert_grep ' 21/109600 1/109600 22/109600 health=.* errors=W[1-9]|auto_remaps=1' out
ctl 0 table 100 1
assert_grep 'remapped .* auto-write$' out
ctl 0 clear_stats
ctl 0 status --json
assert_equal "$(json out 'r["errors"]["write"], r["auto_remaps"]')" "(0, 1)" \
  "after clear_stats"

ctl 0 grow 80M
assert_grep '80.0 MiB now' out
says '.' 1 grow 64M
ctl 0 sync

# Lists of bad sectors: all of it is checked before anything is changed.
remapctl table --csv >before
printf '0x0 ? 1\n0x100000 0x400 -\n0x1000000 0x200 -\n' >long.map
says 'beyond the disk' 1 import --as=lost long.map
remapctl table --csv | diff before -
printf '0x0 ? 1\n0x0 0x100000 +\n0x100000 0x400 -\n0x100400 0x200 ?\n' >l.map
ctl 0 import --as=lost l.map
assert_grep '2 bad sectors listed; 0 moved to the spare, 2 are LOST now' out
printf '1030\n' >l.list
ctl 0 import --as=remap --block-size 4096 l.list
assert_grep '8 bad sectors listed; 8 moved to the spare, 0 are LOST' out
ctl 0 table 2048 10000 --csv
states <out | diff - <(printf '%s\n' 2048,2,lost,import \
                              8240,8,remapped,import)
ctl 0 import --as=lost --json l.map
assert_equal "$(json out 'r["done"], r["left"]')" "(0, 2)" "once more"
# A progress bar, on a terminal.
if command -v script >/dev/null; then
  script -qec "remapctl import --as=remap --block-size 4096 l.list" /dev/null \
         </dev/null >term
  assert_grep '\[#{40}\] 100 %' term
fi

# Many runs: pages.
/usr/bin/python3 -c 'print("\n".join(str(b) for b in range(10000, 16000, 2)))' \
  >many.list
ctl 0 status --json
before=$(json out 'r["spare"]["commits"]')
ctl 0 import --as=lost --block-size 512 many.list
ctl 0 status --json
assert_equal "$(json out 'r["spare"]["commits"]')" $((before + 12)) \
             "256 areas in a commit"
ctl 0 table --csv 10000 6000
assert_equal "$(grep -c lost out)" 3000 "runs in several pages"
remapctl table --badblocks --block-size 512 10000 6000 | diff many.list -
ctl 0 map --rows 4
assert_grep 'L' out

# While it is watched; until the server has gone.
remapctl status --watch=1 >watch.out 2>watch.err &
watcher=$!
seen_twice ()
{
  [ "$(grep -c '^health' watch.out)" -ge 2 ]
}
eventually seen_twice || fail "--watch doesn't go on"
stop_nbdkit disk
status=0
wait $watcher || status=$?
assert_equal "$status" 3 "status --watch of a server that ended"
assert_equal "$(wc -l <watch.err)" 1 "errors of --watch"
says 'no such socket' 3 status

# All of it is in the spare.
says 'sound' 0 check spare.img
ctl 0 table --spare spare.img --badblocks --block-size 512 10000 6000
diff many.list out

# A spare that becomes full midway: what was done by then is counted.
start_nbdkit small --filter=remap file main.img spare=small.img spare-size=1M \
             remap-control="$tmp/control"
ctl 0 status --json
free=$(json out 'r["spare"]["free"]')
printf '0x0 ? 1\n0x0 0x400000 -\n' >much.map
says 'no room' 1 import --as=remap much.map
assert_grep "^much.map: 8192 bad sectors listed; $free moved to the spare, 0 are" \
            out
stop_nbdkit small
