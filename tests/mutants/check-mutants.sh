#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Do the tests notice?  Plants the bugs of mutants.txt, one at a time, in a
# copy of the source, builds, and runs the tests that should fail:
#
#   tests/mutants/check-mutants.sh [--some N] [NAME...]
#
# Without names all of them; with --some N of them, others each day.  A bug
# is caught when one of its tests fails, or doesn't end in time.  The tests
# are run without any bug first, and must pass then.  The copy and its build
# are in build/mutants.
#
# The last line is: N passed, N failed, N skipped (a bug each); the status
# is 0 if all were caught.

set -u -o pipefail

here=$(cd "$(dirname "$0")" && pwd)
base=${REMAP_BUILD:-$here/../../build}/mutants
list=$here/mutants.txt
limit=${MUTANT_SECONDS:-120}    # for one test, to which it adds
mutate=(/usr/bin/python3 "$here/mutate.py" "$list")
some=0
names=()
while [ $# -gt 0 ]; do
  case "$1" in
    --some) some=${2:?}; shift ;;
    -*) echo "$0: unknown option: $1" >&2; exit 2 ;;
    *) names+=("$1") ;;
  esac
  shift
done

"${mutate[@]}" check "$here/../.." || exit 1
declare -A file_of=() tests_of=()
all=()
while read -r name file tests; do
  all+=("$name")
  file_of[$name]=$file tests_of[$name]=$tests
done < <("${mutate[@]}")
if [ ${#names[@]} -eq 0 ]; then
  names=("${all[@]}")
  if [ "$some" -gt 0 ] && [ "$some" -lt ${#all[@]} ]; then
    names=()
    first=$(($(date +%s) / 86400 * some))
    for ((i = first; i < first + some; i++)); do
      names+=("${all[i % ${#all[@]}]}")
    done
  fi
fi
for name in "${names[@]}"; do
  [ -n "${file_of[$name]:-}" ] || { echo "$0: no mutant $name" >&2; exit 2; }
done

REMAP_BUILD=$base "$here/../build.sh" --packages "build run test" plain \
  >"/dev/null" || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
src=$base/src build=$base/plain
work=$(mktemp -d "${TMPDIR:-/tmp}/remap-XXXXXX") || exit 2
mutated=
restore ()
{
  if [ -n "$mutated" ]; then
    cp "$work/original" "$src/$mutated"
    mutated=
  fi
}
trap 'restore; rm -rf --one-file-system "$work"' EXIT
trap 'exit 2' INT TERM HUP

declare -A good=() took=()

# run_test NAME: 0 if it passes, 77 if it skips, else it has failed.
run_test ()
{
  local command
  command=$(awk -v name="$1" '!/^#/ && $2 == name { for (i = 5; i <= NF; i++)
              printf "%s ", $i }' "$src/tests/list.txt")
  [ -n "$command" ] || { echo "no test $1" >&2; return 77; }
  case "$command" in
    *.sh\ *) command=$src/tests/$command ;;
    *) make -C "$build/tests" "${command%% *}" >>"$work/make.log" 2>&1 ||
         return 77
       command=$build/tests/$command ;;
  esac
  mkdir -p "$work/t"
  # Split into words.
  # shellcheck disable=SC2086
  # Longer than it takes without any bug, however busy the machine is.
  (cd "$work/t" && TMPDIR=$work/t \
     timeout -k 10 $((limit + 10 * ${took[$1]:-100})) \
     "$build/run" $command >"$work/log" 2>&1 </dev/null)
  local status=$?
  rm -rf --one-file-system "$work/t"
  return "$status"
}

build_all ()
{
  make -C "$build/lib" >"$work/make.log" 2>&1 &&
    make -C "$build/filter/remap" >>"$work/make.log" 2>&1 &&
    make -C "$build/filter/baddisk" >>"$work/make.log" 2>&1 &&
    make -C "$build/ctl" >>"$work/make.log" 2>&1 &&
    make -C "$build/monitor" >>"$work/make.log" 2>&1
}

baseline ()
{
  local status=0 begin=$SECONDS
  [ -z "${good[$1]:-}" ] || return 0
  run_test "$1" || status=$?
  took[$1]=$((SECONDS - begin))
  good[$1]=yes
  case $status in
    0) ;;
    77) good[$1]=skips ;;
    *) tail -n 40 "$work/log"
       echo "FAIL: test $1 fails without any planted bug (status $status)"
       return 1 ;;
  esac
}

build_all || { tail -n 40 "$work/make.log"; exit 1; }
for name in "${names[@]}"; do
  for test in ${tests_of[$name]}; do
    baseline "$test" || { echo "0 passed, 1 failed, 0 skipped"; exit 1; }
  done
done

passed=0 failed=0 skipped=0
for name in "${names[@]}"; do
  begin=$SECONDS result=SURVIVED by=
  cp "$src/${file_of[$name]}" "$work/original" || exit 2
  mutated=${file_of[$name]}
  "${mutate[@]}" apply "$name" "$src" || exit 1
  if ! build_all; then
    grep -m 3 'error' "$work/make.log"
    result="doesn't compile"
  else
    ran=0
    for test in ${tests_of[$name]}; do
      [ "${good[$test]}" != skips ] || continue
      ran=$((ran + 1)) status=0
      run_test "$test" || status=$?
      if [ "$status" -ne 0 ] && [ "$status" -ne 77 ]; then
        result=caught by=$test
        [ "$status" -ne 124 ] && [ "$status" -ne 137 ] || by+=" (timeout)"
        break
      fi
    done
    [ "$ran" -gt 0 ] || result=skipped
  fi
  restore
  case "$result" in
    caught) what=PASS passed=$((passed + 1)) ;;
    skipped) what=SKIP skipped=$((skipped + 1)) ;;
    *) what=FAIL failed=$((failed + 1)) ;;
  esac
  printf '%s: %-28s %-9s %-24s %4d s  %s\n' "$what" "$name" "$result" "$by" \
         $((SECONDS - begin)) "$("${mutate[@]}" why "$name")"
done
build_all || exit 1
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ]
