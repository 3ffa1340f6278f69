/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Keeping: what is read from main goes to the copy, behind the reader's back
 * (promises 25 and 26 of remap-promises(7)).
 *
 * What main returns to a reader is copied into memory, and the reader is
 * answered.  A thread takes one such piece after the other and stores it in the
 * copy, if it is still DIRECT: it holds the piece exclusively, looks at the
 * state, writes, and says KEPT.  As nothing is ever written to main while there
 * is a copy, and nothing becomes DIRECT again but what was kept and was lost
 * with the copy's cache, a sector that is DIRECT under the lock holds on main
 * what was read of it, however long ago that was.  So a late keeping never goes
 * over a newer write, and is never out of date.
 *
 * The pieces are in a table from the moment at which main is asked until they
 * are KEPT.  Whoever wants sectors that are in the table waits for main's
 * answer together with the first reader, or finds them in memory: main is asked
 * once.  States are looked up again under the table's mutex, and KEPT is said
 * before a piece leaves the table: so nobody finds a sector DIRECT and in no
 * piece who ought to find it in one.  A reader joins only for sectors that are
 * DIRECT when it joins: what a client has written since main was asked isn't.
 *
 * Memory is bounded.  Where there is none, or the copy is full or fails, the
 * reader is answered all the same, and the sectors stay DIRECT.
 */

#ifndef REMAP_ENGINE_KEEP_H
#define REMAP_ENGINE_KEEP_H

#include "engine/request.h"

extern void keep_init (struct keeping *k, uint64_t most_bytes);
/* No other thread uses it any more. */
extern void keep_destroy (struct keeping *k);

/* Reads whole blocks of main that were DIRECT a moment ago, from START on, at
 * most to END; *DONE says how far.  LOOK_AGAIN if they aren't any more.
 * Another result is main's error, and says nothing of a single block.
 */
extern int keep_read (struct request *r, uint8_t *buf, uint64_t start,
                      uint64_t end, uint64_t *done);

/* The same for the one block at BLOCK, of which the bytes from START to END are
 * wanted; others may be in any state, and what BUF (a block) has of these means
 * nothing.
 */
extern int keep_read_block (struct request *r, uint8_t *buf, uint64_t block,
                            uint64_t start, uint64_t end);

/* Main has returned this content of whole blocks, another way.  AGAIN: since
 * the copy couldn't read what is KEPT there, so that this is written again,
 * too.  False: it won't be kept.
 */
extern bool keep_content (struct engine *e, const uint8_t *buf, uint64_t start,
                          uint64_t end, bool again);

/* The keeper's: stores one piece, if there is one; CONN is its own.  False:
 * there was none.
 */
extern bool keep_one (struct engine_conn *conn);

/* Waits until there is a piece, or MS milliseconds; false: it is to stop. */
extern bool keep_wait (struct engine *e, unsigned ms);
extern void keep_stop (struct engine *e);

/* For how long no client has read from main, in milliseconds of the engine's
 * clock, as far as that went through here; 0 while one does.
 */
extern uint64_t keep_idle_ms (struct engine *e);

/* Bytes that were kept since this was last asked with RESET. */
extern uint64_t keep_unrecorded (struct engine *e, bool reset);

#endif /* REMAP_ENGINE_KEEP_H */
