/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the requests of operators share.
 *
 * An operation goes through its ranges piece by piece: some whole main blocks,
 * or one.  What a piece is to become is gathered, and many pieces are committed
 * together: a commit costs two flushes, however many sectors it changes.
 *
 * Promise 8 of remap-promises(7) wants sectors to be held from the look at
 * their state until after the commit; and a block on which main hangs must hold
 * up nobody but those that want that block.  So nothing can be held exclusively
 * while the next piece is read.  Pieces are held tentatively instead (see
 * base/rangelock.h), from before they are looked at and read:
 *
 *   - nobody waits for them, however long main takes for one of them;
 *   - whoever writes, zeroes, remaps or isolates a sector, or changes its state
 *     in whatever way, holds it, shared or exclusively: then our hold of it is
 *     gone, and what we have read of it counts for nothing;
 *   - whoever reads a slot only looks: that takes no hold away, but for one at
 *     which somebody is looking just when it is to become exclusive;
 *   - at the end all holds that are still there become exclusive, in no time.
 *     Nobody has changed anything of these pieces since they were looked at:
 *     their states, and what main holds there, are what they were.  They stay
 *     exclusive until the commit has ended.  States are looked at again then,
 *     under the holds, and those alone decide.
 *
 * Pieces whose hold was gone are done after that, one at a time, under an
 * exclusive hold from beginning to end: a block that is always in use is done
 * all the same.
 *
 * What has been gathered is committed when it is much (see below), at the end,
 * at an error, and once a second, as far as the piece at hand ends by then: so
 * a kill loses at most a second of reads, and those of one block.
 */

#ifndef REMAP_ENGINE_OPERATION_H
#define REMAP_ENGINE_OPERATION_H

#include "base/sector.h"
#include "engine/record.h"
#include "engine/request.h"

/* What is read from main at once, as long as nothing fails.  Bytes. */
#define OPERATION_PIECE (UINT32_C (128) << 10)

/* What is committed together.  Clients that need one of its blocks wait while
 * this is written to slots, and for two flushes.  With 256 pieces, each perhaps
 * of one sector, that makes eight flushes for a thousand changes.
 */
#define BATCH_PIECES 256U
#define BATCH_BYTES (UINT32_C (1) << 20)
#define BATCH_CHANGES 8192U
#define BATCH_MS 1000

/* Blocks that are about to change. */
struct piece {
  struct exclusive_hold hold;
  uint64_t start, end;                  /* bytes, whole blocks */
  uint8_t *data;                        /* read from main; or NULL */
  bool there;                           /* the hold is */
  bool again;                           /* not as a part of this batch */
  bool settled;                         /* nothing becomes of it */
  bool reported;                        /* what is bad in it was */
  uint64_t done, left;                  /* sectors, if it is committed */
};

/* A request of an operator on its way. */
struct operation {
  struct engine *e;
  struct engine_conn *conn;             /* NULL: main isn't asked */
  const struct engine_watch *watch;
  struct engine_result *res;
  enum change_reason why;
  uint8_t *buf;                 /* 2 * size bytes; NULL without CONN */
  uint32_t size;                /* of a piece: bytes, whole blocks */

  /* What is done with all pieces before their holds become exclusive; it may
   * say of a piece that it is to be done AGAIN, or is SETTLED.  May be NULL.
   */
  int (*before) (struct operation *op);

  /* Both NULL: nothing is gathered.  APPLY adds to the record what becomes of
   * a piece that is held exclusively, and sets its DONE and LEFT; it may be
   * called twice.  AGAIN does all that is to be done with blocks from START to
   * END.
   */
  void (*apply) (struct operation *op, struct record *rec, struct piece *p);
  int (*again) (struct operation *op, uint64_t start, uint64_t end);

  /* The units' own. */
  enum sector_state from, to;
  uint64_t single_until;

  /* operation.c's. */
  struct piece *piece;                  /* BATCH_PIECES of them */
  unsigned nr_pieces;
  uint8_t *data;                        /* BATCH_BYTES, at least SIZE */
  uint64_t used;
  uint64_t changes, since_ms;
  uint64_t passed, total;               /* sectors: of the ranges before this
                                         * one, and of all */
};

/* Checks the ranges, and calls PIECE for the blocks that they touch: from
 * START, at most to END.  PIECE says how far it came in *DONE, which may be
 * START.  MAPPED_ONLY: blocks that are all DIRECT are left.  Nothing is changed
 * if any range isn't within main.
 */
typedef int piece_function (struct operation *op, uint64_t start,
                            uint64_t end, uint64_t *done);
extern int operate (struct operation *op, const struct sector_range *ranges,
                    size_t n, bool mapped_only, piece_function *piece);

/* For PIECE.  Holds these blocks tentatively, from START to END or less; DATA
 * has room for them if main is asked.  One piece at a time is added and read;
 * the last one can be given up, if main is asked.  CHANGES: roughly what it
 * will add to a record.
 */
extern struct piece *hold_piece (struct operation *op, uint64_t start,
                                 uint64_t end, uint64_t changes);
extern void drop_piece (struct operation *op);

/* Calls F for one block after the other, each under an exclusive lock of its
 * own: a block on which main hangs holds up only requests for that block.
 */
typedef int block_function (struct operation *op, struct request *r,
                            uint64_t block, uint64_t end);
extern int one_by_one_from (struct operation *op, uint64_t start,
                            uint64_t end, block_function *f);

/* Calls F for one block, under an exclusive lock of it. */
extern int with_block (struct operation *op, uint64_t block,
                       block_function *f);

/* These sectors can't be read. */
extern void report_bad (struct operation *op, sector_t start,
                        uint64_t count);

/* ERR came from main.  0 if it is about one place only: a media error, and
 * main is alive; else the error that the request ends with.
 */
extern int only_a_bad_place (struct request *r, int err);

/* The same where nothing changes for what is bad: it is enough that main isn't
 * known to be dead.
 */
extern int perhaps_a_bad_place (struct request *r, int err);

#endif /* REMAP_ENGINE_OPERATION_H */
