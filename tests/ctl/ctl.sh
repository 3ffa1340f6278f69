# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# What the tests of remapctl share (bash).
#
# shellcheck shell=bash

# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/../functions.sh"

# shellcheck disable=SC2034
data=$abs_top_srcdir/tests/ctl/data

# Nothing of the machine is touched or looked at, and output is the same
# everywhere.
export REMAP_RUNTIME_DIR=$tmp/run REMAP_LOG_DIR=$tmp/log TZ=UTC COLUMNS=72
unset REMAP_CONTROL NO_COLOR

# stop_all [DIRECTORY]: ends the servers of create in a run-time directory
# (default: run).
stop_all ()
{
  local pid
  for pid in "${1:-run}"/*.pid; do
    [ ! -e "$pid" ] || remapctl stop "$(basename "$pid" .pid)"
  done
}

# ctl STATUS ARG...: remapctl must end with this status.  Its output is in
# out, its errors, one line at most, in err.
ctl ()
{
  local wanted=$1 status=0
  shift

  remapctl "$@" </dev/null >out 2>err || status=$?
  cat err
  [ "$status" = "$wanted" ] || {
    cat out
    fail "status $status, wanted $wanted: remapctl $*"
  }
  [ "$(wc -l <err)" -le 1 ] || fail "errors of several lines: remapctl $*"
  if [ "$wanted" = 0 ]; then
    assert_no_grep . err
  fi
}

# says REGEX STATUS ARG...: and the error, or the output, matches.
says ()
{
  local regex=$1 status=$2
  shift 2
  ctl "$status" "$@"
  cat err >>out
  assert_grep "$regex" out
}

# fake FILE: a server whose replies are in FILE, see fake-server.py; what it
# was asked is in requests.
fake_pid=
fake ()
{
  end_fake
  /usr/bin/python3 "$abs_top_srcdir/tests/ctl/fake-server.py" \
                   "$tmp/fake" "$1" >requests &
  fake_pid=$!
  eventually exists fake || fail "fake-server.py is not ready"
  export REMAP_CONTROL=$tmp/fake
}

end_fake ()
{
  [ -z "$fake_pid" ] || kill "$fake_pid" || :
  [ -z "$fake_pid" ] || wait "$fake_pid" || :
  fake_pid=
  rm -f fake fake.new
}
cleanup_fn end_fake

# states: of a table as CSV (stdin) lines of start,count,state,why; runs that
# only differ in slot or time are one (a second may pass between two sectors).
states ()
{
  awk -F, '
    function put() { if (n) print start "," n "," state "," why }
    NR == 1 { next }
    n && $1 == start + n && $3 == state && $6 == why { n += $2; next }
    { put(); start = $1; n = $2; state = $3; why = $6 }
    END { put() }'
}

# json FILE EXPRESSION: of a reply, as Python: json out 'r["main"]["size"]'.
json ()
{
  /usr/bin/python3 -c 'import json, sys
r = json.load(open(sys.argv[1]))
print(eval(sys.argv[2]))' "$1" "$2"
}
