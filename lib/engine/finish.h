/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The end of a rescue (promise 30 of remap-promises(7)): what still lives
 * elsewhere goes to the copy, LOST sectors get there what the operator chose,
 * and then it is said what isn't needed any more.  Clients go on meanwhile.
 */

#ifndef REMAP_ENGINE_FINISH_H
#define REMAP_ENGINE_FINISH_H

#include "engine/engine.h"

struct finish_options {
  bool give_up;                 /* what is DIRECT becomes LOST */
  bool marker;                  /* LOST sectors hold a text on the copy */
  bool verify;                  /* all that main still reads is compared */
};

/* Sectors. */
struct finish_result {
  uint64_t direct;              /* nowhere but on main */
  uint64_t given_up;            /* of them became LOST */
  uint64_t moved;               /* REMAPPED and ZERO, in the copy now */
  uint64_t stayed;              /* of these the copy has refused so many */
  sector_t first_stayed;
  uint64_t lost;
  uint64_t compared, unread, different;
  sector_t first_different;
  bool main_not_needed, copy_alone;
};

/* Returns 0; EBUSY: something is DIRECT, and isn't to be given up; ENOTSUP:
 * there is no copy; ECANCELED; EIO, ENOSPC, ENOMEM.  RES says how far it came.
 * /
 */
extern int engine_rescue_finish (struct engine_conn *conn,
                                 const struct finish_options *options,
                                 const struct engine_watch *watch,
                                 struct finish_result *res);

/* REMAPPED and ZERO sectors of a range go to the copy, and are written there:
 * what `unmap' does with a copy.  As engine_unmap; "bad" are those that the
 * copy refuses.
 */
extern int engine_unmap_to_copy (struct engine_conn *conn, sector_t start,
                                 uint64_t count,
                                 const struct engine_watch *watch,
                                 struct engine_result *res);

/* What a LOST sector holds on the copy then: SECTOR_SIZE bytes. */
extern void finish_marker (sector_t sector, uint8_t text[SECTOR_SIZE]);

#endif /* REMAP_ENGINE_FINISH_H */
