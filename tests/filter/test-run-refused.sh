#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# nbdkit --run: what is refused only after the server was forked ends the
# wait of its client, too.  nbdkit's parent, which runs the client, holds the
# sockets and never accepts (promise 23 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires_plugin sh
requires_filter truncate
requires_program nbdinfo

make_main $((8 << 20))
serve
stop_nbdkit disk
cp spare.img good.img

# The plugin tells main's size as soon as the file `connected' is there.
cat >main.sh <<'SH'
#!/usr/bin/env -S -u LD_PRELOAD bash
case $1 in
  get_size)
    for ((i = 0; i < 6000; i++)); do
      [ ! -e connected ] || break
      sleep 0.05
    done
    echo 4M ;;
  pread) head -c "$3" /dev/zero ;;
  thread_model) echo parallel ;;
  *) exit 2 ;;
esac
SH
chmod +x main.sh

# How a client's connection ends.
cat >client-waits.py <<'PY'
import os, socket, sys, time
path = sys.argv[1]
def connect():
    s = socket.socket(socket.AF_UNIX)
    s.settimeout(300)
    try:
        s.connect(path)
        return s
    except ConnectionRefusedError:
        return None
first = connect()
open("connected", "w").close()
try:
    # Maybe a greeting; but it isn't served.
    while first and first.recv(4096):
        pass
except ConnectionResetError:
    pass
print("the first one was told")
for i in range(6000):
    s = connect()
    if s is None:
        break
    s.close()
    time.sleep(0.05)
assert s is None
print("others are refused")
sys.exit(3)
PY

# run_refused REGEX ARG...: --run with a server that refuses to start.
run_refused ()
{
  local regex=$1 status=0
  shift
  rm -f connected run.sock
  timeout 500 nbdkit -U "$tmp/run.sock" "$@" \
          --run "exec env -u LD_PRELOAD /usr/bin/python3 client-waits.py \
                 $tmp/run.sock" </dev/null >run.out 2>&1 || status=$?
  cat run.out
  assert_grep "$regex" run.out
  assert_grep "the first one was told" run.out
  assert_grep "others are refused" run.out
  assert_equal "$status" 3 "the client's status"
  [ ! -e "$tmp/ctl.sock" ] || fail "the control socket is left"
}

# Main has another size; main is empty; a new spare finds no room.
run_refused 'belongs to a disk of 8388608 bytes, but main has 4194304' \
            --filter=remap sh main.sh spare=spare.img
run_refused 'belongs to a disk of 8388608 bytes, but main has 4194304' \
            --filter=remap sh main.sh spare=spare.img \
            remap-control="$tmp/ctl.sock"
run_refused 'main has a size of 0 bytes' \
            --filter=remap --filter=truncate sh main.sh spare=spare.img \
            truncate=0
cmp spare.img good.img
# Main can't be looked at.
sed -i 's/echo 4M/echo a broken disk >\&2; exit 1/' main.sh
run_refused 'a broken disk' --filter=remap sh main.sh spare=spare.img
cmp spare.img good.img

# A server that isn't refused is served, and an abbreviated option is known.
nbdkit -U - --filter=remap file main.img spare=spare.img \
       --ru='nbdinfo --size "$uri"' >run.out
assert_equal "$(cat run.out)" $((8 << 20)) "main's size"
