#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What a disk says of itself: remap-smart writes it beside the status socket, and
# lets a disk sleep; the monitor shows it, holds up background work while the disk
# is hot and lets it go on when it is clearly cooler; and what is in such a file
# can be anything (promise 39 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR disable=SC2154
. "$(dirname "$0")/monitor.sh"

requires_program curl
record_hook
create a
mkdir bin
# A disk of so many degrees as in the file degrees; "asleep" if it sleeps.
cat >bin/smartctl <<EOF
#!/bin/sh
printf "%s\n" "\$*" >>$tmp/smartctl.args
degrees=\$(cat $tmp/degrees)
if [ "\$degrees" = asleep ]; then
  echo '{"smartctl":{"exit_status":2}}'
  exit 2
fi
cat <<JSON
{"device":{"name":"/dev/sdx"},"temperature":{"current":\$degrees},
"smart_status":{"passed":true},"ata_smart_attributes":{"table":[
{"id":5,"name":"R","raw":{"value":7}},{"id":197,"raw":{"value":3}},
{"id":9,"raw":{"value":1}}]}}
JSON
exit 64
EOF
chmod 755 bin/smartctl

# smart DEGREES: as root's timer does.
smart ()
{
  echo "$1" >degrees
  PATH=$tmp/bin:$PATH REMAP_SMART_DEVICE=/dev/sdx \
    "$abs_top_srcdir/monitor/remap-smart"
}
smart 41
assert_equal "$(cat smartctl.args)" "-n standby -j -a /dev/sdx" "smartctl"
assert_equal "$(stat -c '%a %g' run-public/a.smart)" \
             "640 $(stat -c %g run-public/a.status)" "the file's mode and group"

# The device is found among the arguments of the server's process.
/usr/bin/python3 -c 'import socket
socket.socket(socket.AF_UNIX).bind("run-public/x.status")'
mkfifo go
for argument in /dev/null file=/dev/null device=/dev/null; do
  rm -f smartctl.args run-public/x.smart
  # It has these arguments, and waits.
  # shellcheck disable=SC2016
  bash -c 'read -r _ <go; :' nbdkit spare=/dev/zero "$argument" &
  process=$!
  echo $process >run/x.pid
  PATH=$tmp/bin:$PATH "$abs_top_srcdir/monitor/remap-smart"
  echo >go
  wait $process
  assert_equal "$(cat smartctl.args)" "-n standby -j -a /dev/null" "$argument"
  [ -s run-public/x.smart ] || fail "nothing was written: $argument"
done
rm run/x.pid run-public/x.*

monitor --listen="$tmp/web"
# shows REGEX: the metrics do.
shows ()
{
  curl --silent --max-time 60 --unix-socket web http://x/metrics >metrics &&
    grep -qE -e "$1" metrics
}
eventually shows \
  '^smartctl_device_temperature\{server="a",device="sdx",temperature_type="current"\} 41$' ||
  fail "the temperature isn't shown"
assert_grep '^smartctl_device_smart_status\{server="a",device="sdx"\} 1$' metrics
assert_grep '^smartctl_device_attribute\{.*attribute_id="5",.*"raw"\} 7$' metrics
assert_grep '^smartctl_device_attribute\{.*attribute_id="197",.*"raw"\} 3$' \
            metrics
find_promtool
"$promtool" check metrics <metrics || fail "promtool isn't content"

# holders: of the server's background work.
holders ()
{
  remapctl -n a status --json >status
  json status '[h["holder"] for h in r["background"]["holders"]]'
}
are_holders ()
{
  [ "$(holders)" = "$1" ]
}
assert_equal "$(holders)" "[]" "nobody holds it"
smart 50
held="['remap-monitor (uid $(id -u))']"
eventually are_holders "$held" || fail "it isn't held"
await_log 'disk a: 50 degrees: background work waits' monitor.log
curl --silent --unix-socket web 'http://x/disk?server=a' >a.html
assert_grep '50 °C: background work waits' a.html
# Not much cooler: it flutters otherwise.  Then clearly.
smart 48
eventually shows '^smartctl_device_temperature.* 48$' || fail "48"
assert_equal "$(holders)" "$held" "at 48 degrees"
# A disk that sleeps: what was known stays.
smart asleep
assert_grep '"current":48' run-public/a.smart
smart 46
eventually are_holders "[]" || fail "it is held"
await_log 'disk a: 46 degrees: background work goes on' monitor.log

# What nobody can read as that is nothing; and too old is nothing.
smart 60
eventually are_holders "$held" || fail "it isn't held"
for what in '' '{' '[]' '{"temperature":{"current":"60"}}' \
            '{"temperature":{"current":99999999999}}' \
            '{"temperature":7,"ata_smart_attributes":{"table":[1,{"id":5}]}}'; do
  smart 60
  eventually shows '^smartctl_device_temperature.* 60$' || fail "60"
  printf '%s' "$what" >new
  mv new run-public/a.smart
  is_gone ()
  {
    shows '^nbdkit_remap_up' && ! grep -q '^smartctl_device_temperature{' metrics
  }
  eventually is_gone || fail "a temperature from: $what"
done
eventually are_holders "[]" || fail "it is held by nothing"
smart 60
touch -d '1 hour ago' run-public/a.smart
eventually is_gone || fail "an old temperature"
ln -sf /dev/zero run-public/a.smart
eventually is_gone || fail "a link"
end_monitor
