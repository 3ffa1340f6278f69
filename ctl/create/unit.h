/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * create --unit: the parameters for examples/nbdkit-remap@.service.
 *
 * systemd reads them as an environment file, takes the double quotes away,
 * and splits the values at blanks, except within single quotes.
 */

#ifndef REMAPCTL_CREATE_UNIT_H
#define REMAPCTL_CREATE_UNIT_H

#include <stdio.h>

#include "create/internal.h"

/* 0, or an exit status after a message: systemd would change a parameter. */
extern int create_check_unit (const struct create *c);

/* Prints them to FP, and warns of a spare that won't stay. */
extern void create_print_unit (const struct create *c, FILE *fp);

#endif /* REMAPCTL_CREATE_UNIT_H */
