/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A disk that turns read-only.
 */

#include <config.h>

#include <unistd.h>

#include "readonly.h"

void
readonly_start (struct readonly *readonly, const char *path, uint64_t after)
{
  readonly->path = path;
  readonly->after = after;
  atomic_init (&readonly->seen, 0);
}

bool
readonly_refuses (struct readonly *readonly, enum op op)
{
  if (op != OP_WRITE && op != OP_ZERO && op != OP_TRIM)
    return false;
  if (readonly->after != NEVER &&
      atomic_fetch_add_explicit (&readonly->seen, 1, memory_order_relaxed) >=
      readonly->after)
    return true;
  return readonly->path && access (readonly->path, F_OK) == 0;
}
