/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Status on a screen, again and again: what alarms comes first, nothing
 * scrolls, and a frame takes the place of the one before in one write, so that
 * nothing flickers.
 */

#ifndef REMAPCTL_STATUS_SCREEN_H
#define REMAPCTL_STATUS_SCREEN_H

#include "status/parse.h"

/* What a line of the overview of several servers is about. */
struct screen_server {
  const char *title;
  const struct status *st;              /* NULL: it doesn't answer, */
  const char *why;                      /* and why */
};

/* Shows one server on the terminal that stdout is; SECONDS is for the last
 * line: when the next frame comes.
 */
extern void screen_show (const struct status *st, unsigned seconds);

/* Shows N of them, those first that need somebody. */
extern void screen_show_all (const struct screen_server *v, size_t n,
                             unsigned seconds);

#endif /* REMAPCTL_STATUS_SCREEN_H */
