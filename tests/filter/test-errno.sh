#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What errors of main become: media errors change states and reach the
# client as EIO, others are passed on and change nothing; no error turns
# into EINVAL on its way (promises 10 and 11 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_filter error

make_main $((8 << 20))

# reads_as ERRNO WANTED: what a client gets for reading a bad sector, for
# writing it, and for reading it once the disk is well again.
reads_as ()
{
  rm -f spare.img ops.txt
  bad_sectors bad.txt 100
  serve baddisk-errno="$1"
  W="$2" client <<'PY'
r, w, again = os.environ["W"].split()
is_(outcome(read, 100), r, "read")
is_(outcome(read, 100), r, "read again")
is_(outcome(read, 99), "ok")
os.truncate("bad.txt", 0)
is_(outcome(read, 100), again, "read of a good disk")
PY
  bad_sectors bad.txt 200
  W="$2" client <<'PY'
r, w, again = os.environ["W"].split()
is_(outcome(write, 200, orig(200)), w, "write")
PY
  stop_nbdkit disk
}

for error in EIO ENODATA EILSEQ EREMOTEIO ETIMEDOUT; do
  echo "==== $error"
  reads_as $error 'EIO ok EIO'
done
for error in ENOSPC EPERM ENOMEM EINVAL ESHUTDOWN; do
  echo "==== $error"
  reads_as $error "$error $error ok"
done
for error in EUCLEAN EBUSY EBADF 4095; do
  echo "==== $error"
  reads_as $error 'EIO EIO ok'
done
cmp main.img orig.img

# A trim that main refuses.
echo ==== trim
for error in ENOSPC EPERM; do
  rm -f spare.img
  start_nbdkit trim --filter=remap --filter=error memory 1M spare=spare.img \
               error-trim=$error error-trim-rate=100%
  W=$error URI=$uri client <<'PY'
is_(outcome(h.trim, 4096, 0), os.environ["W"], "trim")
PY
  stop_nbdkit trim
done
