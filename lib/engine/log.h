/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the engine tells: of each change of state, for whoever looks for a
 * fault, and of what somebody should know (events.h).
 */

#ifndef REMAP_ENGINE_LOG_H
#define REMAP_ENGINE_LOG_H

#include "engine/engine.h"

extern void engine_log (struct engine *e, const char *fs, ...)
  __attribute__ ((format (printf, 2, 3)));

/* These changes are durable and visible now.  BY_COMMAND: main wasn't asked
 * about what is LOST of them.  RECOVERED: what moved had been LOST.
 */
extern void tell_changes (struct engine *e, const struct change_list *list,
                          bool by_command, bool recovered);

/* A change found no room: WHY, and what would help.  Told once, until there is
 * room again.
 */
extern void tell_full (struct engine *e, const char *why);

/* N of the sectors of these bytes are in slots now.  0: says nothing. */
extern void log_moved (struct engine *e, uint64_t start, uint64_t end,
                       uint64_t n);

#endif /* REMAP_ENGINE_LOG_H */
