#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The status socket: its mode and group, what is allowed there and what isn't;
# background work on hold; and that whoever misbehaves there holds up nobody at
# the control socket (promise 38 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 300

# Mode and group, whatever the umask is.
group=$(id -g)
[ "$(id -u)" != 0 ] || group=1
for mask in 0 0777 0022; do
  old=$(umask)
  umask $mask
  rm -f mode
  nbdkit -U - --filter=remap file main.img spare="mode$mask.img" \
         remap-control=ctl.sock remap-status=st.sock \
         remap-status-group="$group" \
         --run 'stat -c "%a %g" st.sock >mode; stat -c "%a %g" ctl.sock >>mode' \
    2>>mode.log || fail "umask $mask"
  umask "$old"
  chmod u+r mode
  assert_equal "$(cat mode)" "660 $group"$'\n'"600 $(id -g)" "umask $mask"
  [ ! -e ctl.sock ] && [ ! -e st.sock ] || fail "a socket wasn't removed"
  rm -f "mode$mask.img"
done
name=$(getent group "$group" | sed 's/:.*//')
nbdkit -U - --filter=remap file main.img spare=name.img remap-status=st.sock \
       remap-status-group="$name" --run 'stat -c %g st.sock >mode' 2>>mode.log
assert_equal "$(cat mode)" "$group" "the group $name"

refused 'remap-status-group=no-such-group: there is no group' \
        remap-status=st.sock remap-status-group=no-such-group
refused 'remap-status-group: is of no use without remap-status' \
        remap-status-group="$group"
refused 'remap-status=: a path is needed' remap-status=
echo precious >file
refused 'remap-status=.*/file: a file is in the way' remap-control=ctl.sock \
        remap-status=file
refused 'remap-status=.*/ctl.sock: a server is listening' \
        remap-control=ctl.sock remap-status=ctl.sock
assert_equal "$(cat file)" precious 'the file'
[ ! -e ctl.sock ] || fail "a server that didn't start left its socket"

serve remap-control=ctl.sock remap-status=st.sock
client <<'PY'
import select
ST = "st.sock"
shown = ["ping", "help", "status", "clients", "table [START [COUNT]]",
         "map CELLS", "events [SINCE [wait]]", "background hold|release [NAME]"]
is_(does("help", ST)["requests"], shown)
all_ = does("help")["requests"]
assert set(shown) < set(all_)
for line in ("ping", "help", "status", "table", "table 0 100", "events",
             "clients", "map 16",
             "events 0 wait"):
    does(line, ST)
before = does("status")
for usage in all_:
    verb = usage.split()[0]
    if usage in shown:
        continue
    args = {"import": " lost 5", "set_auto_remap": " 0", "grow": " 1G",
            "retry": "", "backup": "", "rescue-copy": "",
            "rescue-finish": ""}.get(verb, "" if usage == verb else " 5")
    r = refuses(verb + args, "'%s' isn't allowed at this socket" % verb, ST)
    assert "remap-control=" in r["error"], r
    # What is wrong is said first, and changes nothing either.
    refuses(verb + " 1 2 3 4", "the request is", ST)
after = does("status")
for key in ("sectors", "auto_remap", "since", "manual_remaps"):
    is_(after[key], before[key], key)
is_(disk_log("write"), [])

# Hold: by name and user, renewed, released; shown, and an event.
me = "uid %d" % os.getuid()
def held():
    b = does("status")["background"]
    is_(b["held"], bool(b["holders"]))
    is_(does("status", ST)["background"]["held"], b["held"])
    return [h["holder"] for h in b["holders"]]
n = does("events")["next"]
is_(held(), [])
r = does("background hold", ST, held=True)
is_([h["holder"] for h in r["holders"]], [me])
assert 590 <= r["holders"][0]["seconds"] <= 600, r
does("background hold", ST, held=True)
does("background hold monitor", ST, held=True)
is_(held(), [me, "monitor (%s)" % me])
does("background release", ST, held=True)
does("background release", ST, held=True)
does("background release nobody", ST, held=True)
is_(held(), ["monitor (%s)" % me])
does("background release monitor", ST, held=False)
is_(held(), [])
for i in range(8):
    does("background hold n%d" % i, ST)
refuses("background hold n8", "held by as many already", ST)
does("background hold n7", ST)
# Whoever may do everything ends all of them.
does("background release", held=False)
is_(held(), [])
es = [(e["key"], e["value"]) for e in does("events %d" % n, ST)["events"]
      if e["kind"] == "config"]
is_(es, [("background", "held")] * 2 + [("background", "released")] * 2 +
    [("background", "held")] * 8 + [("background", "released")] * 8)
for line, text in (("background", "the request is"),
                   ("background on", "on 'hold', or 'release', not 'on'"),
                   ("background hold a b", "the request is"),
                   ("background hold " + "x" * 33, "32 characters")):
    refuses(line, text, ST)

# Many that are silent, wait, flood, or don't read: those at the control socket
# are served, and so are clients.
peers = []
for i in range(100):
    c = Control(ST)
    try:
        c.send(("events %d wait" % (1 << 62), "ping", "rubbish")[i % 3])
    except (BrokenPipeError, ConnectionResetError):
        pass
    peers.append(c)
refused = 0
for i, c in enumerate(peers):
    r = c.receive()
    refused += r.get("error") == "too many connections"
assert refused >= 36, refused
# Another user is served all the same.
if os.geteuid() == 0:
    os.chmod(".", 0o711)
    os.chmod(ST, 0o666)
    os.seteuid(65534)
    try:
        is_(control("ping", ST)["ok"], True)
    finally:
        os.seteuid(0)
for c in peers:
    c.close()
def is_served():
    try:
        return control("ping", ST)["ok"]
    except (BrokenPipeError, ConnectionResetError):
        return False
eventually(is_served, "the others have gone")
flooders = []
for i in range(4):
    s = socket.socket(socket.AF_UNIX)
    s.connect(ST)
    s.setblocking(False)
    sent = 0
    while select.select([], [s], [], 0.3)[1] and sent < 64 << 20:
        sent += s.send(b"status\nevents\ntable\n" * 200)
    assert sent < 64 << 20, "all was read"
    flooders.append(s)
c = Control()
for i in range(50):
    is_(c("ping")["ok"], True)
    does("table")
    does("verify 0 100", checked=100)
    is_(read(i), orig(i))
for s in flooders:
    s.close()

eventually(is_served, "the flooders have gone")

# Lines that come together are answered in order, however many.
c = Control(ST)
c.send(b"ping\nsync\n" * 300)
is_([c.receive()["ok"] for i in range(600)], [True, False] * 300)
c.send(b"ping\n" * 300)
c.s.shutdown(socket.SHUT_WR)
is_([c.receive()["ok"] for i in range(300)], [True] * 300)
is_(c.receive(), None)
PY

# remapctl over it, without a control socket.
serve remap-status=st.sock
for command in ping status table map events 'status --prometheus' \
               'background hold cooler' 'background release cooler'; do
  # Words.
  # shellcheck disable=SC2086
  remapctl -s st.sock $command >out || fail "remapctl $command"
  has_text out || fail "remapctl $command says nothing"
done
for command in 'remap 5' 'verify 5' sync clear_stats; do
  status=0
  # shellcheck disable=SC2086
  remapctl -s st.sock $command >out 2>&1 || status=$?
  assert_equal "$status" 1 "remapctl $command"
  assert_grep "isn't allowed at this socket.*remap-control=" out
done
stop_nbdkit disk
[ ! -e st.sock ] || fail "the socket wasn't removed"
