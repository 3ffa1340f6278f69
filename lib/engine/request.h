/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A request on its way.  It lives on the stack of the thread that serves
 * it, and nobody else looks at it.
 */

#ifndef REMAP_ENGINE_REQUEST_H
#define REMAP_ENGINE_REQUEST_H

#include <string.h>

#include "engine/internal.h"

struct placement;
struct mapped_ranges;

struct request {
  struct engine *e;
  struct engine_conn *conn;
  uint64_t start, end;                  /* bytes, for the canaries */
  bool met_lost;                        /* it needs main, which is lost */
  bool unjudged;                        /* a call has failed since it was found
                                         * that main is alive */
  bool background;                      /* no client waits for it */
  bool wrote_main, wrote_slots;         /* what FUA has to flush */
  unsigned zero_flags;                  /* of DEVICE_*, for main */
  unsigned failing_pieces;              /* calls that main refused */
  unsigned times_lost;                  /* times that it waited for main */
  uint64_t first_lost_ms;               /* when it did first */
  unsigned nr_bad_canaries;
  struct placement *placement;          /* engine/write.c's */
  struct mapped_ranges *mapped;         /* the same */
  uint64_t losses;                      /* when it first wrote to main */
  uint64_t judged_ms;                   /* when main was judged, or 0 */
  uint64_t bad_canary[ALL_CANARIES];    /* byte offsets */
};

/* Failing pieces of one call to main after which the rest isn't cut any more.
 */
#define MAX_FAILING_PIECES 64

/* Pieces in which data travels that isn't the client's own buffer, and in
 * which mapped sectors are handled.  Bytes.
 */
#define PIECE_SIZE (UINT32_C (1) << 20)

/* What units of the engine tell each other beside errno values, none of
 * which is negative, whatever a device returns.
 */
enum {
  LOOK_AGAIN = -1,     /* the map isn't what it was a moment ago */
  MAIN_IS_LATE = -2,   /* a write that timed out may still land there */
  NOT_FAST = -3,       /* main can't zero faster than it writes */
};

static inline void
request_init (struct request *r, struct engine_conn *conn, uint64_t offset,
              uint64_t count)
{
  r->e = conn->engine;
  r->conn = conn;
  r->start = offset;
  r->end = offset + count;
  memset (&r->met_lost, 0, offsetof (struct request, bad_canary) -
          offsetof (struct request, met_lost));
}

#endif /* REMAP_ENGINE_REQUEST_H */
