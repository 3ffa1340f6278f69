/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Errors of the device, as the spare's functions return them.
 */

#ifndef REMAP_SPARE_ERRORS_H
#define REMAP_SPARE_ERRORS_H

#include <errno.h>
#include <stdbool.h>

/* There is no room now, but nothing is broken (promise 17 of
 * remap-promises(7)).
 */
static inline bool
is_space_error (int err)
{
  return err == ENOSPC || err == EDQUOT || err == EFBIG;
}

/* 0, ENOSPC, ENOMEM, or else EIO. */
static inline int
spare_error (int err)
{
  return is_space_error (err) ? ENOSPC : err == 0 || err == ENOMEM ? err : EIO;
}

#endif /* REMAP_SPARE_ERRORS_H */
