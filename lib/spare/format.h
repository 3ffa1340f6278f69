/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The bytes of a spare's headers, see remap-spare(5).
 *
 * Translates between pages as they are on the disk (little-endian) and
 * structures as the program uses them, and judges what was read.  Holds
 * no state, does no I/O, trusts no byte.
 */

#ifndef REMAP_SPARE_FORMAT_H
#define REMAP_SPARE_FORMAT_H

#include "base/bytes.h"
#include "spare/features.h"
#include "spare/spare.h"

#define SPARE_PAGE 4096U
#define SPARE_VERSION 1U
#define HEADER_A_PAGE 0U
#define HEADER_B_PAGE 8U
#define METADATA_PAGE 16U            /* the first one after the headers */
#define MAX_SEGMENTS 32U

/* Flags of a header. */
#define HEADER_WHOLE 1U

/* Compatible features: whoever doesn't know them need not care. */
#define COMPAT_GROWS 1U

struct log_area {
  uint64_t offset;      /* bytes from the beginning of the spare */
  uint64_t pages;
};

/* Slots are numbered through the segments in order. */
struct slot_segment {
  uint64_t offset;      /* bytes from the beginning of the spare */
  uint64_t nslots;
};

struct header {
  uint64_t sequence;           /* the higher of two valid ones counts */
  bool formatting;             /* an intent, not yet a spare */
  uint32_t incompat, ro_compat, compat; /* feature bits, features.h */
  uint32_t flags;              /* HEADER_WHOLE */
  uint8_t uuid[16];
  uint64_t created;            /* seconds since 1970 */
  uint64_t main_size;          /* bytes */
  uint64_t size;               /* bytes that the spare uses */
  uint64_t claimed;            /* bytes that are the spare's, >= size */
  uint32_t active;             /* which area */
  uint32_t nsegments;
  uint64_t generation;         /* of the active area */
  uint64_t checkpoint_commit;  /* number of the area's first commit */
  uint32_t checkpoint_pages;   /* its length */
  uint32_t high_water;         /* pages that may have been written */
  uint64_t commit_floor;       /* a log that ends before it is damaged */
  struct log_area area[2];
  char label[SPARE_LABEL_MAX + 1];
  struct slot_segment segment[MAX_SEGMENTS];
  struct feature_names names;
};

/* Byte offset of header A (COPY 0) or B (COPY 1). */
static inline uint64_t
header_offset (unsigned copy)
{
  return (copy == 0 ? HEADER_A_PAGE : HEADER_B_PAGE) * (uint64_t) SPARE_PAGE;
}

/* What a header page is. */
enum header_class {
  HEADER_BLANK,                /* zeroes */
  HEADER_FOREIGN,              /* no header at all */
  HEADER_DAMAGED,              /* a header with a wrong checksum */
  HEADER_UNKNOWN,              /* of a version or feature that is unknown */
  HEADER_FORMATTING,           /* an intent */
  HEADER_COMPLETE,
};

/* CRC-32C, as remap-spare(5) has it. */
extern uint32_t spare_crc32c (const void *buf, size_t len);

/* The checksum of a page, its own four bytes at OFFSET taken as zeroes. */
extern uint32_t page_crc (const void *page, size_t offset);

/* PAGE is SPARE_PAGE bytes, aligned to 8. */
extern void header_encode (const struct header *h, void *page);

/* Fills H if FORMATTING or COMPLETE.  DETAIL says what is unknown. */
extern enum header_class header_decode (const void *page, struct header *h,
                                        struct message *detail);

/* True if two headers say the same (the sequence aside). */
extern bool header_same (const struct header *a, const struct header *b);

/* Slots in all segments. */
extern uint64_t header_slots (const struct header *h);

#endif /* REMAP_SPARE_FORMAT_H */
