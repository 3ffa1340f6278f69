#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The baddisk filter's clock: what a drive would have taken, in its log.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"
requires_plugin memory
requires nbdsh --version

# run: Python from stdin, with a connection h; K is 1024.
run ()
{
  { echo 'K = 1024
def fails(f, *args):
    try:
        f(*args)
    except nbd.Error:
        return
    raise AssertionError("should have failed")'; cat; } |
    nbdsh -u "$uri" -c -
}

# serve ARG...: 64M; sectors 2048 and 2049 are bad.
bad_sectors bad.txt 2048+2
serve ()
{
  [ -z "${nbdkit_pids[disk]:-}" ] || stop_nbdkit disk
  rm -f ops.txt
  start_nbdkit disk --filter=baddisk memory 64M baddisk-list=bad.txt \
               baddisk-log=ops.txt "$@"
}

# totals REGEX: the end of the last line, after an orderly end.
totals ()
{
  stop_nbdkit disk
  cat ops.txt
  assert_grep "^totals .* $1\$" ops.txt
}

echo "== in a row: no access; 1 MiB is 8 times 128K"
serve baddisk-clock=on
run <<<'for i in range(8): h.pread(128 * K, i * 128 * K)'
totals "clock=0.001 seek=0.000 stream=0.001 fail=0.000 seeks=0"

echo "== to and fro: an access each; a short way ahead passes by"
serve baddisk-clock=on baddisk-stream=1
run <<'PY'
h.pread(128 * K, 0)             # 1 ms
h.pread(128 * K, 32768 * K)     # 9 + 1
h.pread(128 * K, 0)             # 9 + 1
h.pwrite(bytes(128 * K), 256 * K)       # 1 for what lies between, + 1
h.flush()
h.trim(128 * K, 32768 * K)
PY
totals "clock=0.023 seek=0.018 stream=0.005 fail=0.000 seeks=2"

echo "== failing: up to the bad sector, and on behind it"
serve baddisk-clock=on baddisk-stream=128 baddisk-delay=1000
run <<'PY'
h.pread(512 * K, 0)             # 512 ms
fails(h.pread, 1024 * K, 512 * K)       # 512 + 3000
fails(h.pread, 512, 1024 * K + 512)     # the next sector: 3000
h.pread(512 * K, 1025 * K)      # no way to go: 512
fails(h.pwrite, bytes(1024), 1024 * K)  # 1000 + 3000
PY
totals "clock=11.536 seek=1.000 stream=1.536 fail=9.000 seeks=1"
assert_grep "^read 524288 1048576 EIO 1 4.024$" ops.txt
assert_grep "^read 1049088 512 EIO 2 7.024$" ops.txt

echo "== without it, the log is as ever"
serve
run <<<'fails(h.pread, 512, 1024 * K)'
totals "failed_extents=0"
assert_grep "^read 1048576 512 EIO 1$" ops.txt
