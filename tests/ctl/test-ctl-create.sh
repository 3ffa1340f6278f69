#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# remapctl create, list and stop: what dm-remap's remap_create_safe.sh is
# meant to do, with image files; and each exit status of create.  What isn't
# blank, and a spare of another disk, are left alone (promises 20 to 22 of
# remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/ctl.sh"

cleanup_fn stop_all

truncate -s 100M main.img second.img
truncate -s 20M spare.img

# ---- 3: arguments -----------------------------------------------------

says 'main_dev=PATH is needed' 3 create spare_dev=spare.img
says 'spare_dev=PATH is needed' 3 create main_dev=main.img
ok="main_dev=main.img spare_dev=spare.img"
for wrong in main_start=x main_start=-1 main_start=1.5 spare_start=1s \
             spare_total=all main_start= colour=red main \
             dm_name= dm_name=.x dm_name=../x dm_name=-x 'dm_name=a/b' \
             dm_name="$(printf '%065d' 0)" listen=10809 listen=:10809 \
             listen=127.0.0.1:0 listen=127.0.0.1:x listen=127.0.0.1:65536 new-spare=maybe \
             main_start=99999999999999999999 logfile= --colour; do
  # shellcheck disable=SC2086
  says . 3 create $ok "$wrong"
done
# ---- 4: main ----------------------------------------------------------
says 'nowhere.img: No such file' 4 create main_dev=nowhere.img \
     spare_dev=spare.img
says 'neither a regular file' 4 create main_dev=. spare_dev=spare.img
# shellcheck disable=SC2086
says 'has 204800 sectors: nothing is left' 4 create $ok main_start=204800
: >empty.img
says 'nothing is left' 4 create main_dev=empty.img spare_dev=spare.img
# ---- 5: spare ---------------------------------------------------------
says 'neither a regular file' 5 create main_dev=main.img spare_dev=.
# shellcheck disable=SC2086
says 'at least 2048 sectors' 5 create $ok spare_total=2047
says "nowhere/s: its directory doesn't exist" 5 create main_dev=main.img \
     spare_dev=nowhere/s
echo something >foreign.img
truncate -s 20M foreign.img
says 'neither blank nor a spare' 5 create main_dev=main.img \
     spare_dev=foreign.img
remapctl format other.img main-size=1G >/dev/null
says 'belongs to a disk of 1073741824 bytes' 5 create main_dev=main.img \
     spare_dev=other.img
# ---- 7: files ---------------------------------------------------------
# shellcheck disable=SC2086
says 'log file .* can.t be written' 7 create $ok logfile=/nowhere/x.log
# shellcheck disable=SC2086
REMAP_RUNTIME_DIR=/nowhere/run says 'can.t be made' 7 create $ok \
                 logfile="$tmp/x.log"
mkdir -m 777 open
# shellcheck disable=SC2086
REMAP_RUNTIME_DIR=$tmp/open says 'everybody can write' 7 create $ok \
                 logfile="$tmp/x.log"
# In /tmp and its like others may have been there first, with a link.
mkdir -m 1777 sticky
# shellcheck disable=SC2086
REMAP_RUNTIME_DIR=$tmp/sticky says 'everybody can write' 7 create $ok \
                 logfile="$tmp/x.log"
# ---- 8, 9: nbdkit -----------------------------------------------------
status=0
# shellcheck disable=SC2086
PATH=$tmp "$abs_top_builddir/ctl/remapctl" create $ok >out 2>err || status=$?
assert_equal "$status" 8 "status without nbdkit"
assert_grep "nbdkit can't be run" err
says 'nbdkit ended before it was ready: .*(itself|its own spare|locked)' 9 \
     create main_dev=spare.img spare_dev=spare.img
# What is left is the reason, until a server of that name starts.
assert_equal "$(ls run)" test_remap.failed "what failures have left"
says '^test_remap .* not started: nbdkit ended before it was ready: ' 0 list
rm -rf log state

