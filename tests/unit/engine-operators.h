/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What an operator may ask for, on an engine's rig: the result is in RES.
 */

#ifndef ENGINE_OPERATORS_H
#define ENGINE_OPERATORS_H

#include "engine-rig.h"

static struct engine_result res;

static inline int
remap (struct engine_rig *r, sector_t start, uint64_t count)
{
  return engine_remap (&r->conn, start, count, WHY_MANUAL, NULL, &res);
}

static inline int
unmap (struct engine_rig *r, sector_t start, uint64_t count)
{
  return engine_unmap (&r->conn, start, count, NULL, &res);
}

static inline int
retry (struct engine_rig *r, sector_t start, uint64_t count)
{
  return engine_retry (&r->conn, start, count, NULL, &res);
}

static inline int
forget (struct engine_rig *r, sector_t start, uint64_t count)
{
  return engine_forget_lost (r->e, start, count, NULL, &res);
}

static inline bool
result_is (uint64_t done, uint64_t left, uint64_t bad)
{
  return res.done == done && res.left == left && res.bad == bad;
}

static inline uint64_t
counter (struct engine_rig *r, enum spare_counter which)
{
  struct spare_status st;

  spare_get_status (r->spare, &st);
  return st.counters[which];
}

#endif /* ENGINE_OPERATORS_H */
