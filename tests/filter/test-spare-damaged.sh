#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A damaged spare is refused with an error that says what is wrong and
# where, or opened with a warning where nothing is lost by that; it is never
# written to when it is refused, and never crashes the server (promises 15
# and 23 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 100+50 1000 2000+3
serve spare-size=8M
client <<'PY'
# Scattered, so that the log has several commits.
for s in list(range(100, 150, 2)) + [1000]:
    write(s, pattern(s))
is_(outcome(read, 2000), "EIO")
PY
crash
cp spare.img good.img

# Truncated: slots are missing, the log is, one header is, all is.
for size in 8388607 600000 60000 40000 20000 4096; do
  cp good.img spare.img
  truncate -s $size spare.img
  refused 'spare .*spare.img: .*(truncated|damaged|needs|beyond)'
done

flip ()
{
  /usr/bin/python3 - "$@" <<'PY'
import sys
with open("spare.img", "r+b") as f:
    for at in map(int, sys.argv[1:]):
        f.seek(at // 8)
        b = f.read(1)[0]
        f.seek(at // 8)
        f.write(bytes([b ^ (1 << at % 8)]))
PY
}

# Both headers.
cp good.img spare.img
flip $((100 * 8)) $(((8 * 4096 + 100) * 8))
refused 'spare.img: .*both headers.*damaged'

# One of them: a warning, and both are good again afterwards.
for page in 0 8; do
  cp good.img spare.img
  flip $(((page * 4096 + 50) * 8))
  rm -f disk.log
  serve
  assert_equal "$(grep -c 'warning: .*header' disk.log)" 1 "warnings"
  client <<<'is_(read(1000), pattern(1000))'
  crash
  rm disk.log
  serve
  assert_equal "$(grep -c 'warning: ' disk.log)" 1 "warnings"
  assert_grep 'warning: spare .* lies on the filesystem' disk.log
  stop_nbdkit disk
done

# A bit anywhere in the metadata.  What is behind the last commit isn't
# metadata; the last commit itself may be dropped, nothing else.
/usr/bin/python3 - >flips.txt <<'PY'
import random
random.seed(8)
data = open("good.img", "rb").read()
pages = [p for p in range(len(data) // 4096)
         if data[p * 4096:p * 4096 + 4] in (data[:4], data[16 * 4096:][:4])]
for p in pages[:1] + pages[1:][:60]:
    for _ in range(2 if p < 20 else 1):
        print(p, (p * 4096 + random.randrange(4096)) * 8 + random.randrange(8))
PY
refused=0 opened=0
while read -r page bit; do
  echo "== page $page, bit $bit"
  cp good.img spare.img
  flip "$bit"
  cp spare.img flipped.img
  rm -f disk.log
  if OPTIONS='' start_nbdkit_may_fail disk --filter=remap file main.img \
       spare=spare.img >/dev/null; then
    opened=$((opened + 1))
    URI=$uri client <<'PY'
states = [outcome(read, s) for s in [2000] + list(range(100, 150, 2)) + [1000]]
for s in list(range(100, 150, 2)) + [1000]:
    if read(s) != pattern(s):
        raise Exception("sector %d has lost its mapping" % s)
PY
    kill_nbdkit disk
  else
    refused=$((refused + 1))
    assert_grep 'error: remap: spare .*spare.img: .*[0-9]' disk.log
    assert_equal "$(grep -c error: disk.log)" 1 "messages"
    cmp spare.img flipped.img
  fi
done <flips.txt
echo "$refused refused, $opened opened"
[ "$refused" -gt 20 ] || fail "hardly any was refused"
[ "$opened" -gt 0 ] || fail "none was opened"
