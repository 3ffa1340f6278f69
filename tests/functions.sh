# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Helpers of the shell tests (bash).  A test begins with
#
#   . "$(dirname "$0")/../functions.sh"
#
# and is run through the `run' script of the build directory:
#
#   ./run ../tests/filter/test-NAME.sh
#
# so that `nbdkit --filter=remap' and `--filter=baddisk' mean the filters
# that were just built, under valgrind or a sanitizer if that was asked for.
#
# It starts in $tmp, an empty directory of its own with a short name (a
# socket's path is limited to 108 bytes), which is removed at the end, as
# is every server that is still running.  It passes by ending with status
# 0, fails with any other and skips with 77.  A server that ends with a
# status other than 0, or with a report of valgrind or a sanitizer, makes
# the test fail.
#
# shellcheck shell=bash

set -eu -o pipefail
shopt -s inherit_errexit

if [ -z "${abs_top_builddir:-}" ]; then
  echo "$0: run this test through the build directory's script:" \
       "./run $0" >&2
  exit 1
fi

# Where the source and the build are: for tests that look there.
abs_top_srcdir=${abs_top_srcdir:?}
abs_top_builddir=${abs_top_builddir:?}

test_name=$(basename "$0" .sh)
tmp=$(mktemp -d "${TMPDIR:-/tmp}/remap-XXXXXX")
cd "$tmp"

# Where servers with a control socket tell that they are there: not on the
# machine itself.
export REMAP_RUNTIME_DIR=$tmp/run
export REMAP_STATE_DIR=$tmp/state

# Debian's python bindings of libnbd belong to Debian's own python.
nbdsh ()
{
  /usr/bin/python3 -m nbd "$@"
}

# ---- results ----------------------------------------------------------

# fail MESSAGE: ends the test; the rest of the log says where.
fail ()
{
  echo "FAIL: $test_name: $*" >&2
  exit 1
}

# skip REASON
skip ()
{
  echo "SKIP: $*"
  exit 77
}

# requires COMMAND [ARG...]: skips unless the command succeeds.
requires ()
{
  "$@" </dev/null >/dev/null 2>&1 || skip "needs: $*"
}

# requires_program NAME...
requires_program ()
{
  local p
  for p in "$@"; do
    command -v "$p" >/dev/null || skip "needs the program $p"
  done
}

requires_root ()
{
  [ "$(id -u)" = 0 ] || skip "needs root"
}

# requires_plugin NAME...: plugins of nbdkit's own.
requires_plugin ()
{
  local p
  for p in "$@"; do
    "$REMAP_NBDKIT" "$p" --dump-plugin </dev/null >/dev/null 2>&1 ||
      skip "needs nbdkit's $p plugin"
  done
}

# requires_filter NAME...: filters of nbdkit's own.
requires_filter ()
{
  local f
  for f in "$@"; do
    "$REMAP_NBDKIT" --filter="$f" null --dump-plugin \
                    </dev/null >/dev/null 2>&1 ||
      skip "needs nbdkit's $f filter"
  done
}

# requires_loop, requires_fuse: block devices and FUSE mounts.
requires_loop ()
{
  requires_root
  requires_program losetup
  losetup -f >/dev/null 2>&1 || skip "needs loop devices"
}

requires_fuse ()
{
  requires_program nbdfuse fusermount3
  [ -w /dev/fuse ] || skip "needs /dev/fuse"
}

# The tests that take minutes say so here: skipped under valgrind and the
# sanitizers unless the caller wants them (REMAP_TEST_LONG=1).
is_instrumented ()
{
  [ -n "${REMAP_VALGRIND:-}" ] || [ -n "${REMAP_SANITIZERS:-}" ]
}

# assert_grep REGEX FILE, assert_no_grep REGEX FILE (extended regex).
assert_grep ()
{
  grep -qE -e "$1" "$2" || {
    echo "---- $2:" >&2
    cat "$2" >&2
    fail "nothing in $2 matches: $1"
  }
}