# ---- 0 ----------------------------------------------------------------
# A dry run makes nothing.
# shellcheck disable=SC2086
ctl 0 create --dry-run $ok dm_name=dry
assert_equal "$(tail -n 1 out)" "nbdkit -f -P $tmp/run/dry.pid\
 -U $tmp/run/dry.nbd --filter=remap file file=$tmp/main.img\
 spare=$tmp/spare.img spare-state=$tmp/state remap-status=$tmp/run-public/dry.status\
 remap-control=$tmp/run/dry.ctl" "the command line"
[ ! -e run-public/dry.status ] || fail "a dry run made a socket"
[ ! -e log ] || fail "a dry run made the directory for logs"
[ ! -e state ] || fail "a dry run made the state folder"
# Without an environment: the places of the installation, or one's own.
(
  unset REMAP_LOG_DIR REMAP_RUNTIME_DIR REMAP_STATE_DIR
  # shellcheck disable=SC2086
  XDG_RUNTIME_DIR=$tmp/xdg XDG_STATE_HOME=$tmp/state \
    remapctl create --dry-run $ok >out
  if [ "$(id -u)" = 0 ]; then
    assert_grep '^Log file: +/.*/log/nbdkit-remap/test_remap.log$' out
    assert_grep ' spare-state=/.*/lib/nbdkit-remap ' out
    assert_grep ' -P /run/nbdkit-remap/test_remap.pid ' out
  else
    assert_grep "^Log file: +$tmp/state/nbdkit-remap/test_remap.log$" out
    assert_grep " spare-state=$tmp/state/nbdkit-remap " out
    assert_grep " -P $tmp/xdg/nbdkit-remap/test_remap.pid " out
  fi
)
# What a shell would act on is quoted.
mkdir "a 'b' \$c"
truncate -s 8M "a 'b' \$c/m"
ctl 0 create --dry-run main_dev="a 'b' \$c/m" spare_dev=spare.img
assert_equal "$(tail -n 1 out | xargs printf '%s\n' | grep ^file=)" \
  "file=$tmp/a 'b' \$c/m" "quoting"

# In any order, with the block that dm-remap's README shows.
ctl 0 create dm_name=my_remap spare_dev=spare.img spare_start=0 \
    main_dev=main.img logfile=wrapper.log main_start=0
cat out
cat >wanted <<TEXT
=== remapctl create parameters ===
Main device:   $tmp/main.img
Main start:    0 sectors
Spare device:  $tmp/spare.img
Spare start:   0 sectors
Spare total:   40960 sectors
Main phys size:  any (a file)
Spare phys size: any (a file)
DM name:       my_remap
Log file:      wrapper.log
==================================
TEXT
head -n 11 out | diff wanted -
assert_equal "$(tail -n 1 out)" \
  "Mapping created successfully via remapctl create." "the last line"
head -n 11 wrapper.log | diff wanted -
assert_grep 'creating a new spare' wrapper.log
assert_grep '^Mapping created successfully' wrapper.log

# The server outlives who started it, and is found by its name.
for f in my_remap.ctl my_remap.nbd my_remap.pid; do
  [ -e "run/$f" ] || fail "run/$f is missing"
done
uri="nbd+unix:///?socket=$tmp/run/my_remap.nbd"
assert_equal "$(nbdinfo --size "$uri")" 104857600 "size"
ctl 0 -n my_remap ping
ctl 0 remap 2048 -n my_remap
ctl 0 list
assert_grep '^my_remap +[0-9]+ +ok +100 MiB +1 remapped, 0 LOST$' out

# A second one: other name, default name and log, a part of its disk.
ctl 0 create main_dev=second.img main_start=2048 spare_dev=new.spare
assert_grep '^Spare total: +131072 sectors$' out
assert_grep '^Log file: +.*/log/test_remap.log$' out
assert_equal "$(ls log)" test_remap.log "the directory for logs"
ctl 0 status --json -n test_remap
assert_equal "$(json out 'r["main"]["size"]')" $((104857600 - 1048576)) "size"
assert_equal "$(json out 'r["main"]["label"]')" "+2048s" "label"
assert_equal "$(json out 'r["spare"]["size"], r["spare"]["grows"]')" \
  "(67108864, True)" "a spare of a size that nobody chose"
