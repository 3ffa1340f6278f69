#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The spare is renamed, deleted, replaced or truncated while it is in use: the
# health, an event, the log and sync say so, and it is said when it is back
# (promises 22 and 38 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/remap.sh"
requires nbdsh --version

make_main $((8 << 20))
bad_sectors bad.txt 100 200 300
begin ()
{
  rm -f spare.img ctl.sock
  : >disk.log
  serve spare-size=2M remap-control=ctl.sock
  client <<<'write(100, pattern(100)); does("sync")'
}

# seen REGEX: what is wrong, as everybody is told, and that the disk goes on.
seen ()
{
  WHAT=$1 client <<'PY'
import re
what = os.environ["WHAT"]
def wrong():
    return not does("status")["spare"]["in_place"]
eventually(wrong, "the status says it")
s = does("status")
is_(s["health"], "critical")
assert any(re.search(what, r) for r in s["reasons"]), s["reasons"]
def told():
    return [e for e in does("events 0")["events"] if e["kind"] == "spare.gone"]
eventually(lambda: told() and re.search(what, told()[-1]["text"]), "an event")
is_(told()[-1]["severity"], "error")
r = control("sync")
assert not r["ok"] and re.search("all was flushed, but.*" + what, r["error"]), r
is_(read(100), pattern(100))
PY
  eventually grep -qE "remap: (.*: )?the spare.*$1" disk.log ||
    fail "not in the log: $1"
}

back ()
{
  client <<'PY'
eventually(lambda: does("status")["spare"]["in_place"], "it is back")
is_(does("status")["health"], "ok")
is_([e["kind"] for e in does("events 0")["events"]
     if e["kind"].startswith("spare.")], ["spare.gone", "spare.back"])
does("sync")
PY
  eventually grep -q 'the spare is back' disk.log || fail "not in the log"
}

echo "==== renamed, and back"
begin
mv spare.img away.img
seen 'not at its path any more, which leads nowhere.*put it back'
assert_equal "$(grep -c 'at its path' disk.log)" 1 'lines in the log'
mv away.img spare.img
back

echo "==== replaced, and back"
begin
mv spare.img away.img
truncate -s 2M spare.img
seen 'where something else is now'
mv away.img spare.img
back

echo "==== deleted: all of it is still there as long as the server runs"
begin
rm spare.img
seen 'was deleted: .*backup'
client <<<'write(200, pattern(200)); is_(read(200), pattern(200))'

echo "==== truncated: it fails, and nothing is invented behind its end"
begin
client <<<'write(200, pattern(200)); does("sync")'
truncate -s 100K spare.img
what='was truncated to 102400 bytes and needs 2097152.*backup'
WHAT=$what client <<'PY'
import re
eventually(lambda: not does("status")["spare"]["in_place"], "it is seen")
s = does("status")
assert any(re.search(os.environ["WHAT"], r) for r in s["reasons"]), s["reasons"]
is_(s["health"], "critical")
is_(s["spare"]["failed"], True)
is_(outcome(read, 200), "EIO")
is_(outcome(write, 300, pattern(300)), "EIO")
assert not control("sync")["ok"]
r = control("grow 4M")
assert not r["ok"] and "its file was truncated to 102400" in r["error"], r
PY
eventually grep -qE "$what" disk.log || fail "not in the log"
assert_equal "$(stat -c %s spare.img)" 102400 "size of the spare"
crash
