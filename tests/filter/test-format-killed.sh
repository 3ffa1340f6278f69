#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# An interrupted format is recognised and finished: the server is killed at
# each of its writes and flushes of the spare, and at random (promises 15
# and 21 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
! is_instrumented || skip "strace and valgrind don't mix"
requires_strace

make_main $((1 << 20))
bad_sectors bad.txt 100

# works: what was left is taken as a spare, or as nothing yet.
works ()
{
  serve
  client <<'PY'
is_(read(99), orig(99))
write(100, pattern(100))
is_(read(100), pattern(100))
PY
  crash
}

# start_killed CALL N: the server is killed when it makes its Nth such
# system call; false if it lives to serve a client.
start_killed ()
{
  local tracer alive=

  rm -f k.pid k.sock
  strace -f -qq -o /dev/null -e trace="$1" -e inject="$1:signal=KILL:when=$2" \
         nbdkit -f -U "$tmp/k.sock" -P "$tmp/k.pid" --filter=remap \
         file main.img spare=spare.img >killed.out 2>&1 &
  tracer=$!
  eventually has_text_or_ended k.pid "$tracer" || fail "it is never ready"
  # The socket is there before the spare is formatted.
  ! URI="nbd+unix:///?socket=$tmp/k.sock" client <<<'' 2>/dev/null || {
    alive=1
    kill -9 "$(cat k.pid)"
  }
  wait "$tracer" 2>/dev/null || :
  [ -z "$alive" ]
}

for prepare in 'rm -f' 'truncate -s 2M'; do
  for call in ftruncate fallocate pwrite64 fdatasync; do
    for ((n = 1; n < 30; n++)); do
      rm -f spare.img
      $prepare spare.img
      start_killed $call $n || break
      works
    done
    echo "$prepare: killed at $((n - 1)) of $call"
    case $call in
      ftruncate) ;;
      fallocate) [ "$n" -gt 1 ] || fail "metadata isn't allocated" ;;
      *) [ "$n" -gt 3 ] || fail "killed only $((n - 1)) times at $call" ;;
    esac
    [ "$n" -lt 30 ] || fail "the server never started"
  done
done

# At random, one after the other on the same spare.
rm -f spare.img
RANDOM=5
for ((i = 0; i < 30; i++)); do
  rm -f k.sock
  nbdkit -f -U "$tmp/k.sock" --filter=remap file main.img spare=spare.img \
         >killed.out 2>&1 &
  killed=$!
  sleep 0.0$((RANDOM % 5))$((RANDOM % 10))
  kill -9 "$killed"
  wait "$killed" 2>/dev/null || :
  assert_no_grep 'error' killed.out
done
works
