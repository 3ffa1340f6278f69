#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# remapctl create with block devices: sector sizes, alignment (exit 1),
# sector sizes that differ (exit 2).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

requires_loop

# loop VARIABLE SECTOR SIZE
loop ()
{
  local device

  truncate -s "$3" "$1.img"
  device=$(losetup -f --show --sector-size "$2" "$1.img") ||
    skip "needs losetup --sector-size"
  cleanup_fn losetup -d "$device"
  declare -g "$1=$device"
}
loop main512 512 100M
loop spare512 512 20M
loop main4k 4096 100M
loop spare4k 4096 20M

stop ()
{
  [ ! -e run/test_remap.pid ] || remapctl stop test_remap
}
cleanup_fn stop

# 2: they differ.
says 'sector sizes differ: .*512 bytes.*4096 bytes' 2 create \
     main_dev="$main512" spare_dev="$spare4k"
says 'sector sizes differ' 2 create main_dev="$main4k" spare_dev="$spare512"
# A file matches any.
truncate -s 20M file.img
ctl 0 create --dry-run main_dev="$main4k" spare_dev=file.img
assert_grep '^Main phys size: +4096 B$' out
assert_grep '^Spare phys size: any' out
ctl 0 create --dry-run main_dev=file.img spare_dev="$spare4k"

# 0: nothing to adjust; the plugin is the one for devices, if there is one.
ctl 0 create main_dev="$main512" spare_dev="$spare512"
assert_grep '^Main phys size: +512 B$' out
assert_grep '^Spare total: +40960 sectors$' out
assert_grep '^Note: .* is a loop device' out
if nbdkit direct --dump-plugin >/dev/null 2>&1; then
  assert_grep " direct device=$main512 " out
else
  assert_grep " file file=$main512 " out
fi
ctl 0 -n test_remap remap 2048
says 'in use|locked|exclusive' 5 create main_dev="$main512" \
     spare_dev="$spare512" dm_name=second
ctl 0 stop test_remap
ctl 0 check "$spare512"
ctl 0 table --spare "$spare512" --csv
assert_grep '^2048,1,remapped,' out

# 1: adjusted, and what.
ctl 1 create --dry-run main_dev="$main4k" spare_dev="$spare4k" \
    main_start=2049 spare_start=1 spare_total=20001
assert_grep '^Main start: +2056 sectors$' out
assert_grep '^Spare start: +8 sectors$' out
assert_grep '^Spare total: +20000 sectors$' out
assert_grep '^Adjusted: main_start from 2049 to 2056 sectors' out
assert_grep '^Adjusted: spare_start from 1 to 8 sectors' out
assert_grep '^Adjusted: spare_total from 20001 to 20000 sectors' out
assert_grep "offset=$((2056 * 512)) .*spare-offset=4096\
 spare-size=$((20000 * 512))" out
ctl 1 create main_dev="$main4k" spare_dev="$spare4k" spare_start=3
cat log/*.log >all.log
assert_grep '^Adjusted: spare_start from 3 to 8 sectors' all.log
ctl 0 -n test_remap status --json
assert_equal "$(json out 'r["spare"]["size"]')" $((20971520 - 4096)) "size"
ctl 0 stop test_remap
ctl 0 check --spare-offset=4096 "$spare4k"
# A device that is formatted anew, by force.
remapctl format --force "$spare512" main-size=50M >out 2>err
assert_grep 'destroying the spare .*1 sector remapped' err
ctl 0 check "$spare512"
says '50.0 MiB.*without a label' 0 info "$spare512"
says '20971520 bytes' 0 info "$spare512"
says 'has 20971520 bytes|not blank' 1 grow --spare "$spare512" 30M

# Values that fit already are left alone.
dd if=/dev/zero of="$spare4k" bs=1M count=20 conv=fsync status=none
ctl 0 create --dry-run main_dev="$main4k" spare_dev="$spare4k" \
    main_start=8 spare_start=16 spare_total=8192
assert_no_grep Adjusted out
says 'has 40960 sectors from' 5 create main_dev="$main512" \
     spare_dev="$spare512" spare_total=40968

# Who may not open a device is told so.  In a folder that others than root
# can reach.
command -v setpriv >/dev/null || exit 0
user=$(mktemp -d /tmp/remap-user-XXXXXX)
cleanup_fn rm -rf "$user"
truncate -s 8M "$user/main.img"
chmod 777 "$user" "$user/main.img"
as_nobody ()
{
  # Where others than root have their logs, too.
  env -u REMAP_LOG_DIR HOME=/nowhere XDG_STATE_HOME="$user/state" \
      REMAP_RUNTIME_DIR="$user/run" \
      setpriv --reuid=65534 --regid=65534 --clear-groups \
      "$(command -v remapctl)" "$@"
}
as_nobody --version >/dev/null 2>&1 || exit 0
status=0
as_nobody create main_dev="$main512" spare_dev="$user/spare.img" \
          >out 2>err || status=$?
assert_equal "$status" 4 "status of permission denied"
assert_grep 'permission denied' err
as_nobody create --dry-run main_dev="$user/main.img" \
          spare_dev="$user/spare.img" >out
assert_grep "^Log file: +$user/state/nbdkit-remap/test_remap.log$" out
