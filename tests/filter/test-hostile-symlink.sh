#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A symbolic link in place of the spare.  Links are followed, since the names
# of devices that stay the same are links (/dev/disk/by-id/...), but nothing
# is created through one, and what is behind it gets what any spare gets:
# formatted only if it is blank, locked, never removed (promises 21 and 22 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((4 << 20))
bad_sectors bad.txt 5

# To nothing, in somebody else's directory.
mkdir elsewhere
ln -s "$tmp/elsewhere/victim" spare.img
refused 'spare .*spare.img: is a symbolic link to a file that does not exist'
[ ! -e elsewhere/victim ] || fail "a file was created through a link"
[ -L spare.img ] || fail "the link is gone"
refused 'spare.img: .*No such file' spare-create=no
ln -sf spare.img spare.img
refused 'spare.img: .*Too many levels'

# To something else: left alone.
random_file elsewhere/victim 4096
cksum elsewhere/victim >sum
ln -sf "$tmp/elsewhere/victim" spare.img
refused 'is neither blank nor a spare'
cksum elsewhere/victim | cmp - sum
ln -sf "$tmp/main.img" spare.img
refused 'is main itself'
ln -sf /dev/full spare.img
refused 'is neither a regular file nor a block device'

# To a blank file, made for it: a spare like any other.
rm elsewhere/victim
truncate -s 2M elsewhere/spare
ln -sf "$tmp/elsewhere/spare" spare.img
serve
client <<'PY'
write(5, pattern(5))
PY
SPARE=elsewhere/spare refused 'is in use by another server'

# Somebody turns the link while the server runs: it keeps what it has.
: >elsewhere/other
ln -sf "$tmp/elsewhere/other" spare.img
client <<'PY'
is_(read(5), pattern(5))
write(5, pattern(5, 2))
h.flush()
PY
stop_nbdkit disk
[ ! -s elsewhere/other ] || fail "the other file was written"
SPARE=elsewhere/spare serve
client <<'PY'
is_(read(5), pattern(5, 2))
PY
