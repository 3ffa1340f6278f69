/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Reading the log of a spare that is being opened.
 */

#ifndef REMAP_SPARE_REPLAY_H
#define REMAP_SPARE_REPLAY_H

#include "spare/internal.h"

/* Reads the log of s->hdr into the map, the retired set, and counters;
 * sets pos and number; marks the slots that are mapped.  Nobody else may use
 * the spare yet.  Returns 0, EINVAL (damaged: MESSAGE says what and where),
 * EIO or ENOMEM.
 */
extern int log_replay (struct spare *s, struct message *message);

#endif /* REMAP_SPARE_REPLAY_H */
