#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What remapctl makes of a server's replies: each command against what it
# printed when somebody last looked at it (data/), and the formats of other
# programs against those programs.

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

fake "$data/disk.replies"

# golden NAME ARG...: REMAP_GOLDEN=1 writes the files anew.
golden ()
{
  local name=$1
  shift

  ctl 0 "$@"
  sed -i "s|$tmp|TMP|g; s/of remapctl [0-9.]*/of remapctl VERSION/" out
  [ -z "${REMAP_GOLDEN:-}" ] || cp out "$data/$name"
  diff -u "$data/$name" out || fail "remapctl $*"
}

golden ping.txt ping
golden status.txt status
golden status-dm.txt status --dm
golden status.prom status --prometheus
golden table.txt table
golden table-range.txt table 104 6
golden table.csv table --csv
golden table.json table --json
golden table-lost.csv table --csv --states=lost,zero
golden table.mapfile table --mapfile
golden table-all.mapfile table --mapfile --states=lost,remapped,zero
golden table-1024.badblocks table --badblocks
golden table-4096.badblocks table --badblocks --block-size=4k
golden map.txt map --rows 4
golden events.txt events
golden events.json events --json
{
  for c in "remap 2048" "remap 2048 8" "verify 0 100" "verify 0 200" \
           "unmap 100 8" "retry" "forget-lost 108 2" "set_auto_remap 0" \
           "set-auto-remap 1" "clear_stats" "sync" "grow 80M" \
           "background hold cooler" "background release"; do
    echo "remapctl $c"
    # shellcheck disable=SC2086
    ctl 0 $c
    cat out
  done
} >commands
[ -z "${REMAP_GOLDEN:-}" ] || cp commands "$data/commands.txt"
diff -u "$data/commands.txt" commands || fail "commands"

# The raw reply.
ctl 0 status --json
assert_equal "$(json out 'r["errors"]["write"]')" 4 "status --json"
ctl 0 remap 2048 8 --json
assert_equal "$(json out 'r["runs"][0]["start"]')" 2050 "remap --json"
ctl 1 remap 4096 8 --json
assert_equal "$(json out 'r["done"]')" 3 "done of a request that stopped"
assert_grep 'full.*stopped after 3 sectors' err

# dm-remap's line, character by character.
ctl 0 status --dm
assert_equal "$(cat out)" "0 204800 remap v2.0 2/1000 18/1000 20/1000\
 health=0 errors=W4:R5 auto_remaps=18 manual_remaps=2 scan=0%" "--dm"

# A picture is counted by the server: no run is sent for it.
: >requests
ctl 0 map --rows 4
assert_equal "$(cat requests)" "map 248" "what a map asks for"
: >requests
ctl 0 map --json
assert_equal "$(cat requests)" "map 8192" "what a map asks for"
assert_equal "$(json out 'r["remapped"], r["lost"], r["zero"]')" "(20, 13, 3)" \
  "map --json"
ctl 0 map --rows=1000
assert_grep '^map 16384$' requests

# Colours are for terminals.
requires_program script
on_terminal ()
{
  TERM=xterm script -qec "$*" /dev/null </dev/null >term
}
on_terminal remapctl status
assert_grep $'\033\\[1;33mdegraded' term
on_terminal remapctl map
assert_grep $'\033\\[1;37;41mL' term
NO_COLOR=1 on_terminal remapctl status
assert_no_grep $'\033' term
NO_COLOR=1 on_terminal remapctl map
assert_no_grep $'\033' term

# Who waits at a terminal sees large ranges done in parts; the results are
# those of one request.
cat >parts.replies <<'TEXT'
status -> {"ok":true,"main":{"size":5368709120}}
verify 5 4194304 -> {"ok":true,"checked":4194304,"bad":2,"runs":[{"start":7,"count":2}],"more":false}
verify 4194309 1000000 -> {"ok":true,"checked":1000000,"bad":3,"runs":[{"start":4194400,"count":3}],"more":false}
retry 0 4194304 -> {"ok":true,"done":1,"left":4194300,"bad":3,"runs":[],"more":true}
retry 4194304 4194304 -> {"ok":true,"done":1,"left":4194300,"bad":3,"runs":[],"more":false}
retry 8388608 2097152 -> {"ok":false,"error":"the disk has gone","done":0}
TEXT
fake parts.replies
on_terminal remapctl verify 5 5194304
assert_grep '^.*5194304 sectors read, 5 sectors bad' term
assert_grep 'bad: 7 \+ 2' term
assert_grep 'bad: 4194400 \+ 3' term
assert_grep 'verify: 81 %' term
on_terminal remapctl retry || [ $? = 1 ]
assert_grep 'the disk has gone' term
assert_grep '8388608 sectors before that were done' term
: >requests
on_terminal remapctl verify 5 10485756 || [ $? = 1 ]
assert_grep 'the disk has 10485760 sectors' term
assert_no_grep verify requests
fake "$data/disk.replies"

