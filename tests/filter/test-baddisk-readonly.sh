#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The baddisk filter's disk that turns read-only: when, and what fails then.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((1 << 20))
bad_sectors bad.txt 100

# turning ARG...: main.img, with one bad sector.
turning ()
{
  [ -z "${nbdkit_pids[disk]:-}" ] || stop_nbdkit disk
  rm -f ops.txt
  start_nbdkit disk --filter=baddisk file main.img baddisk-list=bad.txt \
               baddisk-log=ops.txt "$@"
  disk_uri=$uri
}

everything='
def writing():
    return [outcome(write, 0, pattern(0)), outcome(h.zero, 512, 0),
            outcome(h.trim, 512, 0)]
def others():
    return [outcome(read, 0), outcome(read, 100), outcome(h.flush),
            outcome(h.cache, 512, 0)]
'

for error in EROFS:EPERM EPERM:EPERM EOPNOTSUPP:EINVAL ENOSPC:ENOSPC; do
  echo "== while a file exists: ${error%:*}"
  turning baddisk-readonly=readonly baddisk-readonly-errno=${error%:*}
  client <<PY
$everything
is_(writing(), ["ok"] * 3)
open("readonly", "w").close()
is_(writing(), ["${error#*:}"] * 3)
is_(outcome(write, 100, pattern(100)), "${error#*:}")
is_(others(), ["ok", "EIO", "ok", "ok"])
is_(raw(0), bytes(512))
os.unlink("readonly")
is_(writing(), ["ok"] * 3)
is_(outcome(write, 100, pattern(100)), "EIO")
PY
  name=${error%:*}
  assert_grep "^write 0 512 $name 0\$" ops.txt
  # See nbdkit-baddisk-filter(1) about zeroes and EOPNOTSUPP.
  assert_grep "^zero 0 512 (${name/EOPNOTSUPP/EINVAL}) 0\$" ops.txt
  assert_grep "^trim 0 512 $name 0\$" ops.txt
done

echo "== after a number of writes, of which some fail; EROFS by default"
turning baddisk-readonly-after=4
client <<PY
$everything
is_(others(), ["ok", "EIO", "ok", "ok"])
is_(outcome(write, 100, pattern(100)), "EIO")
is_(writing(), ["ok"] * 3)
is_(writing(), ["EPERM"] * 3)
is_(others(), ["ok", "EIO", "ok", "ok"])
is_(writing(), ["EPERM"] * 3)
PY
assert_equal "$(grep -c EROFS ops.txt)" 6 "refused"

echo "== from the beginning; a disk that is gone doesn't count"
turning baddisk-readonly-after=0 baddisk-readonly-errno=ENOSPC
client <<PY
$everything
is_(writing(), ["ENOSPC"] * 3)
is_(others(), ["ok", "EIO", "ok", "ok"])
PY
turning baddisk-readonly-after=1 baddisk-gone=gone
client <<PY
open("gone", "w").close()
is_(outcome(write, 1, pattern(1)), "EINVAL")
os.unlink("gone")
is_(outcome(write, 1, pattern(1)), "ok")
is_(outcome(write, 1, pattern(1)), "EPERM")
PY

echo "== exactly so many, however many write at once"
turning baddisk-readonly-after=100
client <<'PY'
results = at_depth(16, range(300), lambda c, s, done: c.aio_pwrite(
    nbd.Buffer.from_bytearray(bytearray(512)), (200 + s) * 512,
    completion=done))
is_(sorted(results.values()), [0] * 100 + [errno.EPERM] * 200)
PY

echo "== wrong values"
for p in readonly= readonly-after=-1 readonly-after=x readonly-errno=0 \
         readonly-errno=EWHAT; do
  expect_failure nbdkit -U "$tmp/wrong.sock" --filter=baddisk memory 32k \
                 "baddisk-$p" --run true
  assert_grep "baddisk-${p%%=*}" expect.out
  assert_equal "$(grep -c 'error:' expect.out)" 1 "messages of $p"
done