ctl 0 list --json
assert_equal "$(json out '[s["name"] for s in r if s["running"]]')" \
  "['my_remap', 'test_remap']" "list --json"
ctl 0 status --all --dm
assert_equal "$(grep -cE '^(my|test)_remap: 0 [0-9]+ remap v2.0 ' out)" 2 \
  "status --all --dm"
ctl 0 status --all --prometheus
assert_equal "$(grep -c '^nbdkit_remap_up{server="[a-z]*_remap"} 1$' out)" 2 \
  "status --all --prometheus"
assert_equal "$(grep -c '^# TYPE nbdkit_remap_sectors ' out)" 1 "one TYPE each"
ctl 0 status --all --json
assert_equal "$(json out 'r["my_remap"]["sectors"]["remapped"]')" 1 "--all"
nbdsh -u "nbd+unix:///?socket=$tmp/run/test_remap.nbd" \
      -c 'h.pwrite(b"x" * 512, 0)'
assert_equal "$(dd if=second.img bs=512 skip=2048 count=1 status=none |
                  tr -d x | wc -c)" 0 "what is left of sector 2048"

# ---- 6: the name, or the spare, is taken -------------------------------
says "'my_remap' is running" 6 create main_dev=main.img spare_dev=spare.img \
     dm_name=my_remap
says 'in use by another server' 5 create main_dev=main.img \
     spare_dev=spare.img dm_name=other
says 'not started: .*in use by another server' 0 list
says 'did not start is forgotten' 3 stop other

# ---- stop, and again ---------------------------------------------------
ctl 0 stop my_remap
ctl 0 stop -n test_remap
says 'no servers' 0 list
[ -z "$(ls run)" ] || fail "stop left files: $(ls run)"
ctl 0 create main_dev=main.img spare_dev=spare.img
assert_grep 'spare-create=no' out
# The second start of that name goes on in its log.
assert_equal "$(ls log | tr '\n' ' ')" "test_remap.log " "logs"
assert_equal "$(grep -c '^Mapping created successfully' log/test_remap.log)" 2 \
  "starts in the log"
assert_equal "$(grep -cE '^At [0-9]{4}-[0-9-]+ [0-9:]+:$' log/test_remap.log)" 2 \
  "times in the log"
ctl 0 -n test_remap table --csv
assert_grep '^2048,1,remapped' out
# The logrotate snippet: the server goes on in the new file, from its beginning.
snippet=$abs_top_srcdir/examples/nbdkit-remap.logrotate
assert_grep "^/var/log/nbdkit-remap/\*.log " "$snippet"
assert_grep '^ +copytruncate$' "$snippet"
if command -v logrotate >/dev/null || [ -x /usr/sbin/logrotate ]; then
  sed "s|^/var/log/nbdkit-remap|$tmp/log|" "$snippet" >rotate.conf
  chmod 600 rotate.conf
  PATH=$PATH:/usr/sbin logrotate -f -s rotate.state rotate.conf
else
  cp log/test_remap.log log/test_remap.log.1
  : >log/test_remap.log
fi
assert_grep '^Mapping created' log/test_remap.log.1
[ ! -s log/test_remap.log ] || fail "the log wasn't rotated"
# Flags that no client sends are logged as an error.
/usr/bin/python3 -c 'import socket, sys
s = socket.socket(socket.AF_UNIX)
s.connect(sys.argv[1])
s.recv(18)
s.sendall(b"\377" * 4)
s.recv(1)' "$tmp/run/test_remap.nbd"
eventually has_text log/test_remap.log || fail "nothing is logged any more"
assert_grep '^nbdkit: .*flags' log/test_remap.log
assert_equal "$(tr -d '\0' <log/test_remap.log | wc -c)" \
  "$(wc -c <log/test_remap.log)" "characters of the log"
