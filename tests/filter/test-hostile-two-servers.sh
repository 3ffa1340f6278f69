#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Two servers are started for one spare at the same moment, a hundred times:
# exactly one serves, the other says why it doesn't, and what was written is
# still there in the end (promise 22 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((1 << 20))
times=100
! is_instrumented || times=10

for ((i = 0; i < times; i++)); do
  # Every other time it has to be created as well.
  [ $((i % 2)) -eq 1 ] || rm -f spare.img
  for s in a b; do
    rm -f $s.sock $s.pid
    nbdkit -f -U "$tmp/$s.sock" -P "$tmp/$s.pid" --filter=remap \
           file main.img spare=spare.img spare-size=1M >$s.out 2>&1 &
    eval "$s=$!"
  done
  # One of them ends by itself.
  status=0
  # shellcheck disable=SC2154
  wait -n -p loser "$a" "$b" || status=$?
  if [ "$loser" = "$a" ]; then
    lost=a won=b winner=$b
  else
    lost=b won=a winner=$a
  fi
  [ "$status" -ne 0 ] && [ "$status" -lt 99 ] ||
    fail "$i: the one that lost ended with status $status"
  assert_grep 'spare .*spare.img: (is in use by another|was removed or repl)' \
              $lost.out
  eventually has_text_or_ended $won.pid "$winner" || fail "$i: it isn't ready"
  [ -s $won.pid ] || { cat $won.out; fail "$i: both lost"; }
  kill -TERM "$winner"
  status=0
  wait "$winner" || status=$?
  [ "$status" -eq 0 ] || { cat $won.out; fail "$i: status $status"; }
  [ -s spare.img ] || fail "$i: the spare is gone"
done

bad_sectors bad.txt 7
serve
client <<'PY'
write(7, pattern(7))
is_(read(7), pattern(7))
PY
