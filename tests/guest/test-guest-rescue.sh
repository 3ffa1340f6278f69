#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# examples/rescue.md: all of its commands, in a guest whose drive has medium
# errors, with a look at what they have done after each section.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"
. "${abs_top_srcdir:?}/tests/guest/guest.sh"

guest_requires
guest_requires_sectors

# section-N: the commands of a section.
recipe=$abs_top_srcdir/examples/rescue.md
for n in $(seq 12); do
  awk -v n="## $n." '/^## / { on = index ($0, n " ") == 1 }
                     on && /^    / { print substr ($0, 5) }' \
      "$recipe" >"section-$n"
  [ -s "section-$n" ] || fail "section $n of the recipe has no commands"
  guest_files+=("section-$n")
done
assert_equal "$(grep -c '^## ' "$recipe")" 12 "sections of the recipe"

cat >script <<'EOF2'
. /files/in-guest.sh

# run N: a section.
run ()
{
  echo "---- section $1"
  # shellcheck source=/dev/null
  . "/files/section-$1"
}

# has_ended NAME: the server with this pid file.
has_ended ()
{
  await 60 sh -c "! kill -0 $(cat "$RUN/$1.pid")"
}

# bad_in MAPFILE: bad areas, FIRST+COUNT, one a line.
bad_in ()
{
  ddrescuelog -l- "$1" | awk '{ print $1, $1 }' | merge_runs
}

# As if it had been installed.
for what in filter:"$remap" plugin:"$direct"; do
  dir=$(nbdkit --dump-config | sed -n "s/^${what%%:*}dir=//p")
  mkdir -p "$dir"
  cp "${what#*:}" "$dir/"
done
modprobe fuse

# The drive, with twelve bad sectors; a new disk of QEMU's, to which the
# drive's medium errors don't apply.
scsi_debug_disk opts=0
sectors_are "" "direct:/dev/$disk" write 1 0 16384
scsi_debug_bad 8000 12

# Section 1 is an example: the names are these.
for name in DISK="/dev/$disk" SPARE=/tmp/rescue/old.spare HOST=127.0.0.1 \
            PORT=10809 RUN=/run/rescue; do
  grep -q "^${name%%=*}=" /files/section-1 || fail "section 1: $name"
  eval "$name"
done
run 2
run 3
run 4
assert_equal "$(bad_in copy.map)" 8000+12 "bad in ddrescue's mapfile"
sectors_are "wrong 8000+12" cached:copy.img read 1 0 16384
run 5
assert_equal "$(bad_in lost.map)" 8000+12 "bad in the table's mapfile"

# Eight of them can be read again.
scsi_debug_bad 8000 4
run 6
has_ended old
sectors_are "wrong 8000+4" cached:copy.img read 1 0 16384
assert_equal "$(bad_in copy.map)" 8000+4 "bad in ddrescue's mapfile"

run 7
has_ended zero
assert_equal "$(bad_in lost.map)" 8000+4 "bad in the table's mapfile"
cmp copy.img copy2.img || fail "the two copies differ"

# The drive goes on, and a LOST sector is written.
nbdkit -U "$RUN/use.nbd" -P "$RUN/use.pid" --filter=remap direct "$DISK" \
       spare="$SPARE"
sectors_are "" "nbd+unix:///?socket=$RUN/use.nbd" write 2 8002 1
kill "$(cat "$RUN/use.pid")"
has_ended use

for name in NEW=/dev/vda SECTORS=; do
  grep -q "^${name%%=*}=" /files/section-8 || fail "section 8: $name"
done
sed -i "s,^NEW=.*,NEW=/dev/vda," /files/section-8
run 8
run 9
sectors_are "wrong 8000+4" direct:/dev/vda read 1 0 16384
! (run 10) >refused.out 2>&1 || fail "the old spare was used with the clone"
cat refused.out
LABEL=$(sed -n 's/.*"\([^"]*\)".*"\([^"]*\)".*/\2/p' refused.out | head -n 1)
sed -n '/^remapctl/p' /files/section-10 >/files/section-relabel
run relabel
run 11
sectors_are "error 8000+2 EIO
wrong 8002+1
error 8003+1 EIO" "nbd://$HOST:$PORT" read 1 0 16384
sectors_are "wrong 8000+4" direct:/dev/vda read 1 0 16384
sectors_are "" direct:/dev/vda read 2 8002 1
run 12
has_ended new
[ ! -e "$SPARE" ] || fail "the spare is still there"
sectors_are "" direct:/dev/vda read 1 0 8000
sectors_are "" direct:/dev/vda read 2 8002 1
sectors_are "" direct:/dev/vda read 1 8004 8380
EOF2

truncate -s 8M new.img
guest_run rescue script \
  -drive file=new.img,format=raw,if=none,id=new \
  -device virtio-blk-pci,drive=new,serial=THE-NEW-DISK
