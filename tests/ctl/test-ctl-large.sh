#!/bin/bash -
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A disk of 20 TB with 100,000 remapped places: what its spare allocates at
# once (promise 17 of remap-promises(7)), and what info and table read of it,
# and take of memory.

# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/../functions.sh"
requires_program python3 strace

seq 77 190000 18999900077 >list.txt
start_nbdkit disk --filter=remap memory 20000000000000 spare=spare.img \
             remap-control=ctl.sock
assert_equal "$(stat -c %s spare.img)" $((4 << 30)) "the default size"
blocks=$(stat -c %b spare.img)
[ "$blocks" -le $((64 << 11)) ] || fail "$blocks blocks are allocated at once"
remapctl -s ctl.sock import --as=remap list.txt >out
stop_nbdkit disk

python3 - <<'PY'
import os, re, subprocess

for args in (["info", "spare.img"], ["table", "--spare=spare.img"]):
    # Its peak is this process's, or more.
    out = [(os.POSIX_SPAWN_OPEN, 1, "out", os.O_WRONLY | os.O_CREAT, 0o644)]
    pid = os.posix_spawnp("remapctl", ["remapctl"] + args, os.environ,
                          file_actions=out)
    status, usage = os.wait4(pid, 0)[1:]
    assert status == 0, status
    subprocess.run(["strace", "-f", "-e", "trace=pread64", "-o", "trace",
                    "remapctl"] + args, check=True,
                   stdout=subprocess.DEVNULL)
    read = sum(int(n) for n in re.findall(r"= (\d+)$", open("trace").read(),
                                          re.M))
    print(args[0], usage.ru_maxrss, "KiB of memory,", read, "bytes read")
    assert 3200000 < read <= 16000000, read
    if not os.environ.get("REMAP_SANITIZERS"):
        assert usage.ru_maxrss <= 16000, usage.ru_maxrss
PY
