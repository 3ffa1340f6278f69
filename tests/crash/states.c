/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * From a run to the states that a crash can leave behind.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "states.h"

/* With more unflushed writes than these not all subsets are looked at, and
 * not all subsets beside a torn write.
 */
#define MAX_ALL 10
#define MAX_ALL_TORN 5

static uint64_t *seen, seen_size, seen_n;

static void
seen_grow (void)
{
  uint64_t *old = seen, old_size = seen_size, i;

  seen_size = seen_size ? seen_size * 2 : UINT64_C (1) << 20;
  seen = calloc (seen_size, sizeof *seen);
  if (seen == NULL)
    bug ("out of memory");
  seen_n = 0;
  for (i = 0; i < old_size; i++)
    if (old[i])
      seen_add (old[i]);
  free (old);
}

bool
seen_add (uint64_t v)
{
  uint64_t i;

  if (seen_n >= seen_size / 4 * 3)
    seen_grow ();
  v |= 1;                       /* 0 is an empty place */
  for (i = v >> 1; seen[i & (seen_size - 1)]; i++)
    if (seen[i & (seen_size - 1)] == v)
      return false;
  seen[i & (seen_size - 1)] = v;
  seen_n++;
  return true;
}

void
seen_clear (void)
{
  if (seen)
    memset (seen, 0, seen_size * sizeof *seen);
  seen_n = 0;
}

static void
add_event (struct explorer *x, int level, const struct memdev_event *e,
           bool main, uint64_t **memory)
{
  struct event *v = &x->events[level].v[e->time];
  uint32_t i, n;

  *v = (struct event) { .e = e, .main = main, .hash = *memory };
  if (e->flush)
    return;
  v->units = (e->count + SECTOR_SIZE - 1) / SECTOR_SIZE;
  for (i = 0; i < v->units; i++) {
    n = min_u64 (e->count - i * SECTOR_SIZE, SECTOR_SIZE);
    v->hash[i] = hash_bytes (e->data + i * SECTOR_SIZE, n) ^
      x->base_hash[main][e->offset / SECTOR_SIZE + i];
  }
  *memory += v->units;
}

#define HASH_MEMORY (MAX_EVENTS * 16)

void
collect_events (struct explorer *x, int level)
{
  struct world *w = x->w[level];
  uint64_t *memory = x->hash_memory[level];
  size_t i, units = 0;

  if (w->clock > MAX_EVENTS)
    bug ("too many events: %" PRIu64, w->clock);
  for (i = 0; i < w->mem->nevents; i++)
    units += w->mem->event[i].count / SECTOR_SIZE;
  if (units + w->main->nevents * 64 > HASH_MEMORY)
    bug ("too many units");
  x->events[level].n = w->clock;
  for (i = 0; i < w->main->nevents; i++)
    add_event (x, level, &w->main->event[i], true, &memory);
  for (i = 0; i < w->mem->nevents; i++)
    add_event (x, level, &w->mem->event[i], false, &memory);
}

/* The writes among the first N events of that run that a crash may undo: a
 * flush makes all durable that came before it, but not what an earlier one
 * that failed has lost.
 */
unsigned
find_pending (struct explorer *x, int level, unsigned n,
              struct event **pending)
{
  struct events *ev = &x->events[level];
  unsigned i, j, k = 0, kept, failed[2] = { 0, 0 };
  const struct event *e;

  for (i = 0; i < n; i++) {
    e = &ev->v[i];
    if (e->e->heals)
      failed[e->main] = 0;
    if (e->units > 0) {
      /* Of too many the oldest has landed. */
      if (k == MAX_PENDING - 1)
        memmove (pending, pending + 1, --k * sizeof *pending);
      pending[k++] = &ev->v[i];
    }
    else if (!e->e->flush)
      failed[e->main] = i;
    else {
      for (j = kept = 0; j < k; j++)
        if (pending[j]->main != e->main ||
            pending[j]->e->time < failed[e->main])
          pending[kept++] = pending[j];
      k = kept;
    }
  }
  return k;
}

static void
add_patch (struct explorer *x, struct image *im, const struct event *e,
           struct land land)
{
  uint64_t *unit = x->unit[e->main] + e->e->offset / SECTOR_SIZE;
  uint64_t *stamp = x->stamp[e->main] + e->e->offset / SECTOR_SIZE;

