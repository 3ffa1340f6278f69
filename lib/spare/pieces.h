/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The pages of a checkpoint, written piece by piece into the log area that
 * isn't active, while commits are made between the pieces.
 *
 * What is written is the state of one moment, at which the maps are pinned;
 * it has the number of the last commit of that time.  Commits that are made
 * later go to the active area as always, which is what makes them durable,
 * and behind the checkpoint as well: those made before its length was known
 * are copied, the others are written to both places at once.  So in the end
 * the new area says the same as the old one, and a header can switch
 * (promise 15 of remap-promises(7)).
 *
 * Before that moment the reasons and times of all changes are read from the
 * active area, a piece at a time too, since they are nowhere else.  They are
 * for people: where they can't be read, or have no room, they are left out.
 *
 * All of it is the leader's.  A checkpoint that isn't finished is of no
 * consequence and can be dropped at any time.
 */

#ifndef REMAP_SPARE_PIECES_H
#define REMAP_SPARE_PIECES_H

#include "spare/carried.h"
#include "spare/internal.h"
#include "spare/notes.h"
#include "spare/state.h"

enum pieces_stage {
  PIECES_NOTES,                 /* reading reasons and times */
  PIECES_COUNT,                 /* pinned; how long will it be? */
  PIECES_WRITE,
  PIECES_COPY,                  /* of commits made during PIECES_COUNT */
  PIECES_DONE,                  /* not flushed yet */
};

struct checkpoint {
  struct spare *s;
  enum pieces_stage stage;

  /* Given by whoever begins it, before the first step. */
  unsigned index;               /* of the area in the headers */
  struct log_area area;         /* as far as it has storage */
  uint64_t remain;              /* pages to be left for commits, at least 1 */
  uint32_t piece;               /* pages for one step */
  bool elsewhere;               /* in an area that no header has yet: whoever
                                 * grows the spare finishes it */
  bool of_update;               /* of the open update, not pinned: then no
                                 * commit may come between steps */
  const uint8_t *update;        /* pages of that update, or NULL */
  uint32_t update_pages;
  uint64_t counters[NR_SPARE_COUNTERS]; /* unless OF_UPDATE: set here */

  bool has_notes;               /* NOTES are there */
  bool reading;                 /* ... and an update of them is open */
  struct notes notes;
  uint32_t read, bad;           /* pages of the active area */
  uint64_t now;

  bool pinned;                  /* at PIN */
  struct state_pin pin;
  uint64_t number, nonce;       /* the checkpoint's */
  uint32_t pin_pos;             /* where the log ended then */
  struct carried carried;
  struct state_walk walk;
  size_t attribute;             /* the next one of those carried */
  struct log_place next;        /* for what comes next */
  uint32_t total, written;      /* pages of the checkpoint; 0: not known */
  uint32_t copied, copy_end;    /* positions in the active area */
  uint8_t *window;              /* PIECE + 1 pages */
};

/* One step.  Returns 0; ENOSPC (it doesn't fit, or there is no storage),
 * ENOMEM, or another errno of the device.  After an error it can only be
 * dropped.
 */
extern int pieces_step (struct checkpoint *c);

/* Where the log ends in the new area, if no commit is made any more. */
extern uint64_t pieces_end (const struct checkpoint *c);

/* A commit has been written to the active area at s->pos: N pages, which are
 * changed.  Errors as above.
 */
extern int pieces_mirror (struct checkpoint *c, void *pages, uint32_t n);

/* Unpins and frees what C points to, not C. */
extern void pieces_free (struct checkpoint *c);

#endif /* REMAP_SPARE_PIECES_H */
