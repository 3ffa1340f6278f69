/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Lists of bad areas that consist of columns of numbers: mapfiles, lists of
 * badblocks, ranges, and logs of HDDSuperClone and OpenSuperClone.
 */

#ifndef REMAP_COLUMNS_H
#define REMAP_COLUMNS_H

#include "base/list-format.h"
#include "base/listing.h"

struct columns {
  enum list_format format;      /* LIST_ANY until a line has shown it */
  bool told;                    /* the user has said the format */
  bool first_seen;              /* a mapfile's or log's line of its position */
  uint32_t block;               /* bytes; 0: the format's own */
  uint32_t sector;              /* bytes, as a log's comment says; or 0 */
  uint64_t extent;              /* see list_about */
};

/* Reads one line, without its end. */
extern int columns_line (struct columns *c, struct listing *l,
                         struct token line);

#endif /* REMAP_COLUMNS_H */
