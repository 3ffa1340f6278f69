/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A spare that no server holds, opened and locked as a server does it.
 */

#ifndef REMAPCTL_SPARE_OFFLINE_H
#define REMAPCTL_SPARE_OFFLINE_H

#include "host/sparefile.h"
#include "spare/spare.h"

struct held_spare {
  struct spare_file file;
  bool opened;                          /* else the file was refused */
  enum spare_content content;
  struct spare_identity id;             /* if VALID or UNFINISHED */
  bool was_spare;                       /* FOREIGN, as the message says */
  struct map *map;
  struct spare *spare;                  /* NULL before hold_load */
  bool quiet;                           /* warnings aren't printed */
  bool keep_history;                    /* see spare_env */
  bool changes;                         /* it is stamped */
  struct owner_env owner;
  struct message message;               /* of the last error */
};

enum hold_purpose {
  HOLD_TO_READ,        /* nothing can be written */
  HOLD_TO_LIST,        /* the same, and the history will be asked for */
  HOLD_TO_CHANGE,
  HOLD_TO_FORMAT,      /* a missing file is created; a spare that can't be
                        * used any more counts as FOREIGN */
};

/* Opens, locks and probes the file or device.  The spare begins at byte
 * OFFSET, and of its first SIZE bytes (0: of all) the content says whether
 * they are blank.  Returns 0 or an errno; then the message says why, nothing
 * stays open, and nothing was printed.
 */
extern int hold_open (struct held_spare *h, const char *path,
                      uint64_t offset, uint64_t size,
                      enum hold_purpose purpose);

/* What is printed after hold_open has failed; the caller frees it. */
extern char *hold_open_error (const struct held_spare *h, const char *path);

/* Loads a spare that is VALID.  Returns 0 or an errno; then the message says
 * why, and the file stays open.
 */
extern int hold_load (struct held_spare *h);

/* Undoes hold_load. */
extern void hold_unload (struct held_spare *h);

/* Closes the file, and removes it if hold_open has created it and nothing
 * was loaded or formatted.
 */
extern void hold_close (struct held_spare *h);

/* Opens and loads.  False after a message; then there is nothing to close. */
extern bool hold_spare (struct held_spare *h, const char *path,
                        uint64_t offset, enum hold_purpose purpose);

extern const char *content_name (enum spare_content content);

#endif /* REMAPCTL_SPARE_OFFLINE_H */
