/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include "base/bytes.h"
#include "engine/errors.h"
#include "engine/in-flight.h"
#include "engine/marks.h"
#include "engine/recognise.h"
#include "engine/returned.h"
#include "engine/samples.h"
#include "engine/suspects.h"

/* The whole blocks of main that are read for it. */
static void
blocks_of (const struct engine *e, const struct sample *s, uint64_t *start,
           uint64_t *end)
{
  *start = round_down (s->offset, e->config.main_block);
  *end = min_u64 (round_up (s->offset + SAMPLE_SIZE, e->config.main_block),
                  e->config.main_size);
}

/* Does nothing speak against reading it? */
static bool
may_read (const struct request *r, const struct sample *s)
{
  struct engine *e = r->e;
  uint64_t start, end, done;

  blocks_of (e, s, &start, &end);
  return !ranges_overlap (start, end, r->start, r->end) &&
    !recognise_is_near_error (e->map, s->offset, e->config.main_size) &&
    !marks_search (&e->bad_canaries, sector_of (start),
                   sectors_in (start, end)) &&
    suspects_look (e, start, end, &done) == NO_SUSPECT && done >= end;
}

/* What has been struck out meanwhile is being written by a call that was under
 * way when main was lost: so it may differ.
 */
static bool
differs (struct request *r, const struct main_reader *main,
         const struct sample *s, int *err)
{
  _Atomic uint32_t *call = call_begins (r->e);
  bool same = true;

  *err = recognise_one (main, spare_get_identity (r->e->spare)->uuid, s,
                        &same);
  call_ended (call);
  return *err == 0 && !same && samples_has (r->e, s);
}

enum returned
returned_main (struct request *r, uint64_t *where)
{
  struct engine *e = r->e;
  const struct main_reader main = {
    .dev = &r->conn->main_dev, .size = e->config.main_size,
    .block = e->config.main_block,
  };
  struct sample v[SAMPLES_MAX];
  /* A label says more, and nobody keeps samples up then. */
  const bool is_named = spare_get_identity (e->spare)->label[0] != '\0';
  const unsigned n = is_named ? 0 : samples_list (e, v);
  unsigned reads = 0, failures = 0;
  uint64_t start, end;
  int err;

  for (unsigned i = 0; i < n && reads < RETURNED_READS; i++) {
    const struct sample *s = &v[(e->returns + i) % n];

    if (!may_read (r, s))
      continue;
    reads++;
    if (differs (r, &main, s, &err)) {
      *where = s->offset;
      return RETURNED_OTHER;
    }
    if (error_classify (err) == ERROR_GONE) {
      /* It may be this place: so it isn't read again. */
      blocks_of (e, s, &start, &end);
      suspects_add (e, start, end);
      return RETURNED_GONE;
    }
    if (err && failures++ >= RETURNED_FAILURES)
      break;
  }
  e->returns += n > 0;
  return RETURNED_SAME;
}
