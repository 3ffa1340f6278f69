#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# All of it at once, for as long as somebody likes:
#
#   make check-soak MINUTES=60
#   ./run ../tests/soak/soak.sh --minutes 60
#
# Three disks that go bad all the time, each with a spare and a server of its
# own, side by side:
#
#   model   the model test, mode after mode: three connections, kill -9 with
#           requests in flight, disks that go away and come back
#   fio     fio with checksums on three connections; kill -9, then all of it is
#           verified; a spare that fills up and grows
#   ext4    a filesystem through nbdfuse and a loop device; kill -9 while it is
#           written to, then fsck, and each file that was synced is compared
#
# It ends with what it did.  The first miscompare, lost write or error that
# the promises don't allow fails it.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"

minutes=1
workers=()
while [ $# -gt 0 ]; do
  case "$1" in
    --minutes) minutes=${2:?}; shift ;;
    model|fio|ext4) workers+=("$1") ;;
    *) echo "$0: unknown argument: $1" >&2; exit 2 ;;
  esac
  shift
done
[ ${#workers[@]} -gt 0 ] || workers=(model fio ext4)
[[ $minutes =~ ^[0-9]+$ ]] || fail "--minutes wants a number: $minutes"
here=$abs_top_srcdir/tests

declare -A pids=()
for worker in "${workers[@]}"; do
  case "$worker" in
    model) command=("$here/filter/test-model.sh" --minutes "$minutes"
                    --ops 3000 --kills 6 --seed "$RANDOM") ;;
    *) command=("$here/soak/soak-$worker.sh" $((minutes * 60))) ;;
  esac
  "${command[@]}" >"$worker.log" 2>&1 </dev/null &
  pids[$worker]=$!
done
# Each of them cleans up after itself, and is given the time.
end_workers ()
{
  [ ${#pids[@]} -gt 0 ] || return 0
  kill -TERM "${pids[@]}" 2>/dev/null || :
  wait "${pids[@]}" 2>/dev/null || :
  pids=()
}
cleanup_fn end_workers

failed=()
while [ ${#pids[@]} -gt 0 ]; do
  status=0
  # The first that ends ends first, whichever that is.
  wait -n -p pid "${pids[@]}" || status=$?
  for worker in "${!pids[@]}"; do
    [ "${pids[$worker]}" != "$pid" ] || break
  done
  unset "pids[$worker]"
  case $status in
    0) ;;
    77) echo "$worker: $(grep -m 1 '^SKIP' "$worker.log")" ;;
    *)
      failed+=("$worker")
      echo "---- $worker: status $status"
      tail -n 100 "$worker.log"
      break ;;
  esac
done

# What they did until then, if one has failed.
[ ${#failed[@]} -eq 0 ] || end_workers
echo "---- $((SECONDS / 60)) minutes of:"
for worker in "${workers[@]}"; do
  # The model has a line for each of its runs, and one for their sum.
  if ! grep -E '^(total|fio|ext4):' "$worker.log" | sed "s/^total:/model:/"; then
    echo "$worker: $(grep -c ', seed ' "$worker.log" || :) runs"
  fi
done
[ ${#failed[@]} -eq 0 ] || fail "${failed[*]}"
