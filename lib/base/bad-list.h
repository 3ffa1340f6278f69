/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Lists of bad areas that other programs write: which sectors of a disk could
 * not be read.
 *
 * The parser takes memory, not a path; trusts nothing (promise 23 of
 * remap-promises(7)); and says in which line it found what.
 */

#ifndef REMAP_BAD_LIST_H
#define REMAP_BAD_LIST_H

#include "base/areas.h"
#include "base/list-format.h"
#include "base/message.h"

struct list_options {
  enum list_format format;
  int64_t block;           /* bytes of a block or sector, below 2^32, or -1:
                            * what the format has or the text says
                            */
  uint64_t offset;         /* bytes, added to every area */
  const char *device;      /* of lists that name devices: which one, "sda";
                            * NULL: there must be one only
                            */
};

/* What a list says beside its areas. */
struct list_about {
  enum list_format format;
  uint64_t extent;         /* bytes that a mapfile or log describes, from 0
                            * on and without the offset; 0: unknown
                            */
  char device[33];         /* that the list names first, "" if none */
  uint64_t left_out;       /* lines about errors that are not of the medium */
};

/* Parses TEXT (LEN bytes).  Which of the formats it is shows from its lines;
 * a text that mixes them is refused, because half of it would be taken for
 * something that it isn't.  LIST_RANGES is not recognised: two numbers alone
 * can be anything.  Areas may come in any order.
 * Returns 0, EINVAL (MESSAGE says which line), or ENOMEM.
 */
extern int bad_list_parse (const char *text, size_t len,
                           const struct list_options *options,
                           struct area_list *list, struct list_about *about,
                           struct message *message);

/* The name that a user gives a format, "mapfile"; and which one that is,
 * LIST_FORMATS if none.
 */
extern const char *list_format_name (enum list_format format);
extern enum list_format list_format_find (const char *name);

/* May the user say the size of a block?  Not of lists whose sectors always have
 * 512 bytes.  It means nothing for a mapfile.
 */
extern bool list_format_takes_block (enum list_format format);

#endif /* REMAP_BAD_LIST_H */
