/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Attributes: what a spare remembers apart from the states of sectors.
 *
 * An attribute has a tag, which says what it is, a key, of which there may be
 * several, and content.  It is written with a commit, alone or together with
 * changes of state, and takes the place of the one that had the same tag and
 * key; one without content removes that.  Programs that don't know a tag
 * carry it along, leave it out, or refuse the spare: the flags say which.
 * The bytes are in remap-spare(5).
 */

#ifndef REMAP_SPARE_ATTRIBUTE_H
#define REMAP_SPARE_ATTRIBUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Characters of a tag: a to z, 0 to 9, and '-'. */
#define ATTRIBUTE_TAG 8

/* Bytes of content: what fits into one page of the log. */
#define ATTRIBUTE_MAX 3936U

/* All that a spare holds at a time. */
#define ATTRIBUTES_MAX 4096U
#define ATTRIBUTES_MAX_BYTES (UINT32_C (1) << 20)

/* Whoever doesn't know the tag must not open the spare. */
#define ATTRIBUTE_CRITICAL 1U
/* Isn't carried over by the next checkpoint. */
#define ATTRIBUTE_TRANSIENT 2U

struct attribute {
  char tag[ATTRIBUTE_TAG + 1];
  uint8_t flags;
  uint16_t len;                 /* bytes; 0 removes */
  uint32_t key;
  uint64_t time;                /* seconds since 1970, UTC */
  const uint8_t *data;
};

/* Does this program know what the tag means? */
extern bool attribute_is_known (const char *tag);

/* Is this a tag? */
extern bool attribute_tag_ok (const char *tag);

/* A copy in one block of memory, for free.  NULL: out of memory. */
extern struct attribute *attribute_copy (const struct attribute *a);

/* By tag, then by key, as strcmp. */
extern int attribute_compare (const struct attribute *a,
                              const struct attribute *b);

#endif /* REMAP_SPARE_ATTRIBUTE_H */