  im->v[im->n++] = (struct patch) { e, land };
  for (unsigned i = 0; i < e->units; i++) {
    if (!unit_lands (land, i, e->units))
      continue;
    if (stamp[i] == x->epoch)
      im->hash ^= unit[i];
    stamp[i] = x->epoch;
    /* The place counts, too. */
    unit[i] = e->hash[i] == 0 ? 0
      : mix (e->hash[i], e->e->offset / SECTOR_SIZE + i + e->main);
    im->hash ^= unit[i];
  }
}

/* The image of level LEVEL + 1: that of LEVEL, and on it what is durable
 * after N events of that level's run, and what lands of the rest.
 */
void
build_image (struct explorer *x, int level, unsigned n,
             const struct land *lands)
{
  struct image *im = &x->image[level+1];
  struct events *ev = &x->events[level];
  struct event *pending[MAX_PENDING];
  unsigned i, j = 0, k = find_pending (x, level, n, pending);
  const struct land whole = { '+', 0 };

  x->epoch++;
  im->n = 0;
  im->hash = 0;
  for (i = 0; level > 0 && i < x->image[level].n; i++)
    add_patch (x, im, x->image[level].v[i].e, x->image[level].v[i].land);
  for (i = 0; i < n; i++) {
    if (ev->v[i].units == 0)
      continue;
    if (j < k && pending[j] == &ev->v[i]) {
      if (lands[j].kind != '-')
        add_patch (x, im, &ev->v[i], lands[j]);
      j++;
    }
    else
      add_patch (x, im, &ev->v[i], whole);
  }
}

/* What may be found after the first N events of that level's run; CRASH: if
 * the power failed then.
 */
void
make_expect (struct explorer *x, int level, uint64_t n, bool crash)
{
  struct world *w = x->w[level];
  struct expect *ex = &x->expect[level+1];
  const struct expect *outer = level > 0 ? &x->expect[level] : NULL;
  unsigned i = 0, v;
  uint32_t allowed;
  uint64_t h;

  /* The last snapshot before; until the server has started, the first. */
  while (i + 1 < w->nsnapshots && w->snapshot[i+1].clock <= n)
    i++;
  ex->any_digest = false;
  ex->ndigests = 1;
  ex->digest[0] = w->snapshot[i].digest;
  if (i + 1 < w->nsnapshots && w->snapshot[i].clock <= n)
    ex->digest[ex->ndigests++] = w->snapshot[i+1].digest;
  ex->may_format = w->snapshot[0].clock > n &&
    (outer ? outer->may_format : w->setup->blank);
  ex->hash = mix (ex->digest[0], ex->digest[ex->ndigests-1]) +
    ex->may_format;
  for (unsigned s = 0; s < w->nsectors; s++) {
    allowed = model_allowed (x->m[level], s, n, crash);
    ex->nchoices[s] = 0;
    for (v = 0, h = 0; allowed; v++, allowed >>= 1)
      if (allowed & 1) {
        ex->choice[s][ex->nchoices[s]] = model_content (x->m[level], v, s);
        h += hash_bytes (ex->choice[s][ex->nchoices[s]++], 64);
      }
    ex->hash = mix (ex->hash, h);
  }
}

/* A state: if it is new it is checked. */
static void
emit (struct explorer *x, int level, unsigned n, const struct land *lands,
      unsigned k)
{
  memcpy (x->lands[level], lands, k * sizeof *lands);
  x->npending[level] = k;
  x->point[level] = n;
  build_image (x, level, n, lands);
  x->totals.built[level+1]++;
  if (!seen_add (mix (x->image[level+1].hash, x->expect[level+1].hash)))
    return;
  x->totals.distinct[level+1]++;
  check_state (x, level + 1);
}

static void
set_lands (struct land *lands, unsigned k, uint64_t subset)
{
  for (unsigned i = 0; i < k; i++)
    lands[i] = (struct land) { (subset >> i) & 1 ? '+' : '-', 0 };
}

/* The subsets that stand for all of K elements, if there are too many: none,
 * all, each alone, each missing, the first ones, some at random.
 */
static unsigned
sample_subsets (unsigned k, uint64_t *v, uint64_t seed)
{
  const uint64_t all = k == 64 ? UINT64_MAX : (UINT64_C (1) << k) - 1;
  unsigned n = 0, i;

  v[n++] = 0;
  v[n++] = all;
  for (i = 0; i < k; i++) {
    v[n++] = UINT64_C (1) << i;
    v[n++] = all ^ UINT64_C (1) << i;
    v[n++] = (UINT64_C (1) << i) - 1;
  }
  for (i = 0; i < 16; i++)
    v[n++] = memdev_random (&seed) & all;
  return n;
}

