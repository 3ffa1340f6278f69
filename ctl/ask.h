/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * One request, on a connection that is made for it.
 */

#ifndef REMAPCTL_ASK_H
#define REMAPCTL_ASK_H

#include <jansson.h>

#include "options.h"

/* Sends LINE to the server that CTL says.  With --json the reply is printed,
 * whatever it says; an error is printed in any case.  Returns a reply that
 * remains to be shown, or NULL if nothing does; *STATUS is the program's exit
 * status.  json_decref is the caller's.
 */
extern json_t *ask_server (const struct ctl *ctl, const char *line,
                           int *status);

#endif /* REMAPCTL_ASK_H */
