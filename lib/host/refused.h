/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Why the last start of a server was refused, which whoever started it in the
 * background doesn't see: a file XXXXXXXXXXXXXXXX.refused in the run-time
 * directory, named after the path of the control socket, with two lines, that
 * path and the reason.  It goes when a server with that socket starts, when
 * somebody forgets it, or when the socket's directory is no more.
 */

#ifndef REMAP_REFUSED_H
#define REMAP_REFUSED_H

#include <stdbool.h>

#include "base/message.h"

#define REFUSED_SUFFIX ".refused"

/* As well as it can be: nothing is said if it can't. */
extern void refused_note (const char *control, const char *why);
extern void refused_forget (const char *control);

struct refused {
  char control[108];                    /* as long as a socket's path can be */
  struct message why;
};

/* Why the start with this control socket was refused.  False: it wasn't. */
extern bool refused_find (const char *control, struct refused *r);

/* Reads the file PATH.  False: it is none, or its socket's directory has gone;
 * then the file is removed.
 */
extern bool refused_read (const char *path, struct refused *r);

#endif /* REMAP_REFUSED_H */
