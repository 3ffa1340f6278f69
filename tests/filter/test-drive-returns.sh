#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A drive that drops off its bus and comes back: clients of all kinds wait for
# it, and end with what they would have had without that (promise 12 of
# remap-promises(7)); also below a filter that lets one client in; and a server
# that is stopped doesn't wait.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires_program nbdcopy qemu-io

make_main 16777216

has_lost_main ()
{
  grep -q 'main is lost' disk.log
}

# through_a_drop COMMAND [ARG...]: the drive is away when it begins, and comes
# back when the filter has noticed that, and looked for it in vain.
through_a_drop ()
{
  local status=0 job

  echo "==== $1"
  : >disk.log
  : >gone
  "$@" &
  job=$!
  eventually has_lost_main || fail "nothing notices that main is gone"
  sleep 2
  rm gone
  wait "$job" || status=$?
  [ "$status" -eq 0 ] || fail "$1: status $status"
  assert_grep 'main is back' disk.log
}

for errno in ENODEV EIO; do
  rm -f spare.img
  cp orig.img main.img
  serve baddisk-gone=gone baddisk-gone-errno=$errno main-lost-wait=600
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

if command -v ddrescue >/dev/null && [ -e /dev/fuse ]; then
  mkdir fuse
  nbdfuse fuse/disk "$disk_uri" &
  fuse=$!
  await_fuse fuse/disk "$fuse"
  end_fuse ()
  {
    [ -z "$fuse" ] || end_fuse_mount fuse "$fuse"
    fuse=
  }
  cleanup_fn end_fuse
  nbdcopy "$disk_uri" wanted.img
  # Each of its errors would be a bad area.
  through_a_drop ddrescue -q -d fuse/disk rescued.img rescue.map
  cmp rescued.img wanted.img
  assert_no_grep '-$' rescue.map
  end_fuse
fi

# No second connection is to be had, to see how large main is.
rm -f spare.img
cp orig.img main.img
BELOW=--filter=limit serve limit=1 baddisk-gone=gone main-lost-wait=600
through_a_drop nbdcopy --connections=1 "$disk_uri" copy.img
cmp copy.img orig.img

# A server that ends doesn't wait for the drive.  (nbdkit ends with a client
# connected here, and frees nothing of that: no test for a leak checker.)
serve baddisk-gone=gone main-lost-wait=86400
: >disk.log
: >gone
client <<'PY' 2>client.out &
read(0)
PY
job=$!
eventually has_lost_main || fail "nothing notices that main is gone"
stop_nbdkit disk
wait "$job" && fail "the client should have failed"
cat client.out
rm gone
