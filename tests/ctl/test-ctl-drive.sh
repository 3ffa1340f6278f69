#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# examples/drive.sh: fio on a disk that fails, the log of the table's
# changes, and the summary that dm-remap's README shows.

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

requires_program fio

drive=$abs_top_srcdir/examples/drive.sh
"$drive" 20 2 8k >drive.out 2>&1 </dev/null || { cat drive.out
                                                 fail "drive.sh"; }
cat drive.out
log=$(echo remap_changes_20MB_2s_8k_*.log)
sed -n '/^=== SUMMARY/,$p' drive.out >summary
sed -i 's/[0-9][0-9]:[0-9][0-9]:[0-9][0-9]/TIME/; s/_[0-9]\{8\}_[0-9]\{6\}/_STAMP/
        s/lines:   [1-9][0-9]*/lines:   N/' summary
diff - summary <<'TEXT'
=== SUMMARY for 20MB, 2s, 8k, dm_name=remap_20MB_2s_8k ===
First snapshot: TIME
Last snapshot:  TIME
Total added lines:   N
Total removed lines: 0
Log file: remap_changes_20MB_2s_8k_STAMP.log
==============================
TEXT
# The log has each line that is counted.
assert_equal "$(grep -c ' added ' "$log")" \
  "$(sed -n 's/^Total added lines: *//p' drive.out)" "added lines"
assert_grep '^[0-9:]{8} added   [0-9]+,[0-9]+,remapped,[0-9]+,[0-9]{10},' "$log"
assert_grep 'remap v2.0 .*manual_remaps=0 scan=0%' drive.out

expect_failure "$drive" x 2 8k
expect_failure "$drive" 20 0 8k
expect_failure "$drive" 20 2 big
expect_failure "$drive" 1 2 3 4
"$drive" --help | grep -q 'SIZE SECONDS BS' || fail "--help"
