/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Status for people.
 */

#ifndef REMAPCTL_STATUS_HUMAN_H
#define REMAPCTL_STATUS_HUMAN_H

#include "status/parse.h"

/* TITLE is the server's name, or NULL where it needs none. */
extern void status_print_text (const struct status *st, const char *title);

#endif /* REMAPCTL_STATUS_HUMAN_H */
