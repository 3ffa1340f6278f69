#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# SIGTERM, SIGINT and SIGKILL in each phase of the start: as the server makes
# its Nth system call of a kind, for each N, with a new spare and with one that
# exists.  Whenever it comes, the next start works, and what was acknowledged
# is there: nothing half-made is in the way, no lock is left behind (promises
# 15, 21 and 22 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
! is_instrumented || skip "strace and valgrind don't mix"
requires_strace

make_main $((1 << 20))
bad_sectors bad.txt 100

# start_hit SIGNAL CALL N: the server gets the signal at its Nth such call.
# False if it never comes to that, and it had to be ended.
start_hit ()
{
  local tracer hit=yes

  rm -f k.pid k.sock trace
  # What a script starts in the background would ignore SIGINT.
  env --default-signal=INT \
    strace -f -qq -o trace -e trace="$2" -e inject="$2:signal=$1:when=$3" \
         "$REMAP_NBDKIT" -f -t 1 -U "$tmp/k.sock" -P "$tmp/k.pid" \
         --filter="$REMAP_FILTER" file main.img spare=spare.img spare-size=2M \
         >hit.out 2>&1 </dev/null &
  tracer=$!
  eventually has_text_or_ended k.pid "$tracer" || :
  if [ -s k.pid ]; then
    # A client that is served knows that the start is over.
    URI="nbd+unix:///?socket=$tmp/k.sock" client <<<'' 2>/dev/null || :
    # If it was hit by then it ends by itself, and if not, by this.
    was_hit "$2" "$3" || hit=no
    [ "$hit" = yes ] || kill -TERM "$(cat k.pid)"
  fi
  eventually has_ended "$tracer" || {
    cat trace hit.out
    kill -9 "$(cat k.pid)" "$tracer"
    fail "SIG$1 at call $3 of $2: the server doesn't end"
  }
  wait "$tracer" 2>/dev/null || :
  assert_no_grep 'Assertion|Segmentation' hit.out
  [ "$hit" = yes ]
}

# was_hit CALL N: has a thread come to its Nth such call?  strace counts them
# by thread, and has written a call down before it goes on.
was_hit ()
{
  awk -v call="$1(" -v n="$2" \
      'index ($2, call) == 1 && ++calls[$1] >= n { hit = 1 } END { exit !hit }' \
      trace
}

# works EXISTED: the next start.
works ()
{
  serve
  client <<PY
is_(read(99), orig(99))
if $1:
    is_(read(100), pattern(100))
else:
    write(100, pattern(100))
is_(read(100), pattern(100))
PY
  kill_nbdkit disk
  flock --nonblock spare.img true || fail "a lock was left behind"
}

# One that exists, with something in it, and not closed.
rm -f spare.img
serve spare-size=2M
client <<<'write(100, pattern(100))'
kill_nbdkit disk
cp spare.img existing.img

total=0
for signal in TERM INT KILL; do
  for new in True False; do
    for call in flock fdatasync pread64 pwrite64 lseek ftruncate fallocate \
                bind listen; do
      # Killed while formatting: that is test-format-killed.
      case "$signal $new $call" in
        'KILL True '*) continue ;;
      esac
      for ((n = 1; n < 40; n++)); do
        if [ $new = True ]; then
          rm -f spare.img
        else
          cp existing.img spare.img
        fi
        start_hit $signal $call $n || break
        existed=$([ $new = True ] && echo False || echo True)
        works "$existed"
        # The calls of a loop are one like the other.
        [ $n -lt 6 ] || n=$((n + 4))
        total=$((total + 1))
      done
    done
  done
done
echo "$total signals"
[ "$total" -gt 40 ] || fail "too few: does strace work?"
