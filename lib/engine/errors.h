/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the errors of main mean (promises 10 and 11 of remap-promises(7)).
 */

#ifndef REMAP_ENGINE_ERRORS_H
#define REMAP_ENGINE_ERRORS_H

#include <stdbool.h>

enum error_class {
  ERROR_MEDIA,         /* this place of the medium is bad */
  ERROR_GONE,          /* the whole disk is gone */
  ERROR_OTHER,         /* anything else: passed on */
};

/* ERR is a positive errno value. */
extern enum error_class error_classify (int err);

/* Does a write that ends with ERR say that main takes no writes at all?  It is
 * read-only, or it is full.
 */
extern bool error_is_refusal (int err);

/* The errno that an NBD client gets for ERR: itself if NBD can carry it,
 * else EIO.  0 stays 0.
 */
extern int error_for_nbd (int err);

#endif /* REMAP_ENGINE_ERRORS_H */
