# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What the tests of remap-monitor share (bash): a folder config with events.d,
# a folder state, and a program `record' that writes what it is told to told.
#
# shellcheck shell=bash

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../ctl/ctl.sh"

[ -x "$abs_top_builddir/monitor/remap-monitor" ] ||
  skip "needs remap-monitor, which wasn't built"

cleanup_fn stop_all
mkdir -p config/events.d state run run-public

# hook NAME: its text is on stdin.
hook ()
{
  cat >"$tmp/new-hook"
  chmod 755 "$tmp/new-hook"
  mv "$tmp/new-hook" "config/events.d/$1"
}

# A line for each message: its number, kind, severity, server and subject; the
# whole text and the JSON are in files of their own.
record_hook ()
{
  hook record <<EOF
#!/bin/sh
cat >$tmp/json.\$REMAP_ID
printf '%s\n' "\$REMAP_TEXT" >$tmp/text.\$REMAP_ID
echo "\$REMAP_ID \$REMAP_KIND \$REMAP_SEVERITY \$REMAP_SERVER: \$REMAP_SUBJECT" \
  >>$tmp/told
EOF
}

# monitor [ARG...]: starts it; what it says goes to monitor.log.
monitor_pid=
monitor ()
{
  remap-monitor --config="$tmp/config" --state="$tmp/state" --gather=0 \
                --quiet=0 --settle=0 --grace=1 --interval=1 "$@" \
                >>monitor.log 2>&1 </dev/null &
  monitor_pid=$!
}

# end_monitor [SIGNAL]: with TERM it must end well.
end_monitor ()
{
  local status=0 signal=${1:-TERM}

  [ -n "$monitor_pid" ] || return 0
  kill -s "$signal" "$monitor_pid" || :
  wait "$monitor_pid" || status=$?
  monitor_pid=
  [ "$signal" != TERM ] || [ "$status" = 0 ] || {
    cat monitor.log
    fail "the monitor ended with status $status"
  }
}
cleanup_fn end_monitor KILL

# has_told REGEX: for eventually.
has_told ()
{
  grep -qE -e "$1" told 2>/dev/null
}

await_told ()
{
  eventually has_told "$1" || {
    cat monitor.log told || :
    fail "nobody was told: $1"
  }
}

# told_lines: what was told, without numbers and the machine's name.
told_lines ()
{
  cut -d' ' -f2-4 told
}

# create NAME: a server for a disk of its own.
create ()
{
  [ -e "$1.img" ] || truncate -s 8M "$1.img"
  ctl 0 create main_dev="$1.img" spare_dev="$1.spare" dm_name="$1"
}

kill_server ()
{
  local pid
  pid=$(cat "run/$1.pid")
  kill -9 "$pid"
  eventually has_ended "$pid" || fail "$1 doesn't end"
}

lose ()
{
  ctl 0 -n "$1" import --as=lost <(printf '0x0 ? 1\n0x%x 0x200 -\n' \
                                          "$(($2 * 512))")
}
