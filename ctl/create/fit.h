/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Values that fit the two devices: where the disk and the spare begin, how long
 * the spare is, and the label.
 */

#ifndef REMAPCTL_CREATE_FIT_H
#define REMAPCTL_CREATE_FIT_H

#include "create/internal.h"

/* Adjusts what was given, and chooses what wasn't, after create_look.  Looks
 * whether the spare's place may be used.  Returns 0, or an exit status after
 * a message.
 */
extern int create_fit (struct create *c);

#endif /* REMAPCTL_CREATE_FIT_H */
