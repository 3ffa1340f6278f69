/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Lists of bad areas that other programs write and read: GNU ddrescue
 * mapfiles and badblocks(8) lists.
 *
 * The parser takes memory, not a path; trusts nothing (promise 23 of
 * remap-promises(7)); and says in which line it found what.
 */

#ifndef REMAP_AREAS_H
#define REMAP_AREAS_H

#include "base/message.h"
#include "base/sector.h"

/* Byte ranges, ascending, not overlapping, adjacent ones joined. */
struct area {
  uint64_t offset, count;  /* bytes */
};

struct area_list {
  struct area *v;
  size_t n;
};

/* Parses TEXT (LEN bytes).  A ddrescue mapfile is recognised by its lines
 * of three or more columns ("0x00 0x200 +"); its areas with status
 * '-', '*' or '/' are bad.  Anything else must be a badblocks list, one
 * decimal number a line, in blocks of BLOCK bytes.  Comments ('#') and
 * empty lines are skipped in both.  Areas may come in any order.
 * Returns 0, EINVAL (MESSAGE says which line), or ENOMEM.
 */
extern int areas_parse (const char *text, size_t len, uint32_t block,
                        struct area_list *list, struct message *message);
extern void area_list_free (struct area_list *list);

/* The first area that overlaps the byte range, or NULL. */
extern const struct area *area_list_find (const struct area_list *list,
                                          uint64_t offset, uint64_t count);

#endif /* REMAP_AREAS_H */
