#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Block status of a disk with many islands of data, in which there are 100,000
# remapped sectors: the layer below is asked as often as it is without the
# filter, or half as often again at most (promise 1 of remap-promises(7) says
# what the answers are).  Clients of both kinds: one asks for one extent at a
# time, as qemu-img does, the other for all that there are.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_filter extentlist
requires_filter stats

size=$((2 << 30)) mapped=100000
"$abs_top_builddir/tests/bench-spare" make spare.img "$size" "$mapped" 1

# plain or filtered: a server over the disk of islands.txt.
plain ()
{
  start_nbdkit disk --filter=stats --filter=extentlist memory "$size" \
               statsfile=stats.txt extentlist=islands.txt
}
filtered ()
{
  start_nbdkit disk --filter=remap --filter=stats --filter=extentlist \
               memory "$size" statsfile=stats.txt extentlist=islands.txt \
               spare=spare.img remap-control=ctl.sock
}

# calls SERVER ONE UPTO: asks for block status as far as UPTO; sets calls.
calls ()
{
  "$1"
  ONE=$2 UPTO=$3 URI=$uri client <<'PY'
c = nbd.NBD()
c.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
c.connect_uri(os.environ["URI"])
flags = nbd.CMD_FLAG_REQ_ONE if os.environ["ONE"] == "yes" else 0
# qemu-img asks about 1 GiB; less, as the list of islands is gone through.
most = 16 << 20 if flags else (4 << 30) - 4096
at = requests = extents = data = 0
while at < int(os.environ["UPTO"]):
    got = []
    c.block_status(min(most, c.get_size() - at), at,
                   lambda context, offset, entries, err: got.extend(entries),
                   flags)
    requests += 1
    extents += len(got) // 2
    data += sum(n for n, kind in zip(got[::2], got[1::2]) if kind == 0)
    at += sum(got[::2])
print("%d requests, %d extents, %d bytes of data" % (requests, extents, data))
PY
  stop_nbdkit disk
  calls=$(sed -n 's/^extents: \([0-9]*\) ops.*/\1/p' stats.txt)
}

echo "0 $size" >islands.txt
filtered
URI=$uri client <<'PY'
with open("mapped.txt", "w") as f:
    for start, n, state, slot, why in table():
        for s in range(start, start + n):
            print(s, file=f)
PY
stop_nbdkit disk
assert_equal "$(wc -l <mapped.txt)" "$mapped" "remapped sectors"

for islands in 4000 100000; do
  # Each island reaches from the page of its first remapped sector to its last.
  awk -v each=$((mapped / islands)) -v size="$size" '
    BEGIN { end = 0 }
    NR % each == 1 || each == 1 { start = ($1 - $1 % 8) * 512 }
    NR % each == 0 {
      if (start > end) print end, start - end, "hole,zero"
      else start = end
      end = ($1 + 1) * 512
      print start, end - start, ""
    }
    END { if (size > end) print end, size - end, "hole,zero" }
  ' mapped.txt >islands.txt
  for one in yes no; do
    upto=$size
    # As many as it takes to see what each costs.
    [ "$islands/$one" != 100000/yes ] || upto=$((size / 20))
    calls plain $one $upto
    wanted=$calls
    calls filtered $one $upto
    echo "$islands islands, one extent at a time: $one: $wanted calls, " \
         "$calls with the filter"
    [ "$((calls * 2))" -le "$((wanted * 3))" ] ||
      fail "more than 1.5 times as many calls"
  done
done