#define MAX_SUBSETS (1U << MAX_ALL)

static unsigned
choose_subsets (unsigned k, unsigned max, uint64_t *v, uint64_t seed)
{
  if (k > max)
    return sample_subsets (k, v, seed);
  for (unsigned i = 0; i < 1U << k; i++)
    v[i] = i;
  return 1U << k;
}

/* All ways in which a write of so many units can be torn; large ones not
 * behind each unit.
 */
static unsigned
choose_tears (unsigned units, struct land *v)
{
  const unsigned pages = (units + 7) / 8;
  unsigned n = 0, i;

  for (i = 1; i < units; i++)
    if (units <= 8 || i == 1 || i == units / 2 || i == units - 1) {
      v[n++] = (struct land) { 'p', i };
      v[n++] = (struct land) { 's', i };
    }
  if (units > 2) {
    v[n++] = (struct land) { 'e', 0 };
    v[n++] = (struct land) { 'o', 0 };
  }
  for (i = 1; i < pages && i < 16; i++) {
    v[n++] = (struct land) { 'P', i };
    v[n++] = (struct land) { 'S', i };
  }
  return n;
}

/* One write is torn, in each way, beside each subset of the others. */
static void
tear_one (struct explorer *x, int level, unsigned n,
          struct event **pending, unsigned k, unsigned which)
{
  static uint64_t subsets[LEVELS][MAX_SUBSETS];
  struct land tears[64], lands[MAX_PENDING];
  unsigned ntears = choose_tears (pending[which]->units, tears);
  unsigned nsubsets = choose_subsets (k, MAX_ALL_TORN, subsets[level], n);

  for (unsigned i = 0; i < nsubsets; i++) {
    if (!(subsets[level][i] >> which & 1))
      continue;
    set_lands (lands, k, subsets[level][i]);
    for (unsigned j = 0; j < ntears; j++) {
      lands[which] = tears[j];
      emit (x, level, n, lands, k);
    }
  }
}

/* All that land are torn in the same way. */
static void
tear_all (struct explorer *x, int level, unsigned n,
          struct event **pending, unsigned k, uint64_t subset)
{
  static const struct land tears[] = {
    { 'p', 1 }, { 's', 1 }, { 'e', 0 }, { 'o', 0 }, { 'P', 1 }, { 'S', 1 },
  };
  struct land lands[MAX_PENDING];
  unsigned torn;

  for (unsigned j = 0; j < sizeof tears / sizeof tears[0]; j++) {
    set_lands (lands, k, subset);
    torn = 0;
    for (unsigned i = 0; i < k; i++)
      if (lands[i].kind == '+' &&
          pending[i]->units > (tears[j].kind < 'a' ? 8 : 1)) {
        lands[i] = tears[j];
        torn++;
      }
    if (torn > 1)
      emit (x, level, n, lands, k);
  }
}

/* All states after the first N events of that level's run in which no
 * write is torn.
 */
void
explore_subsets (struct explorer *x, int level, unsigned n)
{
  static uint64_t subsets[LEVELS][MAX_SUBSETS];
  struct event *pending[MAX_PENDING];
  struct land lands[MAX_PENDING];
  unsigned k = find_pending (x, level, n, pending);
  unsigned nsubsets = choose_subsets (k, MAX_ALL, subsets[level], n);

  for (unsigned i = 0; i < nsubsets; i++) {
    set_lands (lands, k, subsets[level][i]);
    emit (x, level, n, lands, k);
  }
}

/* And with those. */
void
explore_point (struct explorer *x, int level, unsigned n)
{
  static uint64_t subsets[LEVELS][MAX_SUBSETS];
  struct event *pending[MAX_PENDING];
  unsigned k = find_pending (x, level, n, pending), i;
  unsigned nsubsets = choose_subsets (k, MAX_ALL_TORN, subsets[level], n);

  explore_subsets (x, level, n);
  for (i = 0; i < k; i++)
    tear_one (x, level, n, pending, k, i);
  for (i = 0; i < nsubsets; i++)
    tear_all (x, level, n, pending, k, subsets[level][i]);
}