# One that was killed is no obstacle.
kill -9 "$(cat run/test_remap.pid)"
says_not_running ()
{
  remapctl list >list.out && grep -q 'not running' list.out
}
eventually says_not_running || fail "a server that was killed is running?"
# stop doesn't take the files from one that is created just now.
status=0
flock run timeout 1 remapctl stop test_remap || status=$?
assert_equal "$status" 124 "stop while a server is created"
for f in test_remap.ctl test_remap.nbd test_remap.pid; do
  [ -e "run/$f" ] || fail "stop has removed run/$f"
done
ctl 0 create main_dev=main.img spare_dev=spare.img
ctl 0 stop test_remap

# TCP, if it is asked for.
port=$(/usr/bin/python3 -c 'import socket
s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
ctl 0 create main_dev=main.img spare_dev=spare.img listen=127.0.0.1:"$port"
assert_grep "^NBD: +nbd://127.0.0.1:$port$" out
assert_equal "$(nbdinfo --size "nbd://127.0.0.1:$port")" 104857600 "over TCP"
[ ! -e run/test_remap.nbd ] || fail "a socket besides TCP"
# What is said, and left, if the port is taken.
says 'before it was ready: .*in use' 9 create main_dev=second.img \
     spare_dev=tcp.spare listen=127.0.0.1:"$port" dm_name=late
assert_equal "$(find run -name 'late.*')" run/late.failed "what was left"
[ ! -e tcp.spare ] || fail "a spare was left that nobody has used"
# Also one that was formatted before the start failed; but never one that is
# another server's by now.
mkdir wrapped
cat >wrapped/nbdkit <<'SH'
#!/bin/sh
# As another server would, between create's look and its start.
case " $* " in *" -f "*) $MEANWHILE && touch "$TOUCH" ;; esac
echo 'nbdkit: error: it was meant to fail' >&2
exit 1
SH
chmod +x wrapped/nbdkit
late ()
{
  rm -f happened
  TOUCH=$tmp/happened PATH=$tmp/wrapped:$PATH MEANWHILE=$1 says 'it was meant to fail' 9 \
      create main_dev=main.img spare_dev=late.spare dm_name=late
  [ -e happened ] || fail "this has failed: $1"
}
late "remapctl format $tmp/late.spare main-size=100M"
[ ! -e late.spare ] || fail "a spare was left that nobody has used"
remapctl format used.spare main-size=104857600 >/dev/null
start_nbdkit use --filter=remap file second.img spare=used.spare \
             remap-control="$tmp/use.ctl"
eventually exists use.ctl || :
ctl 0 -s use.ctl import --as=lost <(printf '0x0 ? 1\n0x0 0x200 -\n')
late "ln $tmp/used.spare $tmp/late.spare"
[ -e late.spare ] || fail "the spare of another server was removed"
stop_nbdkit use
rm late.spare
late "ln $tmp/used.spare $tmp/late.spare"
[ -e late.spare ] || fail "a spare was removed that holds something"
ctl 0 stop test_remap
# A disk that has a spare gets another one only if that is said.
says 'the disk .*main.img has a spare: UUID .*new-spare=yes' 9 \
     create main_dev=main.img spare_dev=tcp.spare dm_name=late
[ ! -e tcp.spare ] || fail "another spare was made"
ctl 0 create --dry-run main_dev=main.img spare_dev=tcp.spare dm_name=late \
    new-spare=yes spare-older=yes
assert_grep ' spare-new=yes spare-older=yes ' out
# A control socket that is another server's stays.
start_nbdkit other --filter=remap file main.img spare=spare.img \
             remap-control="$tmp/run/late.ctl"
says 'before it was ready: .*listening' 9 create main_dev=main.img \
     spare_dev=tcp.spare dm_name=late
ctl 0 -s run/late.ctl ping
stop_nbdkit other
