/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The key=value arguments of the create command.
 */

#ifndef REMAPCTL_CREATE_ARGUMENTS_H
#define REMAPCTL_CREATE_ARGUMENTS_H

#include "create/internal.h"

/* Reads the arguments from argv[optind] on, and finds the paths of the
 * server's files.  ARGV is modified, and must live as long as C.  False after
 * a message.
 */
extern bool create_parse (struct create *c, int argc, char **argv);

#endif /* REMAPCTL_CREATE_ARGUMENTS_H */
