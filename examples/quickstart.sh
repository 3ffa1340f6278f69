#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# Serves a disk, or the image of one, through the remap filter:
#
#   examples/quickstart.sh [--listen ADDR] [--port N] [--new-spare]
#                          [DISK [SPARE]]
#
# DISK is an image file or a block device.  It is served over NBD on
# 127.0.0.1 (or ADDR) until this is interrupted; bad sectors go to SPARE,
# which is created if it doesn't exist (default: DISK.spare; for a device it
# must be given, and be on another disk).  A disk that had a spare gets
# another one with --new-spare only: what was in the old one is lost then.
#
# Without DISK: a demonstration, in a temporary folder, with a disk that
# only pretends to fail.  It takes less than a minute once all is built.
#
# On Debian 12 and 13 the packages that are missing are installed (root, or
# sudo); everything is built in build/, nothing is installed from there.

set -eu -o pipefail

top=$(cd "$(dirname "$0")/.." && pwd)
listen=127.0.0.1
port=10809
new_spare=no
if [ -n "${REMAP_STATE_DIR:-}" ]; then
  state=$REMAP_STATE_DIR
elif [ "$(id -u)" = 0 ]; then
  state=/var/lib/nbdkit-remap
else
  state=${XDG_STATE_HOME:-$HOME/.local/state}/nbdkit-remap
fi

usage ()
{
  sed -n '/^#   examples/,/^# sudo/s/^# \{0,1\}//p' "$0"
}

die ()
{
  echo "$0: $*" >&2
  exit 1
}

while [ $# -gt 0 ]; do
  case "$1" in
    --help|-h) usage; exit 0 ;;
    --listen) [ $# -ge 2 ] || die "--listen needs an address"
              listen=$2; shift ;;
    --port) [ $# -ge 2 ] || die "--port needs a number"
            port=$2; shift ;;
    --new-spare) new_spare=yes ;;
    -*) die "unknown option: $1 (see --help)" ;;
    *) break ;;
  esac
  shift
