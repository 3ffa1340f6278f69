/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * One state: does the core recover from it?
 */

#include <config.h>

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "states.h"

static void
apply_image (struct world *w, const struct image *im)
{
  const struct memdev_event *e;
  const struct event *ev;
  struct memdev *m;
  uint32_t at, n;

  for (unsigned i = 0; i < im->n; i++) {
    ev = im->v[i].e;
    e = ev->e;
    m = ev->main ? w->main : w->mem;
    if (im->v[i].land.kind == '+') {
      memdev_patch (m, e->offset, e->data, e->count);
      continue;
    }
    for (unsigned u = 0; u < ev->units; u++)
      if (unit_lands (im->v[i].land, u, ev->units)) {
        at = u * SECTOR_SIZE;
        n = min_u64 (e->count - at, SECTOR_SIZE);
        memdev_patch (m, e->offset + at, e->data + at, n);
      }
  }
}

/* Reads everything as a client would.  What can't be read is filled in with
 * what is there all the same.  Returns what is wrong, or NULL.
 */
static const char *
read_back (struct world *w, uint8_t *buf)
{
  static char text[100];
  const uint8_t *data;
  uint64_t state;
  int err;

  err = engine_pread (&w->conn, buf, w->config.main_size, 0);
  for (unsigned s = 0; s < w->nsectors && err; s++) {
    state = STATE_OF (sector_state_of (w, s));
    if (engine_pread (&w->conn, buf + SEC (s), sector_len (w, s), SEC (s)) == 0)
      continue;
    if (state != LOST && (state != DIRECT || !block_unreadable (w, s))) {
      snprintf (text, sizeof text, "sector %u can't be read", s);
      return text;
    }
    data = world_peek (w, s);
    if (data)
      memcpy (buf + SEC (s), data, sector_len (w, s));
    else
      memset (buf + SEC (s), 0xee, SECTOR_SIZE);
  }
  return NULL;
}

static bool
digest_ok (const struct expect *ex, uint64_t digest)
{
  for (unsigned i = 0; i < ex->ndigests; i++)
    if (ex->digest[i] == digest)
      return true;
  return ex->any_digest;
}

/* A sector that is LOST, or that main can't read, holds anything. */
static const char *
compare (struct world *w, const struct expect *ex, const uint8_t *buf)
{
  static char text[100];
  enum sector_state state;
  bool ok;

  for (unsigned s = 0; s < w->nsectors; s++) {
    state = STATE_OF (sector_state_of (w, s));
    ok = state == LOST || (state == DIRECT && block_unreadable (w, s));
    for (unsigned i = 0; i < ex->nchoices[s] && !ok; i++)
      ok = memcmp (buf + SEC (s), ex->choice[s][i], sector_len (w, s)) == 0;
    if (!ok) {
      snprintf (text, sizeof text, "sector %u (%c) holds something else than "
                "was written, or than is durable", s, "DRLZ"[state]);
      return text;
    }
  }
  return NULL;
}

/* It goes on as if nothing had happened: sectors change their state, new
 * slots are taken; and what was acknowledged is there after a restart.
 */
static const char *
use_further (struct world *w, struct model *m, uint64_t *end)
{
  static uint8_t buf[MAX_SECTORS * SECTOR_SIZE];
  const unsigned bad = sector_with (w, 'B');
  const struct op ops[] = {
    { .kind = 'z', .start = bad, .count = 1 },
    { .kind = 'w', .start = bad - 1, .count = 2 },
    { .kind = 'f' },
  };
  const char *wrong = NULL;
  uint64_t digest;

  for (unsigned i = 0; i < sizeof ops / sizeof ops[0] && !wrong; i++)
    wrong = run_op (m, &ops[i]);
  *end = w->clock;
  if (wrong)
    return wrong;
  digest = world_digest (w);
  world_close (w, false);
  if (world_open (w, false) != 0)
    return w->message.text[0] ? w->message.text : "no message";
  if (world_digest (w) != digest)
    return "the next start finds another state";
  wrong = read_back (w, buf);
  return wrong ? wrong : check_all (m);
}

static bool
wrote (const struct world *w, unsigned from)
{
  for (size_t i = 0; i < w->mem->nevents; i++)
    if (w->mem->event[i].time >= from && !w->mem->event[i].flush)
      return true;
  return false;
}

