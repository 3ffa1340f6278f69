/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>

#include "base/bytes.h"
#include "engine/complete.h"
#include "engine/copy.h"
#include "engine/flush.h"
#include "engine/keep.h"
#include "engine/marks.h"
#include "engine/rescue.h"
#include "engine/settle.h"
#include "engine/states.h"
#include "engine/touched.h"
#include "map/pending.h"

#define KEEP_BYTES (UINT64_C (64) << 20)

/* What is pending is recorded after so many milliseconds, or bytes that were
 * kept; and the keeper looks so often.
 */
#define RECORD_MS 5000
#define RECORD_BYTES (UINT64_C (64) << 20)
#define LOOK_MS 1000

/* Sectors of a main of 16 PiB: the directory of pending states and the marks
 * are a few MiB then.
 */
#define MOST_SECTORS (UINT64_C (1) << 45)

static bool
is_possible (const struct engine *e, const struct rescue_config *c)
{
  return c->size >= e->config.main_size && e->nr_sectors <= MOST_SECTORS &&
    (c->block & (c->block - 1)) == 0 &&
    c->block <= max_u64 (e->config.main_block, e->config.copy_block) &&
    e->config.main_block <= UINT32_C (1) << FLIGHT_REGION_SHIFT;
}

static void
destroy (struct rescue *rescue)
{
  complete_destroy (&rescue->complete);
  touched_destroy (&rescue->touched);
  keep_destroy (&rescue->keeping);
  settle_destroy (&rescue->settling);
  pending_free (rescue->pending);
  copy_destroy (&rescue->copy);
  free (rescue);
}

static int
make (struct engine *e, const struct rescue_config *c, struct rescue **made)
{
  struct rescue *rescue = calloc (1, sizeof *rescue);
  int err, err2;

  if (rescue == NULL)
    return ENOMEM;
  rescue->ignore_trim = c->ignore_trim;
  err = copy_init (&rescue->copy, c);
  settle_init (&rescue->settling);
  keep_init (&rescue->keeping, c->keep_bytes ? c->keep_bytes : KEEP_BYTES);
  rescue->pending = pending_new (e->nr_sectors);
  if (rescue->pending == NULL)
    err = ENOMEM;
  err2 = touched_init (e, &rescue->touched);
  err = err ? err : err2;
  err2 = complete_init (e, &rescue->complete);
  err = err ? err : err2;
  if (err)
    destroy (rescue);
  else
    *made = rescue;
  return err;
}

int
engine_attach_copy (struct engine_conn *conn, const struct rescue_config *c)
{
  struct engine *e = conn->engine;
  struct rescue *rescue;
  struct request r;
  int err;

  if (rescue_of (e))
    return EEXIST;
  if (!is_possible (e, c))
    return EINVAL;
  err = make (e, c, &rescue);
  if (err)
    return err;
  request_init (&r, conn, 0, 0);
  if (flush_main (&r) != 0) {
    destroy (rescue);
    return EIO;
  }
  rescue->settling.last_ms = e->config.now_ms (e->config.opaque);
  atomic_store (&e->rescue, rescue);
  allow_simple_requests (e);
  return 0;
}

static void
record_if_due (struct engine *e)
{
  struct pending_totals pending;

  if (keep_unrecorded (e, false) < RECORD_BYTES &&
      settle_age (e) < RECORD_MS)
    return;
  pending_get_totals (rescue_of (e)->pending, &pending);
  keep_unrecorded (e, true);
  if (pending.kept + pending.written + pending.zero > 0)
    settle_all (e);
}

void
engine_keeper (struct engine_conn *conn)
{
  struct engine *e = conn->engine;

  while (keep_wait (e, LOOK_MS)) {
    keep_one (conn);
    record_if_due (e);
  }
}

void
engine_stop_keeper (struct engine *e)
{
  keep_stop (e);
}

int
engine_end_copy (struct engine_conn *conn)
{
  struct engine *e = conn->engine;
  int err;

  while (keep_one (conn))
    ;
  err = settle_all (e);
  return err ? err : touched_end (e);
}

void
rescue_free (struct engine *e)
{
  struct rescue *rescue = rescue_of (e);

  if (rescue)
    destroy (rescue);
  atomic_store (&e->rescue, NULL);
}
