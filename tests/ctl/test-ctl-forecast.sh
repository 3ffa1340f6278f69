#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What remapctl says and asks before it changes much: --dry-run, --yes, and
# terminals, on which the answer counts.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/ctl.sh"
requires_program script python3

truncate -s 100M main.img
start_nbdkit disk --filter=remap file main.img spare=spare.img spare-size=2M \
             remap-control="$tmp/control"
export REMAP_CONTROL=$tmp/control
remapctl status --json >out
free=$(json out 'r["spare"]["free"]')

# asked ANSWER ARG...: on a terminal; what is shown is in term, and the exit
# status in status.
asked ()
{
  local answer=$1 command
  shift
  command="remapctl $(printf '%q ' "$@"); echo status=\$?"
  printf '%s\n' "$answer" | script -qec "$command" /dev/null >term
  tr -d '\r' <term >shown
  cat shown
}

ctl 0 import --as=lost <(printf '0x0 ? 1\n0x100000 0x1000 -\n')
remapctl table --csv >before

# Nothing is changed, and it is said what would be.
ctl 0 forget-lost --dry-run 0 4096
assert_grep '^forget-lost: of 4096 sectors, 8 would be zeroes instead of LOST: their content is given up, .*  Nothing was changed' out
ctl 0 remap --dry-run 2046 4
assert_grep "^remap: of 4 sectors, 2 would be read and moved to the spare, which has room for $free now" out
ctl 0 remap --dry-run --json 2046 4
assert_equal "$(json out 'r["would"], r["room"]')" "(2, $free)" "as JSON"
ctl 0 unmap --dry-run 0 204800
assert_grep '^unmap: of 204800 sectors, 0 would be written to the disk' out
printf '0x0 ? 1\n0x0 0x1000 -\n' >map
ctl 0 import --as=lost --dry-run map
assert_grep '^map: 8 bad sectors listed, as format mapfile.  Nothing was changed' out
ctl 0 import --as=lost --dry-run --json map
assert_equal "$(json out 'r["would"]')" 8 "an import's as JSON"
says 'the disk has 204800 sectors' 1 unmap --dry-run 204800
remapctl table --csv | diff before -

# Asked; no answer, and any but y and yes, is no.
for answer in n '' Yes; do
  asked "$answer" forget-lost 2048 8
  assert_grep 'would be zeroes .*Go on\? \[y/N\]' shown
  assert_grep 'forget-lost: nothing was changed' shown
  assert_grep 'status=1' shown
done
asked n remap 0 4096
assert_grep 'would be read and moved.*room for .*Go on' shown
asked n remap 0 100000
assert_grep 'Go on' shown
remapctl table --csv | diff before -

# Not asked: it is little, or there is nothing, or --yes.
asked n remap 0 8
assert_no_grep 'Go on' shown
asked n forget-lost 0 8
assert_no_grep 'Go on' shown
asked n unmap 0 8
assert_no_grep 'Go on' shown
asked n forget-lost --yes 2048 4
assert_no_grep 'Go on' shown
assert_grep 'status=0' shown
asked y forget-lost 2052 4
assert_grep '4 sectors LOST, and zeroes' shown
remapctl table --csv >table
assert_no_grep lost table
asked n unmap 0 204800
assert_grep 'nothing was changed' shown
# No terminal: as it was said.
ctl 0 unmap 0 204800
remapctl table --csv >table
assert_no_grep zero table
stop_nbdkit disk
