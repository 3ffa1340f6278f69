/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * nbdkit's command line.
 */

#ifndef REMAPCTL_CREATE_COMMAND_H
#define REMAPCTL_CREATE_COMMAND_H

#include "create/internal.h"

/* Sets argv and argc of C, which is complete otherwise; once more, if something
 * has changed.
 */
extern void create_command (struct create *c);
extern void create_drop_command (struct create *c);

/* The command line as a user of a shell would type it, in new memory. */
extern char *create_command_text (const struct create *c);

#endif /* REMAPCTL_CREATE_COMMAND_H */