static const char *
check_opened (struct explorer *x, int level, uint64_t *end)
{
  static uint8_t buf[LEVELS][MAX_SECTORS * SECTOR_SIZE];
  struct world *w = x->w[level];
  const char *wrong;

  if (!world_is_owner (w))
    return "the stamp isn't that of the server that has it";
  if (!digest_ok (&x->expect[level], world_digest (w)))
    return "not the state that was acknowledged, nor the one under way";
  wrong = read_back (w, buf[level]);
  if (wrong == NULL)
    wrong = compare (w, &x->expect[level], buf[level]);
  if (wrong)
    return wrong;
  model_reset (x->m[level], buf[level]);
  wrong = use_further (w, x->m[level], end);
  if (wrong == NULL && w->mem->outside + w->main->outside > 0)
    wrong = "an operation left the device";
  return wrong;
}

void
check_state (struct explorer *x, int level)
{
  struct world *w = x->w[level];
  const uint64_t hash = x->image[level].hash;
  uint64_t opened, end = 0;
  const char *wrong;

  world_rewind (w, level * 1000);
  apply_image (w, &x->image[level]);
  w->watch = level + 1 < LEVELS;
  if (world_open (w, x->expect[level].may_format) != 0) {
    state_failed (x, level, "it doesn't open: %s", w->message.text);
    return;
  }
  opened = w->clock;
  wrong = check_opened (x, level, &end);
  if (wrong) {
    state_failed (x, level, "%s", wrong);
    return;
  }
  if (level + 1 == LEVELS)
    return;
  collect_events (x, level);
  if (x->shallow)
    return;
  /* Crashes while it was opened, if that wrote anything at all. */
  for (unsigned n = 1; n <= opened && wrote (w, 0); n++) {
    make_expect (x, level, n, true);
    explore_point (x, level, n);
  }
  if (hash / 2 % x->use_every > 0)
    return;
  for (unsigned n = opened + 1; n <= end; n++) {
    make_expect (x, level, n, true);
    explore_point (x, level, n);
  }
}

void
check_kill (struct explorer *x, unsigned n, bool any_digest)
{
  static uint8_t buf[MAX_SECTORS * SECTOR_SIZE];
  struct world *w = x->w[1];
  struct event *pending[MAX_PENDING];
  unsigned k = find_pending (x, 0, n, pending), i, flushed = 0;
  const char *wrong;
  bool failed = false;

  make_expect (x, 0, n, false);
  x->expect[1].any_digest = any_digest;
  /* What an earlier flush has lost may be older than what is durable: then
   * only the order of all writes gives what can be read.
   */
  for (i = 0; i < n && !failed; i++)
    failed = x->events[0].v[i].units == 0 && !x->events[0].v[i].e->flush;
  for (i = 0; i < k; i++)
    x->lands[0][i] = (struct land) { failed ? '+' : '-', 0 };
  build_image (x, 0, n, x->lands[0]);
  x->totals.kills++;
  x->killed = true;
  x->point[0] = n;
  world_rewind (w, 1000);
  apply_image (w, &x->image[1]);
  for (i = 0; i < k && !failed; i++)
    memdev_inject (pending[i]->main ? w->main : w->mem, pending[i]->e->offset,
                   pending[i]->e->data, pending[i]->e->count);
  w->watch = true;
  wrong = world_open (w, x->expect[1].may_format) ? w->message.text
    : !digest_ok (&x->expect[1], world_digest (w))
    ? "not the state that was acknowledged, nor the one under way" : NULL;
  if (wrong == NULL) {
    collect_events (x, 1);
    wrong = read_back (w, buf);
  }
  if (wrong == NULL)
    wrong = compare (w, &x->expect[1], buf);
  if (wrong) {
    state_failed (x, 1, "after a kill: %s", wrong);
    x->killed = false;
    return;
  }

  /* Then the power fails while it starts.  Until it has flushed the spare,
   * either state may come back, and from then on only what it saw.
   */
  make_expect (x, 0, n, true);
  x->expect[1].any_digest = any_digest;
  for (i = k + 1; i <= x->events[1].n && wrote (w, k) && !x->shallow && !failed;
       i++) {
    x->expect[2] = x->expect[1];
    flushed |= x->events[1].v[i-1].e->flush;
    if (flushed) {
      x->expect[2].ndigests = 1;
      x->expect[2].digest[0] = w->snapshot[0].digest;
      x->expect[2].hash++;
    }
    explore_point (x, 1, i);
  }
  x->killed = false;
}
