/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The bytes of the owner stamp, see remap-spare(5).
 *
 * As format.h: holds no state, does no I/O, trusts no byte.
 */

#ifndef REMAP_SPARE_STAMP_H
#define REMAP_SPARE_STAMP_H

#include "base/owner.h"
#include "spare/format.h"

#define STAMP_OFFSET (UINT64_C (12) * SPARE_PAGE)

struct stamp {
  bool held;                   /* else it was given back: nobody has it */
  uint8_t uuid[16];            /* of the spare */
  uint64_t session;            /* random: one opening of the spare */
  uint64_t counter;            /* of its renewals */
  uint64_t renewed;            /* seconds since 1970 */
  struct owner owner;
};

enum stamp_class {
  STAMP_NONE,                  /* zeroes */
  STAMP_DAMAGED,               /* anything else */
  STAMP_VALID,
};

/* PAGE is SPARE_PAGE bytes, aligned to 8.  All that isn't zero is in its first
 * 512 bytes: so such a page can't be torn.
 */
extern void stamp_encode (const struct stamp *stamp, void *page);
extern enum stamp_class stamp_decode (const void *page, struct stamp *stamp);

#endif /* REMAP_SPARE_STAMP_H */
