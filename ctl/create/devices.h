/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the two devices are.
 */

#ifndef REMAPCTL_CREATE_DEVICES_H
#define REMAPCTL_CREATE_DEVICES_H

#include "create/internal.h"

/* Looks at both, and whether their sectors have the same size.  Returns 0, or
 * an exit status after a message.
 */
extern int create_look (struct create *c);

#endif /* REMAPCTL_CREATE_DEVICES_H */
