/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A picture from a server, which counts: a million runs needn't be sent for
 * it.  Nothing of the reply is trusted.
 */

#ifndef REMAPCTL_PICTURE_FROM_SERVER_H
#define REMAPCTL_PICTURE_FROM_SERVER_H

#include "options.h"
#include "picture/cells.h"

/* Of at most NCELLS cells.  False after a message, or with --json after the
 * reply has been printed; *STATUS is the program's exit status.
 */
extern bool picture_from_server (struct picture *p, struct ctl *ctl,
                                 uint64_t ncells, int *status);

#endif /* REMAPCTL_PICTURE_FROM_SERVER_H */
