/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Is main the disk that an existing spare belongs to, as far as its label
 * doesn't say so (promise 20 of remap-promises(7))?  Its size, and where
 * nothing names it, samples of what it held.
 */

#ifndef REMAP_MAIN_IDENTITY_H
#define REMAP_MAIN_IDENTITY_H

#include "engine/recognise.h"
#include "parameters.h"

struct main_identity {
  const struct remap_config *config;
  struct spare *spare;
  const struct map *map;
  bool writable;                /* the server isn't read-only, for certain:
                                 * else what the spare knows isn't updated,
                                 * but for places that can't be read */

  /* What main_identity_check has found. */
  struct recognition found;
  bool has_grown;
  bool is_changed;              /* no sample of it is true any more */
};

/* Before anything is written to the spare.  The first four members are set.
 * Returns 0, or -1 after nbdkit_error.
 */
extern int main_identity_check (struct main_identity *m,
                                const struct main_reader *main);

/* The spare has been started: it is told what was found.  Returns 0, or -1
 * after nbdkit_error.
 */
extern int main_identity_settle (struct main_identity *m,
                                 const struct main_reader *main);

#endif /* REMAP_MAIN_IDENTITY_H */
