/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What `remapctl rescue' can be told to do: each word with the options that
 * were given, and the arguments behind the word.  They return the exit status.
 */

#ifndef REMAPCTL_RESCUE_WORDS_H
#define REMAPCTL_RESCUE_WORDS_H

#include "options.h"

struct rescue_options {
  bool watch, wait;
  bool marker, give_up, verify;
  bool yes;
};

/* Of a server. */
extern int rescue_status (struct ctl *ctl, const struct rescue_options *o);
extern int rescue_copy (struct ctl *ctl, const struct rescue_options *o,
                        uint64_t start, uint64_t count, int nr_arguments);
extern int rescue_finish (struct ctl *ctl, const struct rescue_options *o);

/* Waits until nothing is being copied any more, and shows how far that is. */
extern int rescue_wait (struct ctl *ctl);

/* Of a spare that no server holds. */
extern int rescue_abandon (const struct rescue_options *o, const char *spare);
extern int rescue_new_main (const char *spare);

#endif /* REMAPCTL_RESCUE_WORDS_H */
