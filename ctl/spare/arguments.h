/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the commands for a spare have in common on their command lines.
 */

#ifndef REMAPCTL_SPARE_ARGUMENTS_H
#define REMAPCTL_SPARE_ARGUMENTS_H

#include "options.h"

/* MIN to MAX arguments, of which the first is the spare's PATH;
 * --spare-offset; and --force unless FORCE is NULL.  OFFSET is in bytes.
 * False after a message.
 */
extern bool spare_arguments (struct ctl *ctl, int argc, char **argv, int min,
                             int max, const char **path, uint64_t *offset,
                             bool *force);

#endif /* REMAPCTL_SPARE_ARGUMENTS_H */
