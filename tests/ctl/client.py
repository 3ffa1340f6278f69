#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Copyright (C) 2026 The nbdkit-remap authors
#
# A client that writes one sector, and then stays connected until it is ended:
#
#   client.py URI READY-FILE

import nbd, signal, sys

h = nbd.NBD()
h.connect_uri(sys.argv[1])
h.pwrite(b"w" * 512, 4096)
open(sys.argv[2], "w").close()
signal.pause()
