/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * remapctl: what its parts share.
 */

#ifndef REMAPCTL_H
#define REMAPCTL_H

#include <stdint.h>
#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

#include "base/sector.h"
#include "client.h"
#include "exit-status.h"
#include "numbers.h"
#include "options.h"
#include "process.h"
#include "reply.h"
#include "rundir.h"
#include "servers.h"
#include "terminal.h"
#include "text.h"
#include "units.h"

/* ---- import.c ---- */

extern int command_import (struct ctl *, int, char **);

/* ---- create ---- */

extern int command_create (struct ctl *, int, char **);

#endif /* REMAPCTL_H */