assert_no_grep ()
{
  if grep -nE -e "$1" "$2" >&2; then
    fail "$2 must not match: $1"
  fi
}

# assert_equal GOT WANTED WHAT
assert_equal ()
{
  [ "$1" = "$2" ] || fail "$3: got '$1', wanted '$2'"
}

# expect_failure COMMAND [ARG...]: the command must fail (but not crash).
# Its output is in expect.out.
expect_failure ()
{
  local status=0

  "$@" </dev/null >expect.out 2>&1 || status=$?
  cat expect.out
  [ "$status" -ne 0 ] || fail "this should have failed: $*"
  [ "$status" -lt 99 ] || fail "status $status (a crash or a report): $*"
}

# unpack_package PACKAGE: unpacks a Debian package in the folder $unpacked, once
# for all tests, and installs nothing.  For a program whose package would start
# a server.  Skips if there is no way to download it.
unpack_package ()
{
  unpacked=$abs_top_builddir/../packages/$1
  [ ! -e "$unpacked/complete" ] || return 0
  requires_program apt-get dpkg-deb
  rm -rf "$unpacked"
  mkdir -p "$unpacked"
  (cd "$unpacked" &&
     apt-get -qq -o APT::Sandbox::User=root download "$1") ||
    skip "needs the package $1, which can't be downloaded"
  dpkg-deb -x "$unpacked"/*.deb "$unpacked"
  rm "$unpacked"/*.deb
  touch "$unpacked/complete"
}

# find_promtool: sets promtool to Prometheus' checker, which Debian 13 has in a
# package of its own.
find_promtool ()
{
  local package=prometheus

  ! promtool=$(command -v promtool) || return 0
  ! apt-cache show promtool >/dev/null 2>&1 || package=promtool
  unpack_package $package
  # For the tests.
  # shellcheck disable=SC2034
  promtool=$unpacked/usr/bin/promtool
}

# ---- waiting ----------------------------------------------------------

# eventually COMMAND [ARG...]: returns when the command succeeds.  It has five
# minutes, or this is false: what is waited for comes at once on an idle
# machine, but may take long beside others that use processors and disks.
eventually ()
{
  local end=$((SECONDS + 300))

  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || return 1
    sleep 0.05
  done
}

# await_log REGEX FILE: the log of a server that runs says so in the end: it is
# written by a thread that nobody waits for.
await_log ()
{
  eventually grep -qE -e "$1" "$2" || assert_grep "$1" "$2"
}

# Commands for it: exists FILE, is_missing FILE, has_text FILE.
exists ()
{
  [ -e "$1" ]
}

is_missing ()
{
  [ ! -e "$1" ]
}

has_text ()
{
  [ -s "$1" ]
}

# has_ended PID: gone, or a zombie that nobody has asked for.
has_ended ()
{
  ! grep -q '^State:[[:space:]]*[^Z]' "/proc/$1/status" 2>/dev/null
}

# has_text_or_ended FILE PID: the process that is to write it may end before.
has_text_or_ended ()
{
  [ -s "$1" ] || has_ended "$2"
}

# ---- cleaning up ------------------------------------------------------

# cleanup_fn COMMAND [ARG...]: run at the end, last registered first.
cleanup_fns=()
cleanup_fn ()
{
  cleanup_fns+=("$(printf '%q ' "$@")")
}

run_cleanups ()
{
  local status=$? i name

  set +e
  trap '' INT TERM
  for ((i = ${#cleanup_fns[@]} - 1; i >= 0; i--)); do
    eval "${cleanup_fns[i]}"
  done
  for name in "${!nbdkit_pids[@]}"; do
    end_nbdkit "$name" TERM || [ "$status" -ne 0 ] || status=1
  done
  if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
    for name in *.log; do
      [ -s "$name" ] || continue
      echo "---- the end of $name:"
      tail -n 60 "$name"
    done
  fi
  cd /
  if [ -n "${REMAP_KEEP:-}" ]; then
    echo "kept: $tmp"
  else
    rm -rf --one-file-system "$tmp"
  fi
  exit "$status"
}
trap run_cleanups EXIT
trap 'exit 1' INT TERM HUP

# ---- servers ----------------------------------------------------------

# start_nbdkit NAME [ARG...]: starts `nbdkit ARG...' and returns when it
# accepts connections.  Sets
#
#   sock uri pid   of this server
#
# Its messages are in NAME.log (appended to, when NAME is started again).
# The caller gives neither -f, -U nor -P.
declare -A nbdkit_pids=() nbdkit_threads=()
start_nbdkit ()
{
  local name=$1
  shift

  start_nbdkit_may_fail "$name" "$@" ||
    fail "nbdkit ($name) did not start, see $name.log: nbdkit $*"
}

# The same, but a server that ends before it is ready makes this return
# its exit status.
start_nbdkit_may_fail ()
{
  local name=$1 status=0
  shift

  # A test that takes the disk away wants to see errors, unless it is about
  # waiting.
  case " $* " in
    *" main-lost-wait="*) ;;
    *" --filter=remap "*) set -- "$@" main-lost-wait=0 ;;
  esac
  sock=$tmp/$name.sock
  # uri is for the tests.
  # shellcheck disable=SC2034
  uri="nbd+unix:///?socket=$sock"
  rm -f "$sock" "$name.pid"
  nbdkit -f -U "$sock" -P "$tmp/$name.pid" "$@" </dev/null >>"$name.log" 2>&1 &
  pid=$!
  nbdkit_pids[$name]=$pid
  # The pid file appears when the socket is ready.
  eventually has_text_or_ended "$name.pid" "$pid" ||
    fail "nbdkit ($name) is not ready, and doesn't end"
  if [ ! -s "$name.pid" ]; then
    wait "$pid" || status=$?
    unset "nbdkit_pids[$name]"
    [ "$status" -ne 0 ] || status=1
    [ "$status" -lt 99 ] || fail "status $status (a crash or a report)"
    return "$status"
  fi
  nbdkit_threads[$name]=$(count_threads "$pid")
}

# count_threads PID
count_threads ()
{
  local threads=("/proc/$1/task/"*)
  echo "${#threads[@]}"
}

# await_idle NAME: waits until the connections of clients that have gone are
# gone too, and a little until their threads are: the server may have started
# some of its own after they were counted.  A connection that nbdkit is still
# closing when it is told to end is not freed, on purpose, and that would be
# reported as a leak.
await_idle ()
{
  local i

  eventually has_no_clients "$1" || :
  for ((i = 0; i < 40; i++)); do
    [ "$(count_threads "${nbdkit_pids[$1]}")" -gt "${nbdkit_threads[$1]}" ] ||
      break
    sleep 0.05
  done
}

# has_no_clients NAME: the only socket of its path is the one that listens
# (state 01).
has_no_clients ()
{
  awk -v path="$tmp/$1.sock" \
      '$8 == path && $6 != "01" { found = 1 } END { exit found }' \
      /proc/net/unix
}

# end_nbdkit NAME SIGNAL: 0 if the server's end is as it should be.
end_nbdkit ()
{
  local name=$1 signal=$2 status=0 server=${nbdkit_pids[$1]}

  if [ "$signal" = TERM ] && is_instrumented; then
    await_idle "$name"
  fi
  unset "nbdkit_pids[$name]"
  kill -s "$signal" "$server" 2>/dev/null || :
  if [ "$signal" = TERM ]; then
    # One that doesn't end is a failure, not a test that hangs.
    eventually has_ended "$server" || :
    kill -s KILL "$server" 2>/dev/null || :
  fi
  wait "$server" 2>/dev/null || status=$?
  if [ "$signal" = KILL ]; then
    [ "$status" -eq 137 ] && return 0
  else
    [ "$status" -eq 0 ] && return 0
  fi
  echo "FAIL: $test_name: nbdkit ($name) ended with status $status" >&2
  return 1
}

# stop_nbdkit NAME: an orderly end.
stop_nbdkit ()
{
  end_nbdkit "$1" TERM || exit 1
}

# kill_nbdkit NAME: kill -9, as a crash would.
kill_nbdkit ()
{
  end_nbdkit "$1" KILL || exit 1
}

# ---- system calls -----------------------------------------------------

# requires_strace: skips unless a process that runs can be traced.
requires_strace ()
{
  local sleeper traced=yes

  requires_program strace
  sleep 1000 &
  sleeper=$!
  strace_begin "$sleeper" -o /dev/null -e trace=none || traced=no
  strace_end
  kill "$sleeper"
  wait "$sleeper" || :
  [ "$traced" = yes ] || skip "can't trace a process"
}

# strace_begin PID [ARG...]: traces a process with all of its threads; returns
# when what it does is seen, or is false: strace.err says why.
strace_begin ()
{
  local traced=$1
  shift

  # strace truncates it a moment later than this goes on, and there it is
  # written that the last process was attached.
  rm -f strace.err
  strace -f -p "$traced" "$@" 2>strace.err &
  strace_pid=$!
  eventually strace_has_begun || :
  grep -q ' attached' strace.err
}

strace_has_begun ()
{
  grep -q ' attached' strace.err 2>/dev/null || has_ended "$strace_pid"
}

# strace_end: what it writes is complete after this.
strace_end ()
{
  kill -INT "$strace_pid" 2>/dev/null || :
  wait "$strace_pid" || :
}

# ---- FUSE -------------------------------------------------------------

# await_fuse FILE PID: until nbdfuse, running in the background, shows FILE.
await_fuse ()
{
  eventually has_text_or_ended "$1" "$2" || :
  [ -e "$1" ] || fail "nbdfuse doesn't show $1"
}

# end_fuse_mount DIRECTORY PID: whoever used it must let go first, as a loop
# device does a moment after it was detached.
end_fuse_mount ()
{
  eventually fuse_is_unmounted "$1" "$2" || kill -9 "$2" || :
  # nbdfuse ends by itself.
  wait "$2" 2>/dev/null || :
}

fuse_is_unmounted ()
{
  fusermount3 -u "$1" 2>/dev/null || has_ended "$2"
}

# ---- loop devices -----------------------------------------------------

# attach_loop FILE [LOSETUP-ARG...]: sets loop to a block device over FILE.
# If it can't, it fails, and losetup.err says why.
declare -A loops=()
attach_loop ()
{
  local file=$1
  shift

  loop=$(losetup --find --show "$@" "$file" 2>losetup.err) || return
  loops[$loop]=attached
  cleanup_fn detach_loop "$loop"
}

# detach_loop DEVICE: once, since the next moment it may be another test's.
# It is gone when its last user is, so that this never fails for a while.
detach_loop ()
{
  [ -n "${loops[$1]:-}" ] || return 0
  unset "loops[$1]"
  losetup -d "$1" 2>/dev/null || :
}

# ---- files ------------------------------------------------------------

# bad_sectors FILE FIRST[+COUNT]...: writes a list of bad sectors (of 512
# bytes) that the baddisk filter reads: a ddrescue mapfile.  It replaces
# FILE in one step, so that a running server sees all of it or nothing.
bad_sectors ()
{
  local file=$1 spec
  shift

  {
    echo "# bad sectors of a test"
    echo "0x00000000 ? 1"
    for spec in "$@"; do
      printf '0x%x 0x%x -\n' "$((${spec%%+*} * 512))" \
             "$(($([[ $spec == *+* ]] && echo "${spec#*+}" || echo 1) * 512))"
    done
  } >"$file.new"
  mv "$file.new" "$file"
}

# random_file FILE BYTES: the same pseudo-random content every time.
random_file ()
{
  /usr/bin/python3 - "$1" "$2" <<'PY'
import random, sys
path, left = sys.argv[1], int(sys.argv[2])
r = random.Random(1)
with open(path, "wb") as f:
    while left > 0:
        n = min(left, 1 << 20)
        f.write(r.randbytes(n))
        left -= n
PY
}
