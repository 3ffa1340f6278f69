#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Long requests: others are served meanwhile, even if there are many; they
# end soon when their peer hangs up and when the server ends, and what was
# done by then is kept.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version
requires_filter delay

# A disk that takes its time: 50 ms for each read.
make_main $((64 << 20))
start_slow ()
{
  start_nbdkit slow --filter=remap --filter=delay file main.img \
               spare=spare.img remap-control=ctl.sock delay-read=50ms
  export URI=$uri
}
start_slow
client <<'PY'
# 256 pieces of 50 ms each, 30 times; that is more than run at once.
long = [Control() for i in range(30)]
for c in long:
    c.send("verify 0 131072")
for i in range(5):
    does("status")
    does("table")
    is_(read(0), orig(0))
# Who hangs up is forgotten: soon there is room for another one.
for c in long:
    c.close()
does("verify 0 8", checked=8)
does("remap 1000 4", done=4)
PY

# The server ends, and says so.
cat >wait.py <<PY
$(cat "$abs_top_srcdir/tests/filter/client.py")
PY
cat >>wait.py <<'PY'
first = Control()
first.send("remap 2000 100000")
others = [Control() for i in range(20)]
for c in others:
    c.send("verify 0 131072")
while does("status")["manual_remaps"] < 4 + 256:
    time.sleep(0.02)
open("started", "w").close()
for c in others + [first]:
    r = c.receive()
    if r is None:               # it hadn't begun
        continue
    is_(r["ok"], False)
    assert "stopped" in r["error"], r
    is_(c.receive(), None)
done = r["done"]
assert 256 <= done < 100000, done
with open("done", "w") as f:
    f.write(str(done))
PY
/usr/bin/python3 wait.py &
peers=$!
is_started ()
{
  [ -e started ] || has_ended "$peers"
}
eventually is_started || fail "not so many are remapped"
stop_nbdkit slow
wait "$peers" || fail "the peers"
[ ! -e ctl.sock ] || fail "the socket wasn't removed"

# What was done is done.
serve remap-control=ctl.sock
DONE=$(cat "done") URI=$disk_uri client <<'PY'
does("status", manual_remaps=4 + int(os.environ["DONE"]))
is_(does("status")["sectors"]["remapped"], 4 + int(os.environ["DONE"]))
is_(read(2000, 30000), orig(2000, 30000))
PY
stop_nbdkit disk
cmp main.img orig.img
