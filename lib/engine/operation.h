/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the requests of operators share: an operation moves, records or reads
 * whole main blocks, a few or one at a time, each under a lock of its own.
 */

#ifndef REMAP_ENGINE_OPERATION_H
#define REMAP_ENGINE_OPERATION_H

#include "engine/request.h"

/* A request of an operator on its way. */
struct operation {
  struct engine *e;
  struct engine_conn *conn;             /* NULL: main isn't asked */
  const struct engine_watch *watch;
  struct engine_result *res;
  enum change_reason why;
  uint8_t *buf;                 /* 2 * size bytes; NULL without CONN */
  uint32_t size;                /* of a piece: bytes, whole blocks */
};

/* Checks the range, and calls PIECE for the blocks that it touches: from
 * START, at most to END.  PIECE says how far it came in *DONE.
 * MAPPED_ONLY: blocks that are all DIRECT are left.
 */
typedef int piece_function (struct operation *op, uint64_t start,
                            uint64_t end, uint64_t *done);
extern int operate (struct operation *op, sector_t start, uint64_t count,
                    bool mapped_only, piece_function *piece);

/* What is moved at once, as long as nothing fails; clients that need one
 * of these blocks wait until it has been moved.  Bytes.
 */
#define OPERATION_PIECE (UINT32_C (128) << 10)

/* Calls F for one block after the other, each under an exclusive lock of its
 * own: a block on which main hangs holds up only requests for that block.
 */
typedef int block_function (struct operation *op, struct request *r,
                            uint64_t block, uint64_t end);
extern int one_by_one_from (struct operation *op, uint64_t start,
                            uint64_t end, block_function *f, uint64_t *done);

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

#endif /* REMAP_ENGINE_OPERATION_H */
