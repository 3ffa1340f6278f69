#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# remapctl status --watch on a terminal: it fits 80 columns and 24 lines, what
# alarms comes first, and a frame is one write that clears nothing before.

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"
unset COLUMNS

# A pseudo-terminal of the size given, whose reads are kept apart: prints the
# frames as a terminal would show them.
cat >watch.py <<'PY'
import fcntl, os, pty, re, struct, sys, termios
rows, columns, frames = map(int, sys.argv[1:4])
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    os.environ["TERM"] = "xterm"
    os.execvp("remapctl", ["remapctl"] + sys.argv[4:])
data = b""
try:
    while data.count(b"\033[J") < frames:
        data += os.read(fd, 65536)
except OSError:
    pass
os.kill(pid, 15)
text = data.decode()
assert "\033[2J" not in text, "it clears the screen"
got = text.split("\033[H")[1:frames + 1]
assert len(got) == frames, text
screen = [""] * rows
for frame in got:
    # Each line takes the place of the one before, to its end.
    assert frame.rstrip().endswith("\033[J"), repr(frame)
    lines = frame.replace("\033[J", "").split("\r\n")
    assert len(lines) <= rows, (len(lines), rows)
    for n, line in enumerate(lines):
        if n < len(lines) - 1:
            assert line.endswith("\033[K"), repr(line)
        plain = re.sub(r"\033\[[0-9;]*[mK]", "", line)
        assert len(plain) <= columns, plain
        assert not re.search(r"[\x00-\x1f\x7f]", plain), repr(plain)
        screen[n] = plain
    for n in range(len(lines), rows):
        screen[n] = ""
print("\n".join(screen).rstrip("\n"))
PY
watched ()
{
  timeout 60 /usr/bin/python3 watch.py "$@" >screen || {
    cat screen
    fail "remapctl $*"
  }
  cat screen
}

fake "$data/disk.replies"
watched 24 80 2 status --watch=1
assert_equal "$(sed -n 1p screen)" "health     degraded" "the first line"
assert_equal "$(sed -n 2p screen)" "           12 sectors are LOST" "the second"
assert_grep '^sectors +12 LOST, 20 remapped' screen
assert_equal "$(sed -n 4p screen | cut -c 1-7)" sectors "what follows the reasons"
assert_grep '^LOST +[0-9]+ +[0-9]+ +[0-9]+$' screen
assert_equal "$(tail -n 1 screen)" "every 1 s, Ctrl-C ends it" "the last line"
lines=$(wc -l <screen)
# A small window has what matters.
watched 8 40 1 status --watch=1
assert_equal "$(wc -l <screen)" 8 "lines in a small window"
assert_equal "$(sed -n 1p screen)" "health     degraded" "the first line"
assert_grep '^sectors +12 LOST' screen
watched 1 10 1 status --watch=1
watched 2 1 1 status --watch=1

# A frame is one write.
if command -v strace >/dev/null && strace -o /dev/null true 2>/dev/null; then
  timeout 60 /usr/bin/python3 watch.py 24 80 2 status --watch=1 >/dev/null
  cat >traced.py <<'PY'
import os, sys
os.execvp("strace", ["strace", "-o", "trace", "-s", "4", "-e", "trace=write",
                     "remapctl"] + sys.argv[1:])
PY
  sed 's|os.execvp("remapctl", .*|os.execvp("/usr/bin/python3", ["python3", "traced.py"] + sys.argv[4:])|' \
      watch.py >watch-traced.py
  timeout 60 /usr/bin/python3 watch-traced.py 24 80 2 status --watch=1 >/dev/null
  [ "$(grep -c '^write(1, "\\33\[H' trace)" -ge 2 ] || {
    cat trace
    fail "frames"
  }
  assert_no_grep '^write\(1, "[^\\]' trace
fi

# Many reasons, long ones, and what would steer the terminal.
/usr/bin/python3 - "$data/disk.replies" >long.replies <<'PY'
import json, sys
for line in open(sys.argv[1]):
    if line.startswith("status -> "):
        st = json.loads(line.split(" -> ", 1)[1])
        st["reasons"] = ["word \u001b[2J" * 40] + ["r\u00e9ason %d" % i * 30
                                                  for i in range(100)]
        st["spare"]["path"] = "/" + "x" * 200
        st["main"]["label"] = "l" * 255
        st["health"] = "critical"
        for r in st["rates"].values():
            for k in r:
                r[k] = 2**62
        print("status ->", json.dumps(st))
PY
fake long.replies
watched 24 80 1 status --watch=1
assert_equal "$(sed -n 1p screen)" "health     critical" "the first line"
assert_equal "$(wc -l <screen)" 24 "lines"
assert_grep 'reasons more' screen
[ "$lines" -le 23 ] || fail "there is no room for reasons: $lines lines"

# All servers: those first that need somebody; one that has gone is no end.
end_fake
unset REMAP_CONTROL
truncate -s 8M a.img b.img
for name in a b; do
  ctl 0 create main_dev=$name.img spare_dev=$name.spare dm_name=$name
done
stop_all ()
{
  remapctl stop a || :
  remapctl stop b || :
}
cleanup_fn stop_all
echo 1 >run/gone.pid
remapctl -n b import --as=lost <(printf '0x0 ? 1\n0x0 0x200 -\n')
watched 24 80 2 status --all --watch=1
cut -d ' ' -f 1 screen | grep . | tr '\n' ' ' >words
assert_grep '^no degraded ok every $' words
assert_grep '^degraded +b: 1 LOST, 0 remapped, of 8.00 MiB$' screen
