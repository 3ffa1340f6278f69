/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The bytes of a spare: headers and log pages, see remap-spare(5).
 *
 * Translates between pages as they are on the disk (little-endian) and
 * structures as the program uses them, and judges what was read.  Holds
 * no state, does no I/O, trusts no byte.
 */

#ifndef REMAP_SPARE_FORMAT_H
#define REMAP_SPARE_FORMAT_H

#include "base/bytes.h"
#include "spare/spare.h"

#define SPARE_PAGE 4096U
#define SPARE_VERSION 1U
#define HEADER_A_PAGE 0U
#define HEADER_B_PAGE 8U
#define METADATA_PAGE 16U            /* the first one after the headers */
#define MAX_SEGMENTS 32U
#define ENTRIES_PER_PAGE 124U
#define MAX_ENTRY_COUNT UINT32_MAX   /* sectors or slots in one entry */

/* Flags of a header. */
#define HEADER_WHOLE 1U

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
  uint32_t ro_compat, compat;  /* feature bits */
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

/* One change in the log.  COUNT is at most MAX_ENTRY_COUNT on the disk. */
struct log_entry {
  sector_t sector;             /* 0 for CHANGE_RETIRE */
  slot_t slot;                 /* 0 unless CHANGE_REMAP, CHANGE_RETIRE */
  uint64_t count;
  uint8_t kind;                /* enum change_kind */
  uint8_t reason;              /* enum change_reason */
  uint64_t time;               /* seconds since 1970 */
};

/* How many entries a change of COUNT sectors or slots takes. */
static inline uint64_t
log_entries_for (uint64_t count)
{
  return div_up (count, MAX_ENTRY_COUNT);
}

/* How many pages a commit of so many entries has: one at least. */
static inline uint64_t
log_pages_for (uint64_t entries)
{
  return max_u64 (div_up (entries, ENTRIES_PER_PAGE), 1);
}

/* Byte offset of a page of the log. */
static inline uint64_t
log_page_offset (const struct log_area *area, uint64_t position)
{
  return area->offset + position * SPARE_PAGE;
}

/* What identifies a log page. */
struct log_page {
  uint8_t uuid[16];
  uint64_t generation;
  uint64_t number;             /* of the commit */
  uint64_t nonce;
  uint32_t position;           /* in the area, in pages */
  uint32_t index, total;       /* within the commit, in pages */
  uint16_t count;              /* entries */
  uint64_t counters[NR_SPARE_COUNTERS];
};

/* CRC-32C, as remap-spare(5) has it. */
extern uint32_t spare_crc32c (const void *buf, size_t len);

/* PAGE is SPARE_PAGE bytes, aligned to 8. */
extern void header_encode (const struct header *h, void *page);

/* Fills H if FORMATTING or COMPLETE.  DETAIL says what is unknown. */
extern enum header_class header_decode (const void *page, struct header *h,
                                        struct message *detail);

/* True if two headers say the same (the sequence aside). */
extern bool header_same (const struct header *a, const struct header *b);

/* Log pages.  Encoding: log_page_put for each entry, then
 * log_page_encode, over a page that was all zeroes.
 */
extern void log_page_put (void *page, unsigned i, const struct log_entry *e);
extern void log_page_encode (const struct log_page *info, void *page);

/* True if it is an intact page that belongs at this place. */
extern bool log_page_decode (const void *page, const struct header *h,
                             uint32_t position, struct log_page *info);
extern void log_page_get (const void *page, unsigned i, struct log_entry *e);

/* Checks all entries of an intact page and its padding; returns what is
 * wrong with it, or NULL.
 */
extern const char *log_page_check (const void *page,
                                   const struct log_page *info,
                                   uint64_t sectors, uint64_t nslots);

#endif /* REMAP_SPARE_FORMAT_H */
