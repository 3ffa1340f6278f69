/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A copy of a spare, made while it is in use, that can be used in its place:
 * it has the UUID, and the states that all sectors had at one moment, with
 * the number of the last commit; and of each sector the content of that moment
 * or of a later one.
 *
 * Clients don't wait for it.  A slot that they give up isn't used again until
 * the copy is done, though; where no other slot is free, the copy is given up.
 * It needs memory for the map of that moment, a bit for each slot, and a
 * MiB.
 */

#ifndef REMAP_SPARE_BACKUP_H
#define REMAP_SPARE_BACKUP_H

#include "spare/spare.h"

struct backup_result {
  uint64_t size;                /* bytes that the copy must have */
  uint64_t commit;              /* the number of its last commit */
  uint64_t sectors;             /* copied */
  uint64_t lost;                /* sectors that are LOST in the copy, since
                                 * their slots can't be read */
  bool is_older;                /* the spare itself has a later commit now, by
                                 * which the two can be told apart */
};

/* Writes to OUT, which reads as zeroes; what isn't used isn't written.  STOP
 * (may be NULL) says whether to give up; it is asked before each MiB.  Nothing
 * else may be written to OUT meanwhile.  When it returns, OUT was flushed.
 * One at a time; any thread.  Returns 0, or an errno with MESSAGE set; then OUT
 * has some of it: EBUSY (another one is under way), ECANCELED, ENOSPC (no slots
 * are free), EIO (nothing can be read), ENOMEM, or what OUT says.
 */
extern int spare_backup (struct spare *spare, const struct device *out,
                         bool (*stop) (void *opaque), void *opaque,
                         struct backup_result *result,
                         struct message *message);

/* Was the spare made so?  Then *COMMIT is the number of its last commit of that
 * time: it has been used since if it has a later one.  *TIME: when, seconds
 * since 1970, UTC.
 */
extern bool spare_was_backup (struct spare *spare, uint64_t *commit,
                              uint64_t *time);

#endif /* REMAP_SPARE_BACKUP_H */
