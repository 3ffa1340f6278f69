#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Runs tests of list.txt that are built: called by `make check', run.sh and
# .ci/run, always through the build directory's `run' script.
#
#   runner.sh [OPTION...] [CATEGORY|NAME...]      without a word: all but guest
#
#   --valgrind     only the tests marked v, with programs under valgrind
#   --jobs N       tests at a time (default 2, or 1 on one processor)
#   --logs DIR     where the logs go (default: tests/logs of the build)
#
# One line a test; for one that failed, its log; a list of the skips; last
# of all, alone on its line: N passed, N failed, N skipped.  The status is 0
# if nothing failed.  REMAP_KEEP=1 keeps the tests' temporary directories.

set -u -o pipefail

if [ -z "${abs_top_builddir:-}" ]; then
  echo "$0: run this through the build directory's script: ./run $0" >&2
  exit 2
fi
here=${abs_top_srcdir:?}/tests
logs=$abs_top_builddir/tests/logs
jobs=2
[ "$(nproc)" -gt 1 ] || jobs=1
words=()

while [ $# -gt 0 ]; do
  case "$1" in
    --valgrind) export REMAP_VALGRIND=1 ;;
    --jobs) jobs=$2; shift ;;
    --logs) logs=$2; shift ;;
    -*) echo "$0: unknown option: $1" >&2; exit 2 ;;
    *) words+=("$1") ;;
  esac
  shift
done

# Which letter a test must have, and how much more time it gets.
letter="" factor=1
if [ -n "${REMAP_VALGRIND:-}" ]; then
  # Again through `run': it says how valgrind is called.
  if [ -z "${VALGRIND_COMMAND:-}" ]; then
    exec "$abs_top_builddir/run" "$0" --jobs "$jobs" --logs "$logs" "${words[@]}"
  fi
  letter=v factor=4
fi
case "${REMAP_SANITIZERS:-}" in
  *thread*) letter=t factor=3 ;;
  ?*) letter=a factor=3 ;;
esac

if ! [ -t 0 ]; then
  exec </dev/null
fi
mkdir -p "$logs" || exit 2
work=$(mktemp -d "${TMPDIR:-/tmp}/remap-XXXXXX") || exit 2
declare -A running=()           # pid of timeout(1) -> name of the test

clean_up ()
{
  local pid
  trap '' INT TERM
  # timeout(1) leads a process group that has all of its test's processes.
  for pid in "${!running[@]}"; do
    kill -TERM "$pid" 2>/dev/null
  done
  wait
  rm -rf --one-file-system "$work"
}
trap clean_up EXIT
trap 'exit 2' INT TERM HUP

