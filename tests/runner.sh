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
# One line a test; for one that failed, its log; a list of the skips; how
# busy the machine was; last of all, alone on its line: N passed, N failed, N
# skipped.  The status is 0 if nothing failed.  REMAP_KEEP=1 keeps the tests'
# temporary directories.
#
# The seconds of list.txt are what a test takes at most on an idle machine.  It
# is ended, and has failed, when its processes have used as much processor
# time, or, in case that they wait for each other, after five times as long.

set -u -o pipefail

if [ -z "${abs_top_builddir:-}" ]; then
  echo "$0: run this through the build directory's script: ./run $0" >&2
  exit 2
fi
here=${abs_top_srcdir:?}/tests
logs=$abs_top_builddir/tests/logs
jobs=2
processors=$(nproc)
[ "$processors" -gt 1 ] || jobs=1
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
patience=5                      # wall time, in multiples of a test's limit
ticker=                         # pid of the sleep(1) that wakes us

clean_up ()
{
  local pid
  trap '' INT TERM
  # timeout(1) leads a process group that has all of its test's processes.
  for pid in "${!running[@]}"; do
    kill -TERM "$pid" 2>/dev/null
  done
  [ -z "$ticker" ] || kill "$ticker" 2>/dev/null
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
    *.sh | *.py) argv[0]=$here/${argv[0]} what=script ;;
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
    exec timeout -k 20 $((limit_of[$name] * patience)) \
         "${prefix[@]}" "${argv[@]}" \
         >>"$logs/$name.log" 2>&1
  ) &
  running[$!]=$name
  started[$name]=$SECONDS
}

passed=0 failed=0 skipped=0
skips=() failures=()
declare -A started=() overran=()

# processor_time GROUP: the seconds that the processes of a process group have
# used, and those of their children that have ended and were waited for.
# What a test has in the background in a group of its own isn't counted.
ticks=$(getconf CLK_TCK)
processor_time ()
{
  # In front of the last parenthesis is the name, which may have any others.
  cat /proc/[0-9]*/stat 2>/dev/null |
    awk -v group="$1" -v ticks="$ticks" '
      { sub (/^.*\) /, "") }
      $3 == group { used += $12 + $13 + $14 + $15 }
      END { printf "%d\n", used / ticks }' || :
}

end_those_that_overran ()
{
  local pid used

  for pid in "${!running[@]}"; do
    [ -z "${overran[$pid]:-}" ] || continue
    # Not before it can have used so much, on all processors.
    [ $(((SECONDS - started[${running[$pid]}]) * processors)) -ge \
      "${limit_of[${running[$pid]}]}" ] || continue
    used=$(processor_time "$pid")
    if [ "${used:-0}" -ge "${limit_of[${running[$pid]}]}" ]; then
      overran[$pid]="$used s of processor time"
      # It passes that on, and kills what doesn't end.
      kill -TERM "$pid"
    fi
  done
}

finish ()
{
  local pid=$1 status=$2 name=${running[$1]} took what reason

  unset "running[$pid]"
  # Nothing of a test outlives it.
  kill -KILL -- "-$pid" 2>/dev/null
  took=$((SECONDS - started[$name]))
  [ -z "${overran[$pid]:-}" ] || status=overran
  case $status in
    0)
      passed=$((passed + 1)) what=PASS reason= ;;
    77)
      reason=$(grep -m 1 '^SKIP: ' "$logs/$name.log" | cut -c 7-)
      : "${reason:=no reason given}"
      skipped=$((skipped + 1)) what=SKIP
      skips+=("$name: $reason") ;;
    overran)
      failed=$((failed + 1)) what=FAIL failures+=("$name")
      reason="not finished after ${overran[$pid]}"
      unset "overran[$pid]" ;;
    124|137)
      failed=$((failed + 1)) what=FAIL failures+=("$name")
      reason="not finished after $((limit_of[$name] * patience)) s, or killed"
      ;;
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
  local pid status

  while :; do
    if [ -z "$ticker" ]; then
      sleep 5 &
      ticker=$!
    fi
    status=0
    wait -n -p pid "$ticker" "${!running[@]}" || status=$?
    [ "$pid" = "$ticker" ] || break
    ticker=
    end_those_that_overran
  done
  finish "$pid" "$status"
}

# measure: what has passed until now, in milliseconds: on the clock, in use of
# all of the machine's processors together, by us and our children, and while
# a process, whoever's, could have gone on but for a processor, or a disk.
measure ()
{
  # Not in a process of its own, which has no children.
  times >"$work/times"
  awk -v ticks="$ticks" '
    function minutes(t) { split (t, m, /[ms]/); return 60 * m[1] + m[2] }
    FILENAME == "/proc/uptime" { now = $1 }
    FILENAME == "/proc/stat" && $1 == "cpu" {
      all = ($2 + $3 + $4 + $7 + $8 + $9) / ticks
    }
    FILENAME == "/proc/stat" && /^cpu[0-9]/ { n++ }
    FILENAME ~ /times$/ { ours += minutes($1) + minutes($2) }
    FILENAME ~ /pressure/ && $1 == "some" {
      sub (/.*total=/, "")
      waited[FILENAME] = $0 / 1000000
    }
    END {
      printf "%.0f %.0f %.0f %.0f %.0f\n", now * 1000, all * 1000 / n,
             ours * 1000 / n, waited["/proc/pressure/cpu"] * 1000,
             waited["/proc/pressure/io"] * 1000
    }' /proc/uptime /proc/stat "$work/times" "${pressure[@]}"
}
# Not every kernel has it.
pressure=(/proc/pressure/cpu /proc/pressure/io)
cat "${pressure[@]}" >/dev/null 2>&1 || pressure=()

# say_how_busy: since $before.  The load averages are of 1, 5 and 15 minutes.
say_how_busy ()
{
  local load after i share=() waited=""

  read -r -a load </proc/loadavg
  measure >"$work/after"
  read -r -a after <"$work/after"
  for i in 1 2 3 4; do
    share+=($(((after[i] - before[i]) * 100 / (after[0] - before[0] + 1))))
  done
  if [ ${#pressure[@]} -gt 0 ]; then
    waited="; somebody waited for one ${share[2]} % of the time,"
    waited+=" for a disk ${share[3]} %"
  fi
  echo "busy: $processors processors, load ${load[*]:0:3};" \
       "the tests used ${share[1]} % of them, others" \
       "$((share[0] > share[1] ? share[0] - share[1] : 0)) %$waited"
}

measure >"$work/before"
read -r -a before <"$work/before"
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
say_how_busy
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$((passed + skipped))" -gt 0 ]