# Pictures: what they are, and that all states are in them.
ctl 0 map --png=a.png --svg=a.svg
assert_equal "$(head -c 8 a.png | od -An -tx1 | tr -d ' ')" 89504e470d0a1a0a \
  "the beginning of a PNG"
/usr/bin/python3 - <<'PY'
import xml.dom.minidom
assert xml.dom.minidom.parse("a.svg").documentElement.tagName == "svg"
PY
ctl 1 map --png=/nowhere/a.png
says 'map: --png=a.svg: the name must end in .png' 2 map --png=a.svg
says 'map: --svg=svg: the name must end in .svg' 2 map --svg=svg
ctl 1 map --svg=/nowhere/a.svg

# Prometheus: promtool's opinion if there is one, and a parser's.
remapctl status --prometheus >prom
if command -v promtool >/dev/null; then
  promtool check metrics <prom
fi
/usr/bin/python3 "$abs_top_srcdir/tests/ctl/prometheus.py" prom
/usr/bin/python3 - prom <<'PY'
import sys
text = open(sys.argv[1]).read()
assert r'spare="/srv/sp\"are\\1.img"' in text
which = r'server="%s",disk="naa.5000\\c5",spare_uuid="11111111-2222-4333-8444-%s"' \
    % (__import__("os").environ["REMAP_CONTROL"], "5" * 12)
for line in ('sectors{%s,state="lost"} 12', "start_time_seconds{%s} 1700000000",
             'build_info{%s,version="0.1.0"} 1', "read_only{%s} 0",
             "main_hangs{%s} 0", "main_oldest_request_seconds{%s} 3"):
    assert "nbdkit_remap_" + line % which in text, line
# A request counts once.
assert "requests_total{%s,kind=\"fua\"}" % which not in text
PY

# GNU ddrescue reads the mapfile, and finds in it what is in the table.
remapctl table --mapfile >disk.map
if command -v ddrescuelog >/dev/null; then
  ddrescuelog -t disk.map >log.out
  assert_grep 'bad-sector: +6656 B' log.out
  # Bad blocks by its own reckoning.
  ddrescuelog -l- -b 1024 disk.map >dd.list
  remapctl table --badblocks | diff - dd.list
  ddrescuelog -l- -b 4096 disk.map >dd.list
  remapctl table --badblocks --block-size 4096 | diff - dd.list
  if command -v ddrescue >/dev/null; then
    # It completes a copy from which only what is bad is missing.
    random_file disk.img 104857600
    cp disk.img copy.img
    dd if=/dev/zero of=copy.img bs=512 seek=2000 count=11 conv=notrunc \
       status=none
    cp disk.map todo.map
    ddrescue -q -r1 disk.img copy.img todo.map
    cmp disk.img copy.img
    ddrescuelog -D todo.map || fail "ddrescue did not finish"
    rm disk.img copy.img
  fi
fi

# A list that was exported is imported: the same sectors are asked for.
: >requests
ctl 0 import --as=lost disk.map
assert_grep '^import lost 108 2 2000 11$' requests
remapctl table --badblocks >blocks
: >requests
ctl 0 import --as=remap --block-size 1024 blocks
assert_grep '^import remap 108 2 2000 12$' requests
assert_grep '14 bad sectors listed' out

# e2fsck reads the list of bad blocks.
if command -v mke2fs >/dev/null || [ -x /sbin/mke2fs ]; then
  PATH=$PATH:/sbin:/usr/sbin
  truncate -s 100M fs.img
  mke2fs -q -b 4096 -t ext4 fs.img
  remapctl table --badblocks --block-size 4096 >blocks
  e2fsck -fy -l blocks fs.img >fsck.out 2>&1 || [ $? = 1 ]
  dumpe2fs -b fs.img 2>/dev/null >fs.bad
  diff blocks fs.bad
fi

# The largest disk and the smallest.
sed 's/"size":104857600,/"size":109951162777600,/
     s/^table \([0-9]*\) [0-9]*/table \1 .*/' "$data/disk.replies" >large.replies
fake large.replies
ctl 0 map --rows=2
assert_grep '^ +0 B L\.+$' out
assert_grep '100 TiB; a cell is' out
ctl 0 table --mapfile
assert_grep '0x000FB600  0x63FFFFF04A00  \+' out
cat >small.replies <<'TEXT'
status -> {"ok":true,"main":{"size":700}}
table 0 2 -> {"ok":true,"runs":[{"start":1,"count":1,"state":"lost","slot":null,"since":5,"why":"weak"}],"next":null}
TEXT
fake small.replies
ctl 0 map
assert_grep '^ +0 B \.L$' out
# The disk's last sector is a part of one.
ctl 0 table --mapfile
assert_grep '0x00000200  0x000000BC  -' out
ctl 0 map --svg small.svg
