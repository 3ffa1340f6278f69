/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the terminal can show.
 */

#ifndef REMAPCTL_TERMINAL_H
#define REMAPCTL_TERMINAL_H

#include <stdbool.h>
#include <stdio.h>

/* Columns: $COLUMNS, else those of the terminal that FP is, else 80. */
extern unsigned terminal_width (FILE *fp);

/* Lines: $LINES, else those of the terminal, else 24. */
extern unsigned terminal_height (FILE *fp);

/* Is FP a terminal that shows colours, and the user wants them?
 * https://no-color.org: NO_COLOR refuses them if it is set and not empty.
 */
extern bool use_colour (FILE *fp);

#endif /* REMAPCTL_TERMINAL_H */
