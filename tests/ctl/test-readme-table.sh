#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# README.md's table "from dm-remap to nbdkit-remap": it has a row for all
# that dm-remap v2.0 documents, and whatever can be typed in its right column
# is run here, from top to bottom, as it stands there.

# shellcheck source-path=SCRIPTDIR disable=SC2016,SC2154
. "$(dirname "$0")/ctl.sh"

requires_program fio nbdcopy nbdinfo

sed -n '/^## From dm-remap/,/^## Manual/p' "$abs_top_srcdir/README.md" >section
sed -n 's/^| \(.*\) |$/\1/p' section | tail -n +3 >rows
sed 's/ | .*//' rows >left
sed 's/.* | //' rows >right
assert_equal "$(grep -c ' | ' rows)" "$(wc -l <rows)" "rows of two columns"
assert_equal "$(grep -c ' | .* | ' rows)" 0 "rows of more columns"

# ---- complete ---------------------------------------------------------

for word in insmod remap_create_safe.sh main_dev spare_dev main_start \
            spare_start spare_total logfile dm_name 'exit codes 0, 1, 2' \
            'dmsetup create' /dev/mapper/ 'dmsetup ls' 'dmsetup status' \
            'dmsetup remove' 'losetup -d' 'message `remap' 'message `ping' \
            'message `verify' 'message `set_auto_remap' \
            'message `clear_stats' 'message `clear`' '`v2.0`' \
            '`2/1000 0/1000 2/1000`' 'health=1' 'errors=W0:R0' \
            '`auto_remaps`' '`manual_remaps`' 'scan=0%' auto_remap_enabled \
            error_threshold max_remaps debug_level fast_path_threshold \
            'global_' 'sysfs `version`' 'sysfs `targets`' '`health`' \
            '`stats`' 'sysfs `scan`' '`auto_remap`' remap_table \
            'remap_control` with `add`' '`list`' 'loopback' 'fio' '`dd`' \
            'hexdump -C' 'simulated failure' dm-flakey 'test driver' \
            'test suite' 'sector sizes differ' 'exits with 1' 'exits with 2' \
            'resource busy' 'Permission denied' 'persistent table'; do
  grep -qF -- "$word" left || fail "README.md's table has no row for $word"
done

# tests/README.md has each of its scripts, and names tests that there are.
sed -n '/^## The tests of dm-remap/,/^## What/p' \
    "$abs_top_srcdir/tests/README.md" | sed -n 's/^| \(.*\) |$/\1/p' |
  tail -n +3 >scripts
for script in complete_remap_verification final_remap_verification \
              data_integrity_verification_test actual_remap_test \
              explicit_remap_verification_test auto_remap_intelligence_test \
              enhanced_dm_flakey_test bio_endio_error_validation_test \
              advanced_error_injection_test direct_io_error_test \
              performance_optimization_test micro_performance_test \
              simple_performance_test stress_test_v1 performance_test_v1 \
              production_hardening_test memory_leak_test_v1 \
              integration_test_suite complete_test_suite_v1 \
              complete_test_suite_v2 debug_io_forwarding minimal_dm_test \
              sector_zero_test v2_sysfs_test bio_size_analysis_test \
              run_core_tests run_performance_tests run_error_tests; do
  grep -qF "\`$script.sh\`" scripts || fail "tests/README.md lacks $script.sh"
done
sed 's/.* | //' scripts | grep -o '`[^`]*`' | tr -d '`' | while read -r name; do
  case "$name" in --valgrind|--sanitizers=*) continue ;; esac
  awk -v n="$name" '!/^#/ && ($1 == n || $2 == n) { found = 1 }
                    END { exit !found }' "$abs_top_srcdir/tests/list.txt" ||
    fail "tests/README.md names a test that list.txt lacks: $name"
done

# ---- what is typed ----------------------------------------------------

cleanup_fn stop_all

# As README says, in the run-time directory of this test.
eval "$(sed -n "s|^    \(uri='.*'\)$|\1|p" section |
          sed "s|/run/nbdkit-remap|$tmp/run|")"
[ -n "${uri:-}" ] || fail "README.md says nothing of \$uri"
export uri

# What follows from a command, besides its status of 0.
look ()
{
  case "$1" in
    "remapctl create main_dev="*)
      assert_grep '^Mapping created successfully' out ;;
    "remapctl create --dry-run"*)
      assert_grep 'offset=1048576 .*spare-offset=4096 spare-size=20971520' out ;;
    *" status --dm")
      assert_grep '^0 204800 remap v2\.0 [0-9]+/[0-9]+ [0-9]+/[0-9]+ [0-9]+/[0-9]+ health=[01] errors=W0:R0 auto_remaps=[0-9]+ manual_remaps=[0-9]+ scan=0%$' out ;;
    *" remap 2048") assert_grep '^1 sector moved to the spare' out ;;
    *" unmap 2048") assert_grep '^1 sector given back' out ;;
    *" verify "*) assert_grep 'sectors read, all of them good' out ;;
    *" table"|*" table 4096") assert_grep '^ +4096 .*remapped' out ;;
    *" grow 40M") assert_grep '40.0 MiB now' out ;;
    "nbdsh "*"pread"*) assert_grep 'xxxxxxxx' out ;;
    "nbdinfo "*) assert_grep '104857600' out ;;
    *" check spare.img") assert_grep '^spare.img: sound$' out ;;
  esac
}

# type COMMAND
type_it ()
{
  local status=0

  echo "\$ $1"
  eval "$1" >out 2>err </dev/null || status=$?
  cat out err
  [ "$status" = 0 ] || fail "status $status of a command of README.md: $1"
  look "$1"
}

typed=0
while read -r span; do
  case "$span" in
    "remapctl "*|"truncate "*|"nbdinfo "*|"nbdsh "*)
      type_it "$span" ;;
    "fio "*)
      # Shorter.
      type_it "${span/runtime=15/runtime=1}" ;;
    "nbdkit -U MAIN.sock --filter=remap file MAIN spare=SPARE spare-offset=START"*)
      : >MAIN
      truncate -s 8M MAIN
      type_it "$(sed 's/START/8s/; s/LEN/4096s/' <<<"$span") -U - --run true"
      assert_equal "$(stat -c %s SPARE)" $((4104 * 512)) "the spare's size" ;;
    "nbdkit "*)
      truncate -s 100M other.img
      type_it "$span" ;;
    "examples/drive.sh "*)
      # test-ctl-drive.sh runs it.
      [ -x "$abs_top_srcdir/${span%% *}" ] || fail "$span" ;;
    "tests/run.sh")
      [ -x "$abs_top_srcdir/$span" ] || fail "$span" ;;
    "nbd-client -unix "*)
      # This machine's kernel may not have nbd: the socket must be there.
      [ -S "$tmp/run/my_remap.nbd" ] || fail "$span"
      assert_grep 'unix /run/nbdkit-remap/my_remap.nbd /dev/' right ;;
    remap-*=*|spare-*=*)
      nbdkit --filter=remap null --help >help
      assert_grep "^${span%%=*}=" help ;;
    "-v -D remap.verbose=1")
      type_it "nbdkit $span -U - --filter=remap file MAIN spare=new --run true" ;;
    "-n NAME"|"--dry-run"|s|test_remap|/tmp)
      continue ;;
    *)
      fail "README.md's table has something that is not run: $span" ;;
  esac
  typed=$((typed + 1))
done < <(grep -o '`[^`]*`' right | tr -d '`')
[ "$typed" -ge 40 ] || fail "only $typed commands"
