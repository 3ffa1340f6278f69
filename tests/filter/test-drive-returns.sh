#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A drive that drops off its bus and comes back: clients of all kinds wait for
# it, and end with what they would have had without that (promise 12 of
# remap-promises(7)); also below a filter that lets one client in; and a server
# that is stopped doesn't wait.  If main held what was acknowledged and not
# flushed, the next FLUSH says so (promise 14).
#
# REMAP_DROP_SECONDS=20: so long, see remap.sh.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires_program nbdcopy qemu-io

make_main 16777216

for errno in ENODEV EIO; do
  rm -f spare.img
  cp orig.img main.img
  serve baddisk-gone=gone baddisk-gone-errno=$errno "$lost_wait"
  through_a_drop nbdcopy "$disk_uri" copy.img
  cmp copy.img orig.img
  through_a_drop qemu-io -f raw -c 'write -P 7 1M 4M' -c 'read -P 7 1M 4M' \
                 -c flush "$disk_uri" >qemu.out
  cat qemu.out
  assert_no_grep 'failed' qemu.out
  client <<'PY'
is_(h.pread(4 << 20, 1 << 20), bytes([7]) * (4 << 20))
is_(outcome(h.flush), "ok")
PY
  assert_no_grep 'LOST' disk.log
done

# In the middle of something: every request takes 20 ms.
echo "0 16777216 -" >slow.txt
tr '\0-\377' '\1-\377\0' <orig.img >other.img
serve_slowly ()
{
  rm -f spare.img
  cp orig.img main.img
  BELOW="--filter=log" serve logfile=below.log baddisk-slow=slow.txt,20 \
                       baddisk-gone=gone "$lost_wait"
}
serve_slowly
slowly=(--connections=1 --requests=2)
through_a_drop --midway nbdcopy "${slowly[@]}" "$disk_uri" copy.img
cmp copy.img orig.img
# Nothing of it is flushed, and what was in flight is written again.
through_a_drop --midway nbdcopy "${slowly[@]}" other.img "$disk_uri"
cmp main.img other.img
serve_slowly
if through_a_drop --midway nbdcopy "${slowly[@]}" --flush other.img \
                  "$disk_uri" 2>nbdcopy.err; then
  fail "the flush must fail: the drive may have lost what it had acknowledged"
fi
cat nbdcopy.err
assert_grep 'flush' nbdcopy.err
nbdcopy --flush other.img "$disk_uri"
cmp main.img other.img
assert_no_grep 'LOST|sectors remapped' disk.log

if command -v ddrescue >/dev/null && [ -e /dev/fuse ]; then
  serve_slowly
  mkdir fuse
  nbdfuse fuse/disk "$disk_uri" &
  fuse=$!
  await_fuse fuse/disk "$fuse"
  cleanup_fn detach
  for midway in '' --midway; do
    rm -f rescued.img rescue.map
    # Each of its errors would be a bad area.
    # shellcheck disable=SC2086
    through_a_drop $midway ddrescue -q -d -c 512 fuse/disk rescued.img \
                   rescue.map
    cmp rescued.img orig.img
    assert_no_grep '-$' rescue.map
  done
  detach
fi

# No second connection is to be had, to see how large main is.
rm -f spare.img
cp orig.img main.img
BELOW=--filter=limit serve limit=1 baddisk-gone=gone "$lost_wait"
through_a_drop nbdcopy --connections=1 "$disk_uri" copy.img
cmp copy.img orig.img

# A server that ends doesn't wait for the drive.  (nbdkit ends with a client
# connected here, and frees nothing of that: no test for a leak checker.)
serve baddisk-gone=gone main-lost-wait=86400
drive_goes
client <<'PY' 2>client.out &
read(0)
PY
job=$!
eventually has_lost_main || fail "nothing notices that main is gone"
stop_nbdkit disk
wait "$job" && fail "the client should have failed"
cat client.out
rm gone
