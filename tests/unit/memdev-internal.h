/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the parts of memdev share.
 */

#ifndef MEMDEV_INTERNAL_H
#define MEMDEV_INTERNAL_H

#include "memdev.h"

#define PAGE 4096U

/* memdev-alloc.c.  ZERO: the content matters. */
extern void *memdev_get_pages (size_t len, bool zero);
extern void memdev_put_pages (void *p, size_t len);
extern void *memdev_get (size_t len);
extern void memdev_put (void *p);

/* memdev.c.  The lock is held for the first three. */
extern void memdev_note_dirty (struct memdev *m, uint64_t offset,
                               uint32_t count);

/* Makes all events durable, and forgets them. */
extern void memdev_settle (struct memdev *m);

/* A write that succeeds. */
extern void memdev_store (struct memdev *m, const void *buf, uint32_t count,
                          uint64_t offset);
extern struct memdev *memdev_make (uint64_t size, bool zero);

#endif /* MEMDEV_INTERNAL_H */
