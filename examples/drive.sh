#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Drives a remapped disk with fio and logs how its table changes:
#
#   examples/drive.sh SIZE SECONDS BS
#
# SIZE is in MB, BS is fio's block size; 50 20 8k if nothing is said.  The
# disk only pretends to fail: one sector of two thousand is bad, can be read
# at the third try and can't be written.  Snapshots of the table are taken
# every second; runs that were added or removed are logged, with the time, to
# remap_changes_SIZEMB_SECONDSs_BS_DATE_TIME.log in the current folder.
#
# On Debian 12 and 13 the packages that are missing are installed (root, or
# sudo); everything is built in build/, nothing is installed from there.

set -eu -o pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
size=${1:-50} seconds=${2:-20} bs=${3:-8k}

usage ()
{
  sed -n '/^#   examples/,/^# sudo/s/^# \{0,1\}//p' "$0"
}

die ()
{
  echo "$0: $*" >&2
  exit 1
}

case "${1:-}" in --help|-h) usage; exit 0 ;; esac
[ $# -le 3 ] || die "too many arguments (see --help)"
[[ $size =~ ^[1-9][0-9]{0,5}$ ]] || die "SIZE must be a number of MB: $size"
[[ $seconds =~ ^[1-9][0-9]{0,4}$ ]] || die "SECONDS must be a number: $seconds"
[[ $bs =~ ^[1-9][0-9]*[kKmM]?$ ]] || die "BS must be a size: $bs"

# Through the build directory's `run' script, or with a build of its own.
run=${abs_top_builddir:+$abs_top_builddir/run}
if [ -z "$run" ]; then
  run=$("$top/tests/build.sh" --packages "build run test" plain \
          --enable-gcc-warnings | tail -n 1)/run
fi
command -v fio >/dev/null || die "needs the program fio"

name=remap_${size}MB_${seconds}s_$bs
log=$PWD/remap_changes_${size}MB_${seconds}s_${bs}_$(date +%Y%m%d_%H%M%S).log
tmp=$(mktemp -d "${TMPDIR:-/tmp}/drive-XXXXXX")
server="" fio=""

finish ()
{
  local status=$? pid

  for pid in $fio $server; do
    kill "$pid" 2>/dev/null || :
    wait "$pid" 2>/dev/null || :
  done
  rm -rf --one-file-system "$tmp"
  exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# ---- the disk ---------------------------------------------------------

truncate -s "${size}M" "$tmp/main.img"
"$run" nbdkit -f -U "$tmp/nbd" -P "$tmp/pid" \
       --filter=remap --filter=baddisk file "$tmp/main.img" \
       spare="$tmp/spare.img" remap-control="$tmp/control" \
       baddisk-random=$((size * 2048 / 2000 + 1)) baddisk-recover=3 \
       >"$tmp/server.log" 2>&1 &
server=$!

remapctl ()
{
  "$run" remapctl -s "$tmp/control" "$@"
}

for ((i = 0; i < 600; i++)); do
  ! remapctl ping >/dev/null 2>&1 || break
  kill -0 "$server" 2>/dev/null || { cat "$tmp/server.log" >&2
                                     die "the server did not start"; }
  sleep 0.1
done

# ---- fio, and snapshots -----------------------------------------------

added=0 removed=0 last=

# What is in the table now and wasn't, and the other way round.
snapshot ()
{
  remapctl table --csv | tail -n +2 | sort >"$tmp/new"
  last=$(date +%H:%M:%S)
  comm -13 "$tmp/old" "$tmp/new" >"$tmp/added"
  comm -23 "$tmp/old" "$tmp/new" >"$tmp/removed"
  sed "s/^/$last added   /" "$tmp/added" >>"$log"
  sed "s/^/$last removed /" "$tmp/removed" >>"$log"
  added=$((added + $(wc -l <"$tmp/added")))
  removed=$((removed + $(wc -l <"$tmp/removed")))
  mv "$tmp/new" "$tmp/old"
}

: >"$tmp/old"
: >"$log"
snapshot
first=$last
fio --name="$name" --ioengine=nbd --uri="nbd+unix:///?socket=$tmp/nbd" \
    --rw=randrw --bs="$bs" --size="${size}M" --iodepth=8 --time_based \
    --runtime="$seconds" --output="$tmp/fio.out" &
fio=$!
while kill -0 "$fio" 2>/dev/null; do
  sleep 1
  snapshot
done
status=0
wait "$fio" || status=$?
fio=
snapshot

grep -E '^ +(read|write):' "$tmp/fio.out" || :
remapctl status --dm
cat <<TEXT

=== SUMMARY for ${size}MB, ${seconds}s, $bs, dm_name=$name ===
First snapshot: $first
Last snapshot:  $last
Total added lines:   $added
Total removed lines: $removed
Log file: ${log##*/}
==============================
TEXT
[ "$status" -eq 0 ] || die "fio failed (status $status)"
