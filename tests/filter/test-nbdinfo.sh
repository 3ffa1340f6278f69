#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# nbdinfo: what a client is told of the export (promise 19 of
# remap-promises(7)), and that any export name is the disk.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program nbdinfo

make_main $((8 << 20))
bad_sectors bad.txt 5
serve
nbdinfo --json "$uri" >info.json
cat info.json
/usr/bin/python3 - <<'PY'
import json
e = json.load(open("info.json"))["exports"][0]
wanted = {
    "export-size": 8 << 20, "is_rotational": False, "is_read_only": False,
    "can_cache": True, "can_flush": True,
    "can_fua": True, "can_multi_conn": True, "can_trim": True,
    "can_zero": True, "block_size_minimum": 1,
}
for key in wanted:
    assert e[key] == wanted[key], (key, e[key])
assert e["block_size_preferred"] >= 512, e
PY
assert_equal "$(nbdinfo --size "$uri")" $((8 << 20)) "size"

# All names are one disk.
for name in '' a other/name; do
  URI="nbd+unix:///$name?socket=$sock" client <<PY
if "$name" == "":
    write(5, pattern(5))
is_(read(5), pattern(5))
PY
done
assert_equal "$(nbdinfo --list --json "$uri" | grep -c '"export-name"')" 1 \
             "exports"
nbdinfo --list --json "$uri" | grep -q '"export-name": ""' ||
  fail "the export's name isn't empty"

# Several connections are safe only if main says so.
if "$REMAP_NBDKIT" --filter=multi-conn null --dump-plugin >/dev/null 2>&1; then
  BELOW=--filter=multi-conn serve multi-conn-mode=disable
  nbdinfo --json "$uri" >info.json
  assert_grep '"can_multi_conn": false' info.json
fi

# A read-only export can't be written, but flushed.
OPTIONS=-r serve
nbdinfo --json "$uri" >info.json
assert_grep '"is_read_only": true' info.json
assert_grep '"can_flush": true' info.json
