/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Why the last start of a server was refused, for whoever looks for it later:
 * NAME.failed in the run-time directory, or what the server itself has left
 * there (host/refused.h), which says more than the systemd unit can.
 */

#ifndef REMAPCTL_REFUSAL_H
#define REMAPCTL_REFUSAL_H

/* Notes it, as well as it can be: nothing is printed. */
extern void refusal_note (const char *name, const char *why);

/* In new memory; NULL: the last start wasn't refused. */
extern char *refusal_read (const char *name);

/* It has started, or nobody wants to know any more. */
extern void refusal_forget (const char *name);

#endif /* REMAPCTL_REFUSAL_H */
