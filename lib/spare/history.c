/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The pages of a log area are written once, in order, until a checkpoint
 * starts the next generation in the other area.  So a reader needs no lock
 * but to learn how far the log goes: a page that isn't of the generation
 * that it expects has been overwritten meanwhile, and everything is read
 * again.
 */

#include <config.h>

#include <stdlib.h>

#include "spare/history.h"
#include "spare/internal.h"
#include "spare/notes.h"

/* Generations that may pass while the log is being read. */
#define MAX_PASSES 4

struct spare_history {
  struct spare *spare;
  const struct map *map;

  pthread_mutex_t mutex;        /* guards all that follows */
  bool filled;                  /* NOTES is there */
  struct notes notes;           /* by sector only */
  uint64_t generation;          /* that was read up to POS */
  uint32_t pos;
};

static void
drop (struct spare_history *h)
{
  if (h->filled)
    notes_free (&h->notes);
  h->filled = false;
}

/* How far the log goes. */
static void
look_at_log (struct spare *s, struct header *hdr, uint32_t *pos)
{
  pthread_mutex_lock (&s->lock);
  *hdr = s->hdr;
  *pos = s->pos;
  pthread_mutex_unlock (&s->lock);
}

static int
update (struct spare_history *h)
{
  struct header hdr;
  uint32_t pos, bad;
  int err;

  for (int pass = 0; pass < MAX_PASSES; pass++) {
    look_at_log (h->spare, &hdr, &pos);
    if (h->filled && h->generation != hdr.generation)
      drop (h);
    if (!h->filled) {
      err = notes_init (&h->notes, false);
      if (err)
        return err;
      h->filled = true;
      h->generation = hdr.generation;
      h->pos = 0;
    }
    if (pos == h->pos)
      return 0;
    err = notes_read (h->spare->dev, &h->notes, &hdr, h->pos, pos, &bad);
    if (err)
      return err;
    h->pos = pos;
    if (bad == 0)
      return 0;
    /* Damaged, or written over since. */
    look_at_log (h->spare, &hdr, &pos);
    if (hdr.generation == h->generation)
      return 0;
  }
  return 0;
}

/* What is known of sector START, and how many of COUNT it holds for. */
static bool
note_at (struct spare_history *h, sector_t start, uint64_t count,
         struct history_run *run)
{
  struct run note;

  run->why = WHY_UNKNOWN;
  run->since = 0;
  run->run.count = count;
  if (!h->filled)
    return false;
  note = map_lookup (h->notes.sectors, start, count);
  run->run.count = note.count;
  if (note.state != MAP_NOTE)
    return false;
  run->why = note.slot >> NOTE_TIME_BITS;
  run->since = note.slot & NOTE_TIME_MAX;
  return true;
}

/* The piece at START; false if that is DIRECT. */
static bool
piece_at (struct spare_history *h, sector_t start, uint64_t count,
          struct history_run *run)
{
  struct run state = map_lookup (h->map, start, count);

  if (state.state == DIRECT)
    return false;
  /* Changed since the last update?  The log is known to go as far as the
   * map does.
   */
  if (!note_at (h, start, count, run) && h->filled && update (h) == 0)
    note_at (h, start, count, run);
  state = map_lookup (h->map, start, run->run.count);
  run->run = state;
  return state.state != DIRECT;
}

static bool
continues (const struct history_run *a, const struct history_run *b)
{
  return a->run.state == b->run.state && a->why == b->why &&
         a->since == b->since &&
         (a->run.state != REMAPPED ||
          a->run.slot + a->run.count == b->run.slot);
}

static bool
find_next (struct spare_history *h, sector_t start, sector_t end,
           struct history_run *run)
{
  struct history_run more;
  struct run first;

  while (start < end && !piece_at (h, start, end - start, run)) {
    if (!map_next (h->map, start, &first) || first.start >= end)
      return false;
    if (first.start > start)
      start = first.start;
  }
  if (start >= end)
    return false;
  for (start += run->run.count; start < end; start += more.run.count) {
    if (!piece_at (h, start, end - start, &more) || !continues (run, &more))
      break;
    run->run.count += more.run.count;
  }
  return true;
}

struct spare_history *
spare_history_new (struct spare *spare, const struct map *map)
{
  struct spare_history *h = calloc (1, sizeof *h);

  if (h == NULL)
    return NULL;
  h->spare = spare;
  h->map = map;
  pthread_mutex_init (&h->mutex, NULL);
  if (spare->history != NULL && atomic_load (&spare->commits) == 0 &&
      atomic_load (&spare->checkpoints) == 0) {
    h->notes.sectors = spare->history;
    h->filled = true;
    h->generation = spare->hdr.generation;
    h->pos = spare->pos;
    spare->history = NULL;
  }
  return h;
}

void
spare_history_free (struct spare_history *h)
{
  if (h == NULL)
    return;
  drop (h);
  pthread_mutex_destroy (&h->mutex);
  free (h);
}

void
spare_history_drop (struct spare_history *h)
{
  pthread_mutex_lock (&h->mutex);
  drop (h);
  pthread_mutex_unlock (&h->mutex);
}

int
spare_history_update (struct spare_history *h)
{
  int err;

  pthread_mutex_lock (&h->mutex);
  err = update (h);
  pthread_mutex_unlock (&h->mutex);
  return err;
}

bool
spare_history_next (struct spare_history *h, sector_t start, sector_t end,
                    struct history_run *run)
{
  bool found;

  pthread_mutex_lock (&h->mutex);
  found = find_next (h, start, end, run);
  pthread_mutex_unlock (&h->mutex);
  return found;
}

const char *
change_reason_name (enum change_reason why)
{
  static const char *const names[] = {
    [WHY_UNKNOWN] = "unknown", [WHY_AUTO_WRITE] = "auto-write",
    [WHY_AUTO_READ] = "auto-read", [WHY_WEAK] = "weak",
    [WHY_MANUAL] = "manual", [WHY_IMPORT] = "import",
    [WHY_CLIENT] = "client", [WHY_VANISH] = "vanish",
  };

  return (unsigned) why <= WHY_LAST ? names[why] : names[WHY_UNKNOWN];
}

const char *
sector_state_name (enum sector_state state)
{
  static const char *const names[] = {
    [DIRECT] = "direct", [REMAPPED] = "remapped", [LOST] = "lost",
    [ZERO] = "zero", [KEPT] = "kept", [WRITTEN] = "written",
  };

  return (unsigned) state < NR_SECTOR_STATES && names[state] ? names[state]
    : "unknown";
}
