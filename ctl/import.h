/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The import command: tells the server what another program found to be bad.
 *
 * All of the list is compared with the disk's size before anything is changed,
 * which usually shows if it is a list of another disk.
 */

#ifndef REMAPCTL_IMPORT_H
#define REMAPCTL_IMPORT_H

#include "options.h"

extern int command_import (struct ctl *ctl, int argc, char **argv);

#endif /* REMAPCTL_IMPORT_H */
