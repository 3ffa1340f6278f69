/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The command line.
 */

#ifndef REMAP_MONITOR_OPTIONS_H
#define REMAP_MONITOR_OPTIONS_H

#include <stdbool.h>

#include "settings.h"

/* Fills in S, which points into ARGV.  False: the program is to end with
 * *STATUS; what there was to say has been printed.
 */
extern bool options_parse (struct settings *s, int argc, char **argv,
                           int *status);

#endif /* REMAP_MONITOR_OPTIONS_H */
