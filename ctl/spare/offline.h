/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A spare that no server holds, opened and locked as a server does it.
 */

#ifndef REMAPCTL_SPARE_OPEN_H
#define REMAPCTL_SPARE_OPEN_H

#include "host/sparefile.h"
#include "spare/spare.h"
#include "remapctl.h"

struct held_spare {
  struct spare_file file;
  enum spare_content content;
  struct spare_identity id;             /* if VALID or UNFINISHED */
  bool was_spare;                       /* FOREIGN, as the message says */
  struct map *map;
  struct spare *spare;                  /* NULL before hold_load */
  unsigned warnings;                    /* of the core, so far */
  bool quiet;                           /* they are only counted */
  struct message message;               /* of the last error */
};

/* Opens, locks and probes.  Returns 0 or an errno; then the message says
 * why, nothing stays open, and nothing was printed.  OPENED says whether it
 * was the content that was refused.  With CREATE, for who is going to format
 * it, a spare that can't be used any more is FOREIGN.  Of SIZE bytes (0: all
 * there are) it is said whether they are blank.
 */
extern int hold_open (struct held_spare *h, const char *path,
                      uint64_t offset, uint64_t size, bool create,
                      bool read_only, bool *opened);

/* Loads what was found to be a spare.  The same, but it stays open. */
extern int hold_load (struct held_spare *h);
extern void hold_close (struct held_spare *h);

/* The two together, with an error that is printed.  False: that. */
extern bool hold_spare (struct held_spare *h, const char *path,
                        uint64_t offset, bool read_only);

extern const char *content_name (enum spare_content content);

/* What the offline commands have in common: MIN to MAX arguments, of which
 * the spare's PATH is the first, --spare-offset, and --force unless that is
 * NULL.  False after a message.
 */
extern bool spare_arguments (struct ctl *ctl, int argc, char **argv, int min,
                             int max, const char **path, uint64_t *offset,
                             bool *force);

#endif /* REMAPCTL_SPARE_OPEN_H */
