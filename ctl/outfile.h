/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Output into a file, which whoever reads it sees whole: the old one or the
 * new one.
 */

#ifndef REMAPCTL_OUTFILE_H
#define REMAPCTL_OUTFILE_H

#include <stdbool.h>

struct outfile {
  const char *path;
  char *temporary;                      /* owned */
};

/* From now on stdout goes to a new file beside PATH.  False after a message. */
extern bool outfile_begin (struct outfile *o, const char *path);

/* Renames it to PATH if all of it could be written and COMPLETE says that
 * nothing is missing, else removes it: then PATH stays as it was.  Nothing
 * more is to be printed after this.  False after a message, or if it isn't
 * complete.
 */
extern bool outfile_end (struct outfile *o, bool complete);

#endif /* REMAPCTL_OUTFILE_H */
