#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Plugins that aren't fully parallel: what operators ask for keeps to their
# rules beside clients' requests (promise 19 of remap-promises(7)).  The
# plugin notes each call's begin and end; no two may overlap that must not.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_plugin sh
requires_filter noparallel

make_main $((2 << 20))
# A sanitizer's library is for nbdkit alone.
cat >main.sh <<'SH'
#!/usr/bin/env -S -u LD_PRELOAD bash
# Handles are numbered; calls.txt has a line at the begin and the end of
# each call.  Appending a line is atomic.
case $1 in
  thread_model) cat model; exit ;;
  get_size) stat -c %s main.img; exit ;;
  can_write | can_flush) exit 0 ;;
  can_fua | can_cache) echo none; exit ;;
  can_* | is_*) exit 3 ;;
  open | close | pread | pwrite | flush) ;;
  *) exit 2 ;;
esac
if [ "$1" = open ]; then handle=$$; else handle=$2; fi
echo "begin $$ $1 $handle" >>calls.txt
case $1 in
  open) echo $$ ;;
  pread) dd iflag=skip_bytes,count_bytes if=main.img skip="$4" count="$3" ;;
  pwrite) dd oflag=seek_bytes conv=notrunc of=main.img seek="$4" ;;
esac 2>/dev/null
sleep 0.002
echo "end $$ $1 $handle" >>calls.txt
SH
chmod +x main.sh

# check OVERLAP: which calls may run at the same time as which others?
check ()
{
  /usr/bin/python3 - "$1" <<'PY'
import sys
running, handles, seen = {}, set(), 0
for line in open("calls.txt"):
    what, pid, call, handle = line.split()
    if what == "end":
        del running[pid]
        if call == "close":
            handles.discard(handle)
        continue
    seen += 1
    for other_call, other in running.values():
        if sys.argv[1] == "all" and call not in ("open", "close") and \
           other_call not in ("open", "close"):
            sys.exit("%s and %s overlap" % (call, other_call))
        if other == handle:
            sys.exit("%s and %s overlap on one handle" % (call, other_call))
    running[pid] = (call, handle)
    if call == "open":
        handles.add(handle)
        if sys.argv[1] == "connections" and len(handles) > 1:
            sys.exit("%d connections at once" % len(handles))
assert not running, running
print(seen, "calls,", len(handles), "handles left open")
assert seen > 10 and not handles, (seen, handles)
PY
}

# Clients and operators at the same time.
cat >both.py <<'PY'
errors = []
def client(n):
    try:
        c = connect()
        for i in range(12):
            s = 1000 * n + 8 * i
            c.pwrite(pattern(s, 2, 8), s * 512)
            is_(bytes(c.pread(4096, s * 512)), pattern(s, 2, 8), s)
        c.shutdown()
    except BaseException as e:
        errors.append(e)
def operator(n):
    try:
        for i in range(6):
            s = 1000 * n + 500 + 8 * i
            does("remap %d 8" % s, done=8)
            does("verify %d 8" % (1000 * n + 8 * i), bad=0)
            does("unmap %d 2" % s, done=2)
            does("sync")
    except BaseException as e:
        errors.append(e)
threads = [threading.Thread(target=f, args=(n,))
           for n in range(3) for f in (client, operator)]
for t in threads:
    t.start()
for t in threads:
    t.join()
assert not errors, errors
for n in range(3):
    is_(read(1000 * n + 500, 48), orig(1000 * n + 500, 48))
h.shutdown()
PY
for model in serialize_all_requests serialize_requests parallel; do
  echo "==== $model"
  cp orig.img main.img
  rm -f spare.img calls.txt
  echo "$model" >model
  start_nbdkit "$model" --threads=8 --filter=remap sh main.sh \
               spare=spare.img remap-control=ctl.sock
  URI=$uri client <both.py
  stop_nbdkit "$model"
  case $model in
    serialize_all_requests) check all ;;
    serialize_requests) check handles ;;
  esac
done

# A parallel plugin, of which the filter is told that it isn't.
cp orig.img main.img
rm -f spare.img calls.txt
start_nbdkit noparallel --threads=8 --filter=noparallel --filter=remap \
             sh main.sh spare=spare.img remap-control=ctl.sock \
             serialize=all-requests
URI=$uri client <both.py
stop_nbdkit noparallel
check all

# One connection at a time: operators get it as long as no client has it,
# and a client that comes needn't wait for an operator to finish.
echo ==== serialize_connections
cp orig.img main.img
rm -f spare.img calls.txt
echo serialize_connections >model
start_nbdkit connections --filter=remap sh main.sh spare=spare.img \
             remap-control=ctl.sock
export URI=$uri
cat >alone.py <<PY
$(cat "$abs_top_srcdir/tests/filter/client.py")
PY
{ cat alone.py
  cat <<'PY'
does("remap 100 4", done=4)
does("unmap 100 2", done=2)
does("retry", done=0)
does("import lost 200 4", done=4)
PY
} | /usr/bin/python3 -
client <<'PY'
for request in ("remap 300", "verify 300", "unmap 102", "retry", "sync",
                "import remap 300"):
    refuses(request, "a client is connected, and the plugin serves one")
# What needs no main is done.
does("import lost 300 2", done=2)
does("forget-lost 300 2", done=2)
is_(len(table()), 3)
is_(read(102), orig(102))
h.shutdown()
PY
{ cat alone.py
  cat <<'PY'
import nbd
# Verified by pieces; a client comes, and the rest isn't.
c = Control()
c.send("verify 0 4096")
c2 = nbd.NBD()
c2.connect_uri(os.environ["URI"])
is_(bytes(c2.pread(512, 0)), raw(0))
r = c.receive()
if not r["ok"]:
    assert "a client connects" in r["error"], r
    assert r["checked"] < 4096, r
print(r)
c2.shutdown()
def is_verified():
    r = control("verify 0 8")
    return r["ok"] and r["checked"] == 8
eventually(is_verified, "the client has gone")
PY
} | /usr/bin/python3 -
stop_nbdkit connections
check connections
