#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A clock that goes back by years, between two servers and while one runs,
# changes nothing: the order of changes is that of the log, and waiting goes
# by a clock that isn't set (promises 1, 12 and 15 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_program faketime
! is_instrumented || skip "one LD_PRELOAD is enough"

# The library that the program loads.
library=$(faketime -f '@2030-01-01 00:00:00' sh -c 'echo "$LD_PRELOAD"')
[ -n "$library" ] || skip "faketime doesn't say what it loads"

# Of all that this starts only the server, by a file that says the time.
serve_at ()
{
  echo "$1" >clock.new
  mv clock.new clock
  FAKETIME_TIMESTAMP_FILE=$tmp/clock FAKETIME_NO_CACHE=1 \
    FAKETIME_DONT_FAKE_MONOTONIC=1 LD_PRELOAD=$library \
    serve baddisk-gone=gone
}

make_main $((4 << 20))
bad_sectors bad.txt 10 11 12 20+10
serve_at '@2038-06-01 00:00:00'
client <<'PY'
write(10, pattern(10))
is_(outcome(read, 20), "EIO")
PY
crash

# The next one lives ten years earlier.
serve_at '@2028-06-01 00:00:00'
client <<'PY'
is_(read(10), pattern(10))
is_(outcome(read, 20), "EIO")
write(10, pattern(10, 2))
write(11, pattern(11))
write(20, pattern(20))
PY

# And now time runs backwards while it is working.
bad_sectors bad.txt 10 11 12 20+10 100+200
for year in 2027 2020 2011 1999 1971; do
  echo "@$year-01-01 00:00:00" >clock.new
  mv clock.new clock
  client <<PY
s = 100 + $year % 100
write(s, pattern(s))
is_(read(s), pattern(s))
h.flush()
PY
done

# The disk goes away, and is missed for no longer than it is gone.
touch gone
client <<'PY'
is_(outcome(read, 3000), "ESHUTDOWN")
is_(read(10), pattern(10, 2))
PY
echo '@1970-01-02 00:00:00' >clock.new
mv clock.new clock
rm gone
client <<'PY'
eventually(lambda: outcome(read, 3000) == "ok", "main is back")
is_(read(3000), orig(3000))
h.flush()
PY
stop_nbdkit disk
assert_grep 'main is lost' disk.log
assert_grep 'main is back' disk.log

# All of it in the order in which it happened.
rm clock
serve
client <<'PY'
is_(read(10, 2), pattern(10, 2) + pattern(11))
is_(read(20), pattern(20))
for year in (2027, 2020, 2011, 1999, 1971):
    s = 100 + year % 100
    is_(read(s), pattern(s))
PY