# wanted CATEGORY NAME
wanted ()
{
  local w
  if [ ${#words[@]} -eq 0 ]; then
    [ "$1" != guest ]
    return
  fi
  for w in "${words[@]}"; do
    [ "$w" != "$1" ] && [ "$w" != "$2" ] || return 0
  done
  return 1
}

# Read all of the list before anything runs: a mistake in it is an error.
categories=" core auto perf hardening debug guest "
declare -A line_of=() category_of=() limit_of=()
selected=() known=()
lineno=0
while read -r category name limit tools command; do
  lineno=$((lineno + 1))
  case "$category" in ''|'#'*) continue ;; esac
  if [[ $categories != *" $category "* ]] || [[ ! $limit =~ ^[0-9]+$ ]] ||
     [[ ! $tools =~ ^(-|[atv]+)$ ]] || [ -z "$command" ] ||
     [ -n "${line_of[$name]:-}" ]; then
    echo "$here/list.txt:$lineno: not a test, or its name is taken" >&2
    exit 2
  fi
  line_of[$name]=$command
  category_of[$name]=$category
  limit_of[$name]=$((limit * factor))
  known+=("$name")
  wanted "$category" "$name" || continue
  [ -z "$letter" ] || [[ $tools == *$letter* ]] || continue
  selected+=("$name")
done <"$here/list.txt"

for w in "${words[@]}"; do
  if [[ $categories != *" $w "* ]] && [ -z "${line_of[$w]:-}" ]; then
    echo "$0: '$w' is neither a category (${categories# }) nor a test" >&2
    exit 2
  fi
done

start ()
{
  local name=$1 argv prefix=() what=program

  read -ra argv <<<"${line_of[$name]}"
  case "${argv[0]}" in
    *.sh) argv[0]=$here/${argv[0]} what=script ;;
    *) argv[0]=$abs_top_builddir/tests/${argv[0]}
       read -ra prefix -d '' <<<"${VALGRIND_COMMAND:-}" ;;
  esac
  mkdir -p "$work/$name"
  echo "# $name: ${line_of[$name]}" >"$logs/$name.log"
  if [ ! -x "${argv[0]}" ]; then
    # Without CUnit or libnbd configure leaves programs out; anything else
    # that isn't there is a mistake.
    prefix=()
    if [ "$what" = program ] && [ "${REMAP_TEST_LIBS:-}" != yesyes ]; then
      echo "SKIP: not built, as CUnit or libnbd were missing" \
           >>"$logs/$name.log"
      argv=(sh -c 'exit 77')
    else
      echo "not there, or not executable: ${argv[0]}" >>"$logs/$name.log"
      argv=(sh -c 'exit 127')
    fi
  fi
  (
    cd "$work/$name" || exit 99
    TMPDIR=$work/$name
    export TMPDIR
    exec timeout -k 20 "${limit_of[$name]}" "${prefix[@]}" "${argv[@]}" \
         >>"$logs/$name.log" 2>&1
  ) &
  running[$!]=$name
  started[$name]=$SECONDS
}

passed=0 failed=0 skipped=0
skips=() failures=()
declare -A started=()

finish ()
{
  local pid=$1 status=$2 name=${running[$1]} took what reason

  unset "running[$pid]"
  # Nothing of a test outlives it.
  kill -KILL -- "-$pid" 2>/dev/null
  took=$((SECONDS - started[$name]))
  case $status in
    0)
      passed=$((passed + 1)) what=PASS reason= ;;
    77)
      reason=$(grep -m 1 '^SKIP: ' "$logs/$name.log" | cut -c 7-)
      : "${reason:=no reason given}"
      skipped=$((skipped + 1)) what=SKIP
      skips+=("$name: $reason") ;;
    124|137)
      failed=$((failed + 1)) what=FAIL failures+=("$name")
      reason="not finished after ${limit_of[$name]} s, or killed" ;;
    *)
      failed=$((failed + 1)) what=FAIL failures+=("$name")
      reason="status $status" ;;
  esac
  printf '%s: %-10s %-28s %4d s%s\n' "$what" "${category_of[$name]}" "$name" \
         "$took" "${reason:+  ($reason)}"
  if [ "$what" = FAIL ]; then
    echo "---- $logs/$name.log"
    tail -n 200 "$logs/$name.log"
    echo "----"
  fi
  if [ -z "${REMAP_KEEP:-}" ]; then
    rm -rf --one-file-system "${work:?}/$name"
  fi
}

wait_for_one ()
{
  local pid status=0
  wait -n -p pid "${!running[@]}" || status=$?
  finish "$pid" "$status"
}

for name in "${selected[@]}"; do
  while [ ${#running[@]} -ge "$jobs" ]; do
    wait_for_one
  done
  start "$name"
done
while [ ${#running[@]} -gt 0 ]; do
  wait_for_one
done

if [ ${#failures[@]} -gt 0 ]; then
  echo
  echo "Failed (logs in $logs):"
  printf '  %s\n' "${failures[@]}"
fi
if [ ${#skips[@]} -gt 0 ]; then
  echo
  echo "Skipped:"
  printf '  %s\n' "${skips[@]}"
fi
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$((passed + skipped))" -gt 0 ]
