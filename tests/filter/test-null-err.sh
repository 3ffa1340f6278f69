#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A filter above passes NULL where an error is to be stored: nbdkit's scan
# and readahead filters do when they prefetch, on bad sectors as well, and
# null-err.c does in every call.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

null_err=$abs_top_builddir/tests/.libs/null-err.so
make_main $((2 << 20))

# over ABOVE: the three layers that are tried, each in a server of its own
# with the filter ABOVE and a client that gets Python from stdin.
over ()
{
  local filters python spare
  python=$(cat)
  for filters in --filter=baddisk "--filter=remap --filter=baddisk"; do
    echo "== $1 over $filters"
    rm -f spare.img over.log
    spare=()
    [[ "$filters" != *remap* ]] || spare=(spare=spare.img)
    cp orig.img main.img
    # Several words.
    # shellcheck disable=SC2086
    start_nbdkit over -v --filter="$1" $filters file main.img \
                 "${spare[@]}" baddisk-list=bad.txt
    URI=$uri client <<<"$python"
    stop_nbdkit over
  done
}

echo "==== every callback, on good sectors"
bad_sectors bad.txt 1000 2000
over "$null_err" <<'PY'
is_(read(0, 100), orig(0, 100))
write(100, pattern(100, 1, 8))
h.flush()
h.zero(4096, 102400)
h.trim(4096, 204800)
h.cache(65536, 0)
is_(read(100, 8), pattern(100, 1, 8))
subprocess.run(["nbdinfo", "--map", h.get_uri()], check=True,
               stdout=subprocess.DEVNULL)
PY

echo "==== a cache that can't be filled"
over "$null_err" <<'PY'
h.cache(1048576, 0)
is_(read(0, 100), orig(0, 100))
PY

for above in scan readahead; do
  if nbdkit --filter="$above" null --dump-plugin >/dev/null 2>&1; then
    echo "==== $above"
    over $above <<'PY'
for s in range(0, 960, 32):
    is_(read(s, 32), orig(s, 32))
# What is prefetched has bad sectors, and that happens in the background.
eventually(lambda: "baddisk: cache " in open("over.log").read(), "a prefetch")
is_(outcome(read, 1000), "EIO")
for s in range(1008, 4080, 32):
    outcome(read, s, 32)
is_(read(4000, 8), orig(4000, 8))
PY
  fi
done