done
[ $# -le 2 ] || die "too many arguments (see --help)"
# nbdkit would take 75345 for 9809.
if ! [[ $port =~ ^[1-9][0-9]{0,4}$ ]] || [ "$port" -gt 65535 ]; then
  die "--port $port: must be a number from 1 to 65535"
fi

disk=${1:-}
if [ -n "$disk" ]; then
  [ -e "$disk" ] || die "$disk: no such file"
  if [ -b "$disk" ]; then
    plugin=direct
    [ $# -eq 2 ] || die "$disk is a block device: say where bad sectors go:" \
                        "a file on another disk, that works"
    [ -r "$disk" ] || die "$disk: only root may read it: use sudo"
    case "$(realpath -m "$2")" in
      /dev/*) [ -b "$2" ] || die "$2: is neither a device nor a place to keep" \
                                 "a file" ;;
    esac
  else
    [ -f "$disk" ] || die "$disk: is neither a regular file nor a block device"
    plugin="file"
  fi
  disk=$(realpath "$disk")
  spare=$(realpath -m "${2:-$disk.spare}")
fi

# ---- building ---------------------------------------------------------

builddir=$("$top/tests/build.sh" --packages "build run" plain \
           --enable-gcc-warnings | tail -n 1)
run=$builddir/run

# ---- serving a disk ---------------------------------------------------

# Ends the server, if it is there, and removes what is of no use without it.
server="" private="" spare_is_new=""
end_serving ()
{
  local status=$?

  trap '' INT TERM HUP
  if [ -n "$server" ]; then
    kill "$server" 2>/dev/null || :
    wait "$server" 2>/dev/null || :
  fi
  rm -rf --one-file-system "$private"
  # Nobody was served, so nothing is in it; unless another server has been
  # quicker, and holds it.
  if [ -n "$spare_is_new" ] && [ -f "$spare" ] &&
     { [ ! -s "$spare" ] ||
         "$run" remapctl info --json "$spare" 2>/dev/null |
           grep -q '"used":0.*"runs":0'; }; then
    flock -n "$spare" rm -f "$spare" || :
  fi
  exit "$status"
}

is_serving ()
{
  "$run" remapctl -s "$private/control" ping >/dev/null 2>&1
}

say_how_to_connect ()
{
  local host

  case "$listen" in
    127.*|localhost|::1) host=localhost ;;
    0.0.0.0|::) host=$(uname -n) ;;
    *) host=$listen ;;
  esac
  cat <<TEXT

Serving $disk
  bad sectors go to $spare
  from now on use the two only together

Connect with one of these (needs this port: $port):
  nbd-client $host $port /dev/nbd0
  qemu-system-x86_64 -drive file=nbd://$host:$port,format=raw
  nbdcopy nbd://$host:$port copy.img
How it is doing:
  $run remapctl list
  $run remapctl -s $private/control status
TEXT
  if [ "$host" = localhost ]; then
    cat <<TEXT
From another host: run this with --listen 0.0.0.0 (there is no password: only
in a network that you trust), or go through ssh:
  ssh -L $port:localhost:$port $(uname -n)
TEXT
  fi
  printf '\nInterrupt (Ctrl-C) to stop.\n\n'
}

serve ()
{
  local create=yes status=0

  if [ -f "$spare" ] && [ -s "$spare" ]; then
    create=no
  fi
  mkdir -p "$(dirname "$state")"
  private=$(mktemp -d "${TMPDIR:-/tmp}/quickstart-XXXXXX")
  [ -e "$spare" ] || spare_is_new=yes
  trap end_serving EXIT
  trap 'exit 0' INT TERM HUP
  "$run" nbdkit -f -i "$listen" -p "$port" --filter=remap \
         "$plugin" "$disk" spare="$spare" spare-create="$create" \
         spare-state="$state" spare-new="$new_spare" \
         remap-control="$private/control" &
  server=$!
  until is_serving; do
    # What is wrong, it has said.
    kill -0 "$server" 2>/dev/null || die "$disk is not served"
    sleep 0.1
  done
  spare_is_new=
  say_how_to_connect
  wait "$server" || status=$?
  server=
  exit "$status"
}

if [ -n "$disk" ]; then
  serve
fi

# ---- the demonstration ------------------------------------------------

for p in nbdcopy mke2fs debugfs e2fsck; do
  PATH=$PATH:/sbin:/usr/sbin command -v "$p" >/dev/null ||
    die "needs the program $p"
done
PATH=$PATH:/sbin:/usr/sbin

tmp=$(mktemp -d "${TMPDIR:-/tmp}/quickstart-XXXXXX")
cd "$tmp"
server=
uri="nbd+unix:///?socket=$tmp/sock"

finish ()
{
  local status=$?

  [ -z "$server" ] || kill -9 "$server" 2>/dev/null || :
  cd /
  rm -rf --one-file-system "$tmp"
  exit "$status"
}
trap finish EXIT
trap 'exit 1' INT TERM HUP

# start FILTER... [PARAMETER...]: the disk, from now on with what is in
# bad.txt.
start ()
{
  rm -f sock pid
  "$run" nbdkit -f -v -D remap.verbose=1 -U "$tmp/sock" -P "$tmp/pid" \
         "$@" >>server.log 2>&1 &
  server=$!
  for _ in $(seq 200); do
    [ -s pid ] && return 0
    kill -0 "$server" 2>/dev/null || break
    sleep 0.05
  done
  tail -n 20 server.log >&2
  die "the server did not start"
}

remap ()
{
  start --filter=remap --filter=baddisk file disk.img spare=disk.spare \
        remap-control="$tmp/control" \
        baddisk-list=bad.txt baddisk-log=bad.log "$@"
}

stop ()
{
  kill -s "$1" "$server"
  wait "$server" 2>/dev/null || :
  server=
}

# Reads or writes the sectors of a list, and says how many it could.
client ()
{
  /usr/bin/python3 demo.py "$uri" "$@"
}

remapped ()
{
  sed -n 's/.*: \([0-9]*\) sectors remapped.*/\1/p' server.log |
    awk '{ n += $1 } END { print n + 0 }'
}

cat >demo.py <<'PY'
import nbd, sys
uri, command, listing = sys.argv[1:4]
sectors = [int(s) for s in open(listing)]
h = nbd.NBD()
h.connect_uri(uri)

def works(f, *args):
    try:
        f(*args)
        return True
    except nbd.Error:
        return False

if command == "read":
    print(sum(works(h.pread, 512, s * 512) for s in sectors))
else:
    # Writes the 4 KiB around each sector, as they should be in the end.
    wanted = open("wanted.img", "rb")
    done = 0
    for s in sectors:
        start = s // 8 * 4096
        wanted.seek(start)
        done += works(h.pwrite, wanted.read(4096), start)
    works(h.flush)
    print(done)
PY

echo "1. A disk: 64 MiB, ext4, 200 files."
mkdir files
for i in $(seq 200); do
  head -c $((i * 1000)) /dev/urandom >"files/file-$i"
done
truncate -s 64M disk.img
mke2fs -q -t ext4 -d files disk.img
cp --sparse=always disk.img wanted.img

# 40 weak sectors in the files, 20 dead ones in free blocks, which get new
# content.
/usr/bin/python3 - <<'PY'
import os, random, subprocess
r = random.Random(7)
used, free = [], []
size = os.path.getsize("disk.img") // 4096
data = open("disk.img", "rb").read()
bs = int([l.split(":")[1] for l in subprocess.run(
    ["dumpe2fs", "-h", "disk.img"], capture_output=True,
    text=True).stdout.splitlines() if l.startswith("Block size")][0])
for i in range(1, 201):
    out = subprocess.run(["debugfs", "-R", "blocks /file-%d" % i, "disk.img"],
                         capture_output=True, text=True).stdout
    used += [int(b) * (bs // 512) for b in out.split()]
for b in range(size - 2000, size):
    if not any(data[b * 4096:b * 4096 + 4096]):
        free.append(b * 8)
weak = sorted(r.sample(used, 40))
dead = sorted(r.sample(free, 20))
def write(name, sectors):
    with open(name, "w") as f:
        f.writelines("%d\n" % s for s in sectors)
write("weak", weak)
write("dead", dead)
with open("wanted.img", "r+b") as f:
    for s in dead:
        f.seek(s * 512)
        f.write(r.randbytes(4096))
PY
cp weak bad.txt

echo "2. 40 sectors under the files can be read only after several tries,"
echo "   and can't be written.  Without the filter:"
cp --sparse=always disk.img plain.img
start --filter=baddisk file plain.img baddisk-list=bad.txt \
      baddisk-block=512 baddisk-recover=3
echo "     $(client read weak) of 40 can be read at once," \
     "$(client write weak) of 40 can be written."
stop TERM

echo "3. With it: copying the whole disk over NBD ..."
cp --sparse=always disk.img pristine.img
remap baddisk-block=512 baddisk-recover=3 2>/dev/null
nbdcopy "$uri" copy.img
cmp copy.img pristine.img
echo "     every byte is right; $(remapped) weak sectors were moved to the spare."

echo "4. kill -9, and 20 more sectors die: they can't be read at all."
stop KILL
cat weak dead >bad.txt
remap baddisk-block=512
echo "     $(client read dead) of 20 can be read: they are lost, and it says" \
     "so (EIO) instead of"
echo "     making something up.  The other 40: $(client read weak) of 40."

echo "5. Overwriting all 60 bad places ..."
cat weak dead >all
echo "     $(client write all) of 60 writes succeed."

echo "6. kill -9 again, restart, and look at everything once more ..."
stop KILL
remap baddisk-block=512
nbdcopy "$uri" copy.img
cmp copy.img wanted.img
e2fsck -fn copy.img >/dev/null 2>&1
mkdir out
debugfs -R "rdump / out" copy.img >/dev/null 2>&1
rm -rf out/lost+found
diff -r files out
stop TERM
echo "     all 67108864 bytes are as they were last written, the filesystem is"
echo "     clean, and the 200 files are whole."
echo
echo "What was remapped (from the server's log):"
sed -n 's/.*remap: \(.*remapped.*\)/     \1/p' server.log | head -n 4
echo "     ... $(remapped) sectors altogether"
echo "Failing operations that the disk was asked for:" \
     "$(grep -c -v -e ' ok ' -e totals bad.log)"
echo
echo "Nothing that could be read, or was written, has been lost.  Now with a"
echo "disk or an image of yours:"
echo "  examples/quickstart.sh DISK [SPARE]"
