#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The control socket of a read-only server (-r, remap-lost=zero, a plugin
# that can't write): main is never written nor opened for that, but what is
# asked of the spare is done (promise 7 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 100
main_is_writable ()
{
  local fd flags
  for fd in /proc/"$pid"/fd/*; do
    [ "$(readlink "$fd")" = "$tmp/main.img" ] || continue
    flags=$(sed -n 's/^flags:\t*//p' "/proc/$pid/fdinfo/${fd##*/}")
    [ $((0$flags & 3)) -eq 0 ] || return 0
  done
  return 1
}

# Without any client, and with one.
for OPTIONS in -r --readonly -fr '--threads=4 -r'; do
  rm -f spare.img
  serve remap-control=ctl.sock
  /usr/bin/python3 - <<PY
$(cat "$abs_top_srcdir/tests/filter/client.py")
does("remap 99 3", done=3, lost=1)
does("verify 0 16384", checked=16384, bad=1)
does("retry", done=0, bad=1)
refuses("unmap 99", "the server is read-only: main is never written")
does("status", read_only=True)
does("sync")
does("forget-lost 100", done=1)
refuses("unmap 99 3", "the server is read-only")
does("import lost 200 5", done=5)
PY
  is_instrumented || ! main_is_writable || fail "main is open for writing"
  client <<'PY'
is_(h.is_read_only(), True)
refuses("unmap 99 3", "the server is read-only")
is_(read(99, 3), orig(99) + bytes(512) + orig(101))
PY
  stop_nbdkit disk
  cmp main.img orig.img
done

OPTIONS=
serve remap-control=ctl.sock remap-lost=zero
client <<'PY'
refuses("unmap 99 3", "remap-lost=zero makes the server read-only")
does("remap 10 2", done=2)
does("verify 200 5", bad=5)
PY
is_instrumented || ! main_is_writable || fail "main is open for writing"
stop_nbdkit disk
cmp main.img orig.img

# A plugin that can't write.
requires_plugin sh
# A sanitizer's library is for nbdkit alone.
cat >main.sh <<'SH'
#!/usr/bin/env -S -u LD_PRELOAD bash
case $1 in
  pread) dd iflag=skip_bytes,count_bytes if=main.img skip=$4 count=$3 ;;
  get_size) stat -c %s main.img ;;
  thread_model) echo parallel ;;
  *) exit 2 ;;
esac
SH
chmod +x main.sh
start_nbdkit sh --filter=remap sh main.sh spare=spare.img \
             remap-control=ctl.sock
/usr/bin/python3 - <<PY
$(cat "$abs_top_srcdir/tests/filter/client.py")
does("status", read_only=True)
does("remap 20 2", done=2)
refuses("unmap 20 2", "the plugin can't write to main")
PY
stop_nbdkit sh
cmp main.img orig.img
assert_grep "warning: main can't be written" sh.log

# A writable one gives back without any client having been there.
serve remap-control=ctl.sock
/usr/bin/python3 - <<PY
$(cat "$abs_top_srcdir/tests/filter/client.py")
does("status", read_only=False)
does("unmap 20 2", done=2)
PY
stop_nbdkit disk
cmp main.img orig.img
