/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What lives in slots, or is zeroes by its state alone, goes to the copy
 * (promises 29 and 30 of remap-promises(7)): written there under an exclusive
 * lock, flushed with the next batch, and recorded as WRITTEN.  Only then its
 * slot is free.
 */

#ifndef REMAP_ENGINE_FOLD_H
#define REMAP_ENGINE_FOLD_H

#include "engine/request.h"

/* What it is done in: bytes, whole blocks of the copy. */
#define FOLD_PIECE PIECE_SIZE

struct fold {
  struct engine_conn *conn;
  uint8_t *buf;                 /* FOLD_PIECE bytes, aligned */
  uint64_t moved, stayed;       /* sectors; STAYED: the copy, or a slot, has
                                 * refused */
  sector_t first_stayed;
};

/* The REMAPPED and ZERO sectors among those of at most FOLD_PIECE bytes.
 * Returns 0, or EIO, ENOSPC, ENOMEM.
 */
extern int fold_piece (struct fold *f, uint64_t start, uint64_t end);

/* The LOST sectors there get a content on the copy, and stay LOST: FILL is
 * asked for that of each; NULL: zeroes.
 */
extern int fold_fill (struct fold *f, uint64_t start, uint64_t end,
                      void (*fill) (sector_t sector, uint8_t *text));

/* What is DIRECT there becomes LOST; *N sectors. */
extern int fold_give_up (struct fold *f, uint64_t start, uint64_t end,
                         uint64_t *n);

#endif /* REMAP_ENGINE_FOLD_H */
