#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A disk that is moved to a copy while it is used: what is read is kept, what
# is written goes to the copy alone, main is never written, and all of it is
# there after an orderly end and after kill -9; and no other copy is taken for
# it (promises 25 to 28 and 32 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/remap.sh"
TRIAL='rescue-trial=yes'
requires_filter log

size=$((4 << 20))
make_main $size
bad_sectors bad.txt 4000+8

refused 'for trials only' rescue=copy.img
[ ! -e copy.img ] || fail "a copy was made"

# What reaches main is in below.log.
serve_copy ()
{
  BELOW=--filter=log serve logfile="$tmp/below.log" logappend=true \
    rescue=copy.img $TRIAL spare-size=1M remap-control="$tmp/ctl"
}
main_is_untouched ()
{
  cmp main.img orig.img || fail "main was written"
  assert_no_grep ' (Write|Zero|Trim) |Connect .* write=1' below.log
}

# expected.img: what the disk holds by now, but for what is bad.
cp orig.img expected.img
client_writes ()
{
  client <<'PY'
ones, twos = b"1" * 4096, b"2" * 700
with open("expected.img", "r+b") as f:
    for offset, data in (8192, ones), (100 * 512, b"3" * 512), (70001, twos):
        h.pwrite(data, offset)
        f.seek(offset)
        f.write(data)
    h.zero(65536, 1 << 20)
    f.seek(1 << 20)
    f.write(bytes(65536))
h.flush()
PY
}
reads_as_expected ()
{
  client <<'PY'
want = open("expected.img", "rb").read()
for offset in range(0, h.get_size(), 65536):
    if offset <= 4000 * 512 < offset + 65536:
        continue
    assert h.pread(65536, offset) == want[offset:offset + 65536], offset
PY
}

serve_copy
assert_equal "$(stat -c %s copy.img)" $size "size of the copy"
client_writes
reads_as_expected
main_is_untouched

# What was flushed is there after a crash; nothing of it is on main.
crash
serve_copy
reads_as_expected
main_is_untouched
# What was recorded as kept isn't read from main any more.
stop_nbdkit disk
: >ops.txt
serve_copy
reads_as_expected
assert_equal "$(wc -l <ops.txt)" 0 "requests to main"
stop_nbdkit disk
main_is_untouched
# Without the copy it isn't served, with another one neither, nor with a copy
# of it; and the spare is as it was.
refused 'were rescued to a copy of main, .*copy.img, .*rescue=PATH.*rescue abandon'
cp copy.img duplicate.img
refused 'copy .*duplicate.img: isn.t the one to which .* it has no stamp' \
  rescue=duplicate.img $TRIAL
truncate -s $size blank.img
refused 'copy .*blank.img: isn.t the one' rescue=blank.img $TRIAL
refused 'copy .*missing.img: isn.t there, and [0-9]+ sectors' \
  rescue=missing.img $TRIAL
[ ! -e missing.img ] || fail "a copy was made"

# A backup of the copy, with its stamp, or of the spare.
requires /usr/bin/python3 -c 'import os; os.setxattr("main.img", "user.x", b"")'
cp --preserve=all copy.img copy.old
cp spare.img spare.old
serve_copy
client <<<'h.pwrite(b"new" + bytes(509), 0); h.flush()'
stop_nbdkit disk
cp --preserve=all copy.img copy.new
cp spare.img spare.new
mv copy.old copy.img
refused 'copy .*copy.img: isn.t the one .*older copy' rescue=copy.img $TRIAL
mv copy.new copy.img
mv spare.old spare.img
refused 'older copy' rescue=copy.img $TRIAL spare-older=yes
mv spare.new spare.img
serve_copy
client <<<'assert h.pread(3, 0) == b"new"'
stop_nbdkit disk
main_is_untouched

# What isn't a copy yet must be empty, or its owner says that it may go.
refused_as_new ()
{
  SPARE=other.img refused "$@"
  [ ! -e other.img ] || fail "a spare was made"
}
refused_as_new 'is main itself' rescue=main.img $TRIAL
truncate -s 1M small.img
SPARE=other.img refused 'small.img: has 1048576 bytes, and main has 4194304' \
  rescue=small.img $TRIAL
rm -f other.img
refused_as_new 'duplicate.img: holds something.*rescue-overwrite=yes' \
  rescue=duplicate.img $TRIAL
refused_as_new 'is neither a regular file nor a block device' rescue=/dev/null $TRIAL
refused_as_new 'rescue-trim=never: must be zero or ignore' rescue-trim=never
truncate -s $size tail.img
printf x | dd of=tail.img bs=1 seek=$((size - 1)) conv=notrunc status=none
refused_as_new 'tail.img: holds something' rescue=tail.img $TRIAL
SPARE=second.img serve rescue=duplicate.img $TRIAL spare-size=1M rescue-overwrite=yes
# What it held before is never returned.
client <<<'assert h.pread(65536, 8192) == open("orig.img", "rb").read()[8192:8192 + 65536]'
# And no other server gets it.
cp orig.img main2.img
PLUGIN="file main2.img" SPARE=third.img refused \
  'copy .*duplicate.img: is in use by another' \
  rescue=duplicate.img $TRIAL rescue-overwrite=yes
