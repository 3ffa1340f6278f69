#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# The kernel's NBD client, in a guest: an export of the host over TCP and
# one of the guest over a Unix socket, with ext4 and fio's verify, over bad
# sectors.  Then the servers are killed while files are written: the kernel
# fails what is in flight, and after a restart every file that was synced is
# whole (promises 1, 3, 13 and 14 of remap-promises(7)).

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"
. "${abs_top_srcdir:?}/tests/guest/guest.sh"

guest_requires

# start_on_tcp: as start_nbdkit, on $port of 127.0.0.1.
start_on_tcp ()
{
  local i

  rm -f tcp.pid
  nbdkit -f -i 127.0.0.1 -p "$port" -P "$tmp/tcp.pid" --filter=remap \
         --filter=baddisk file main.img spare=spare.img \
         baddisk-list=bad.txt baddisk-fail=write,zero \
         </dev/null >>tcp.log 2>&1 &
  nbdkit_pids[tcp]=$!
  nbdkit_threads[tcp]=1
  for ((i = 0; i < 600; i++)); do
    [ ! -s tcp.pid ] || return 0
    kill -0 "${nbdkit_pids[tcp]}" 2>/dev/null || break
    sleep 0.1
  done
  unset "nbdkit_pids[tcp]"
  return 1
}

# Somebody else may take the port that was free a moment ago.
start_on_some_port ()
{
  local i

  for ((i = 0; i < 10; i++)); do
    port=$(/usr/bin/python3 -c 'import socket; s = socket.socket()
s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    start_on_tcp && return 0
  done
  fail "no server on any TCP port, see tcp.log"
}

truncate -s 64M main.img
bad_sectors bad.txt 4000+8 30001 65536+100
start_on_some_port

cat >script <<EOF2
server="10.0.2.2 $port"
EOF2
cat >>script <<'EOF2'
. /files/in-guest.sh
modprobe nbd nbds_max=2

attach_host ()
{
  # Words on purpose.
  # shellcheck disable=SC2086
  nbd-client $server /dev/nbd0 -timeout 30 >/dev/null
}

attach_own ()
{
  nbd-client -unix "$PWD/own.sock" /dev/nbd1 -timeout 30 >/dev/null
}

start_own ()
{
  start_nbdkit own --filter="$remap" --filter="$baddisk" file own.img \
    spare=own.spare baddisk-random=1% baddisk-seed=1 baddisk-fail=write,zero
}

detach ()
{
  nbd-client -d "$1" >/dev/null
  await 30 is_detached "$1"
}

is_detached ()
{
  ! nbd-client -c "$1"
}

# use_it DEVICE: what anybody does with a new disk.
use_it ()
{
  mkfs.ext4 -q -F "$1"
  mount "$1" /mnt
  fio --name=verify --directory=/mnt --rw=randwrite --bs=4k --size=8M \
      --ioengine=psync --fsync=32 --verify=crc32c --verify_fatal=1 \
      --eta=never --output=fio.out || { cat fio.out; fail "fio over $1"; }
  umount /mnt
  e2fsck -fn "$1" >e2fsck.out 2>&1 || { cat e2fsck.out; fail "$1"; }
}

# Writes files, each synced before the next, until that fails; notes those
# that were.
write_until_killed ()
{
  _i=0
  while [ "$_i" -lt 100000 ]; do
    _i=$((_i + 1))
    dd if=/dev/urandom of=/tmp/content bs=1k count=$((1 + _i % 60)) 2>/dev/null
    dd if=/tmp/content of="/mnt/file$((_i % 200)).$_i" conv=fsync bs=64k \
      2>/dev/null || break
    sync -d /mnt 2>/dev/null || sync /mnt || break
    echo "$(sha256sum </tmp/content) file$((_i % 200)).$_i" >>/tmp/synced
    # The oldest one goes; so it is written to sectors that were used.
    rm -f /mnt/file$((_i % 200)).$((_i - 200)) || break
    [ "$_i" -ne 50 ] || say "writing $1"
  done
}

# survive_a_kill DEVICE HOW-TO-ATTACH: somebody kills the server when it has
# said "writing".
survive_a_kill ()
{
  mount "$1" /mnt
  : >/tmp/synced
  write_until_killed "$1"
  _written=$(wc -l </tmp/synced)
  umount /mnt 2>/dev/null || umount -l /mnt
  detach "$1"
  say "killed $1"
  [ "$2" != attach_own ] || start_own
  await 120 "$2"
  e2fsck -fy "$1" >e2fsck.out 2>&1 || [ $? -le 1 ] ||
    { cat e2fsck.out; fail "$1 after the restart"; }
  mount "$1" /mnt
  _whole=0
  while read -r _sum _dash _file; do
    if [ -e "/mnt/$_file" ]; then
      assert_equal "$(sha256sum <"/mnt/$_file")" "$_sum  -" "$_file"
      _whole=$((_whole + 1))
    fi
  done </tmp/synced
  [ "$_whole" -ge 49 ] &&
    [ "$_whole" -ge "$((_written < 199 ? _written : 199))" ] ||
    fail "$_whole files are there, of $_written"
  echo "$1: $_written files synced before the kill," \
       "$_whole of them kept and whole"
  umount /mnt
  e2fsck -fn "$1" >e2fsck.out 2>&1 || { cat e2fsck.out; fail "$1, at last"; }
  detach "$1"
}

attach_host
use_it /dev/nbd0
survive_a_kill /dev/nbd0 attach_host

truncate -s 64M own.img
start_own
attach_own
use_it /dev/nbd1
rm /tmp/synced
(
  until [ -s /tmp/synced ] && [ "$(wc -l </tmp/synced)" -ge 60 ]; do
    sleep 0.1
  done
  kill -9 "$(cat own.pid)"
) &
survive_a_kill /dev/nbd1 attach_own
stop_nbdkit own
EOF2

guest_start nbd script
guest_await "writing /dev/nbd0"
kill_nbdkit tcp
guest_await "killed /dev/nbd0"
start_on_tcp || fail "the server did not start again"
guest_end
stop_nbdkit tcp
