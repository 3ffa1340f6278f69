/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * FLUSH, FUA, and the end of each request that wrote (promise 14 of
 * remap-promises(7)).
 */

#ifndef REMAP_ENGINE_FLUSH_H
#define REMAP_ENGINE_FLUSH_H

#include "engine/request.h"

/* Flushes main.  Returns 0, or EIO: then each connection is told. */
extern int flush_main (struct request *r);

/* FUA: flushes what the request wrote to.  If it fails since main is lost, the
 * whole request may be tried again (lost_again).
 */
extern int flush_written (struct request *r);

/* Ends a request that wrote, and with FUA was flushed.  Changes of state are
 * durable already.
 */
extern int finish_write_slowly (struct request *r, int err, bool fua);

static inline int
finish_write (struct request *r, int err, bool fua)
{
  struct engine *e = r->e;

  /* As a rule nothing happened that somebody would have to be told of. */
  if (err == 0 && !fua && r->nr_bad_canaries == 0 && r->failing_pieces == 0 &&
      atomic_load (&e->main_dirty) && !atomic_load (&e->main_lost) &&
      atomic_load (&e->losses) == r->losses)
    return 0;
  return finish_write_slowly (r, err, fua);
}

#endif /* REMAP_ENGINE_FLUSH_H */
