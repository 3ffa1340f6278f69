/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The bytes of a spare's log: pages, changes, attributes, see remap-spare(5).
 *
 * As format.h: holds no state, does no I/O, trusts no byte.
 */

#ifndef REMAP_SPARE_LOGPAGE_H
#define REMAP_SPARE_LOGPAGE_H

#include "spare/format.h"

#define ENTRIES_PER_PAGE 124U
#define LOG_ENTRY_SIZE 32U           /* bytes */
#define MAX_ENTRY_COUNT UINT32_MAX   /* sectors or slots in one entry */

/* One change in the log.  COUNT is at most MAX_ENTRY_COUNT on the disk.  Of
 * an attribute only KIND and COUNT mean something: how many entries it takes.
 */
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

/* How many an attribute takes: its head, and its content. */
static inline unsigned
log_entries_for_attribute (const struct attribute *a)
{
  return 1 + div_up (a->len, LOG_ENTRY_SIZE);
}

/* Where something is among the pages of a commit; all zeroes to begin with. */
struct log_place {
  uint64_t page;
  unsigned entry;
};

/* Takes the next place with room for N entries in one page. */
static inline struct log_place
log_take_place (struct log_place *next, unsigned n)
{
  struct log_place place;

  if (next->entry + n > ENTRIES_PER_PAGE) {
    next->page++;
    next->entry = 0;
  }
  place = *next;
  next->entry += n;
  return place;
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
  uint16_t count;              /* entries; set by log_page_decode alone */
  uint64_t counters[NR_SPARE_COUNTERS];
};

/* Log pages.  Encoding: log_page_put for each entry, ascending, then
 * log_page_encode, over a page that was all zeroes.
 */
extern void log_page_put (void *page, unsigned i, const struct log_entry *e);
extern void log_page_put_attribute (void *page, unsigned i,
                                    const struct attribute *a);
extern void log_page_encode (const struct log_page *info, void *page);

/* True if it is an intact page that belongs at this place. */
extern bool log_page_decode (const void *page, const struct header *h,
                             uint32_t position, struct log_page *info);
extern void log_page_get (const void *page, unsigned i, struct log_entry *e);

/* The attribute whose head is entry I, which is of that kind; A->data points
 * into the page.
 */
extern void log_page_get_attribute (const void *page, unsigned i,
                                    struct attribute *a);

/* The entry behind entry I, which is E. */
static inline unsigned
log_page_next (unsigned i, const struct log_entry *e)
{
  return i + (e->kind == CHANGE_ATTRIBUTE ? e->count : 1);
}

/* What limits the entries of a log. */
struct log_limits {
  uint64_t sectors, nslots;
  uint32_t incompat;           /* features */
};

extern struct log_limits log_limits_of (const struct header *h);

/* Checks all entries of an intact page and its padding; returns what is
 * wrong with it, or NULL.
 */
extern const char *log_page_check (const void *page,
                                   const struct log_page *info,
                                   const struct log_limits *limits);

#endif /* REMAP_SPARE_LOGPAGE_H */
