#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Wrong parameters end the server before it goes into the background, with
# one message that names what is wrong (promise 23 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"

make_main $((8 << 20))

# wrong REGEX ARG...: without -f, as a service would be started.
wrong ()
{
  local regex=$1
  shift
  expect_failure nbdkit -U "$tmp/wrong.sock" -P "$tmp/wrong.pid" \
                 --filter=remap file main.img "$@"
  assert_grep "$regex" expect.out
  assert_equal "$(grep -c 'error:' expect.out)" 1 "messages of: $*"
  [ ! -e wrong.pid ] || fail "a server was started with: $*"
  [ ! -e spare.img ] || fail "a spare was created with: $*"
}

wrong 'spare=PATH is required'
wrong 'spare=: a path is needed' spare=
wrong 'spare-size=1048575: must be at least 1048576' \
      spare=spare.img spare-size=1048575
wrong 'spare-size=0: must be at least' spare=spare.img spare-size=0
wrong 'spare-size=-1: must be a size' spare=spare.img spare-size=-1
wrong 'spare-size=big: must be a size' spare=spare.img spare-size=big
wrong 'spare-size=1X: must be a size' spare=spare.img spare-size=1X
wrong 'spare-size=: must be a size' spare=spare.img spare-size=
wrong 'size' spare=spare.img spare-size=99999999999999999999
wrong 'spare-offset=100: must be a multiple of 512' \
      spare=spare.img spare-offset=100
wrong 'size' spare=spare.img spare-offset=x
wrong 'spare-size=128T: must be at most 140737488354816 bytes' \
      spare=spare.img spare-size=128T
wrong 'spare-size=7E: must be at most' spare=spare.img spare-size=7E
wrong 'spare-offset=4611686018427388416: must be at most 4611686018427387904' \
      spare=spare.img spare-offset=4611686018427388416
wrong 'spare-offset=9223372036854775296: must be at most' \
      spare=spare.img spare-offset=9223372036854775296
wrong 'spare-create=maybe: must be a boolean' spare=spare.img spare-create=maybe
wrong 'spare-same-disk=2: must be a boolean' \
      spare=spare.img spare-same-disk=2
wrong 'remap-auto=auto: must be a boolean' spare=spare.img remap-auto=auto
wrong 'spare .*/nowhere/s: its directory does' spare=nowhere/s
wrong 'spare-create=no none is created' spare=spare.img spare-create=no
wrong 'main-vanish-max' spare=spare.img main-vanish-max=-1
wrong 'main-vanish-max=1001: must be at most 1000' \
      spare=spare.img main-vanish-max=1001
wrong 'remap-retries' spare=spare.img remap-retries=-1
wrong 'remap-retries' spare=spare.img remap-retries=many
wrong 'remap-retries' spare=spare.img remap-retries=4294967296
wrong 'remap-retries=1001: must be at most 1000' \
      spare=spare.img remap-retries=1001
wrong 'remap-retries=4294967295: must be at most 1000' \
      spare=spare.img remap-retries=4294967295
wrong "remap-lost=nothing: must be 'error' or 'zero'" \
      spare=spare.img remap-lost=nothing
wrong 'remap-label.*255' spare=spare.img \
      remap-label="$(printf '%0256d' 0)"
wrong 'remap-colour: .*no such parameter' spare=spare.img remap-colour=red
wrong 'spare-sise: .*no such parameter' spare=spare.img spare-sise=1G

# Suffixes, as everywhere in nbdkit, and sectors.
OPTIONS='' serve spare-size=4096s spare-offset=8s remap-retries=0 \
           remap-auto=on spare-create=true
assert_equal "$(stat -c %s spare.img)" $((4096 * 512 + 8 * 512)) "size"
stop_nbdkit disk

# The most that is allowed: each block is tried that often, and no more.
bad_sectors bad.txt 100
rm spare.img
OPTIONS='' serve remap-retries=1000
client <<'PY'
is_(outcome(read, 100), "EIO")
is_(len(failed("read")), 1001)
PY
