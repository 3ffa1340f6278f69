/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A simple copier: it goes through a range of main in order, reads what is
 * DIRECT and no client has read, and has it kept (promise 33 of
 * remap-promises(7)).
 *
 * It is driven from outside: whoever does so asks how long to wait, borrows
 * main, does one step, and gives main back.  A step is one request to main of
 * at most 1 MiB; where that fails it is isolated as a client's read is, and
 * what can't be read becomes LOST.
 */

#ifndef REMAP_ENGINE_COPYING_H
#define REMAP_ENGINE_COPYING_H

#include "engine/engine.h"

/* It starts when no client has been at main for so long.  Where an error is as
 * near as this, only after so long, or for a twentieth of the time.
 */
#define COPYING_IDLE_MS 20
#define COPYING_NEAR (UINT64_C (64) << 20)      /* bytes */
#define COPYING_RISKY_IDLE_MS 30000
#define COPYING_RISKY_PART 20

/* Bytes a second that are copied whatever clients do, where no error is near.
 */
#define COPYING_FLOOR (UINT64_C (1) << 20)

/* All numbers are sectors, and those of an engine's clock.  RATE is to be set
 * before the first step: bytes a second at most, 0: as many as can be.
 */
struct copier {
  sector_t at, end;             /* what is left */
  uint64_t rate;
  uint64_t copied, bad;
  uint64_t began_ms;
  uint64_t piece_ms, piece_bytes;       /* the last request to main */
  uint64_t risky_ms;            /* spent where an error is near */
  uint64_t bad_at;              /* byte; UINT64_MAX: no error yet */
};

/* The engine has a copy. */
extern void copier_begin (struct copier *c, struct engine *e, sector_t start,
                          uint64_t count);

/* Milliseconds to wait before the next step; 0: go. */
extern uint64_t copier_wait_ms (const struct copier *c, struct engine *e);

/* One request to main.  *DONE: nothing is left.  Returns 0; ENOSPC: the copy or
 * the spare is full, it is to be tried again later; ENODEV: main is lost, the
 * same; EIO: the copy has failed; ENOMEM.
 */
extern int copier_step (struct copier *c, struct engine_conn *conn,
                        bool *done);

/* What `remap' and `import remap' do with a copy: DIRECT sectors of the ranges
 * are kept at once, durable when it returns 0, or become LOST ("bad").  As
 * engine_remap_ranges.
 */
extern int engine_keep_ranges (struct engine_conn *conn,
                               const struct sector_range *ranges, size_t n,
                               const struct engine_watch *watch,
                               struct engine_result *res);

#endif /* REMAP_ENGINE_COPYING_H */
