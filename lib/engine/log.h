/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the engine tells the log.
 */

#ifndef REMAP_ENGINE_LOG_H
#define REMAP_ENGINE_LOG_H

#include "engine/engine.h"

extern void engine_log (struct engine *e, enum engine_log_level level,
                        const char *fs, ...)
  __attribute__ ((format (printf, 3, 4)));

/* A warning about the sectors of the bytes from START to before END: WHAT
 * says what is the matter with them.
 */
extern void log_sectors (struct engine *e, uint64_t start, uint64_t end,
                         const char *what);

/* N of the sectors of these bytes are in slots now.  0: says nothing. */
extern void log_moved (struct engine *e, uint64_t start, uint64_t end,
                       uint64_t n);

#endif /* REMAP_ENGINE_LOG_H */
