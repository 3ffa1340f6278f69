/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the tests of the spare share: a spare on a device in memory, with a
 * clock and random numbers that repeat.
 */

#ifndef SPARE_TESTING_H
#define SPARE_TESTING_H

#include "memdev.h"
#include "run-tests.h"
#include "spare/spare.h"

#define MIB (UINT64_C (1) << 20)
#define MAIN_SIZE (64 * MIB + 100)      /* the tail is a sector, too */
#define MAIN_SECTORS (MAIN_SIZE / 512 + 1)

struct rig {
  struct memdev *m;
  struct map *map;
  struct spare *spare;
  struct spare_env env;
  struct message message;
  uint64_t now;                 /* what the clock says */
  uint64_t seed;                /* of random numbers for the spare */
  unsigned warnings;
  char warning[512];            /* the last one */
  bool read_only;
  uint64_t main_size;           /* MAIN_SIZE, unless the test changes it */
};

/* A rig over M, which it owns; nothing is opened. */
extern void rig_init (struct rig *r, struct memdev *m);

/* Format or load; an errno value. */
extern int rig_format (struct rig *r, uint64_t size);
extern int rig_load (struct rig *r);

/* Both; CUnit's fatal assertion if it fails. */
extern void rig_make (struct rig *r, uint64_t size);

/* Closes and opens again. */
extern void rig_reload (struct rig *r);

/* CLEAN: with spare_close; if not the headers stay as they are. */
extern void rig_close (struct rig *r, bool clean);
extern void rig_free (struct rig *r);

/* COUNT changes of one sector (or slot) each, every second one from FIRST on:
 * as many entries of the log.
 */
extern void add_scattered (struct change_list *list, enum change_kind kind,
                           uint64_t first, size_t count);
extern int do_scattered (struct rig *r, enum change_kind kind,
                         uint64_t first, size_t count);

/* A number that stands for all that must survive: map, slots and their
 * contents, retired slots, counters, identity.
 */
extern uint64_t rig_digest (struct rig *r);

/* Fills COUNT sectors with what sector SECTOR has in version V. */
extern void fill (void *buf, sector_t sector, uint32_t count, uint64_t v);

/* One change, committed alone.  remap stores version V in the slots. */
extern int do_remap (struct rig *r, sector_t sector, uint32_t count,
                     uint64_t v, enum change_reason reason);
extern int do_change (struct rig *r, enum change_kind kind, sector_t sector,
                      uint64_t count, enum change_reason reason);

/* An attribute, committed alone. */
extern int do_attribute (struct rig *r, const char *tag, uint32_t key,
                         unsigned flags, const void *data, size_t len);

/* A random change of up to MAX sectors, or an attribute, committed. */
extern int do_random (struct rig *r, uint64_t *seed, uint32_t max);

/* What the log of the active area says of a sector (or of a slot that was
 * retired): reason and time of the last entry.  False if there is none.
 */
extern bool log_note (struct rig *r, enum change_kind kind, uint64_t n,
                      enum change_reason *reason, uint64_t *time);

/* True under valgrind or a sanitizer, where a test should do less (unless
 * REMAP_TEST_LONG is set).
 */
extern bool slow_tool (void);

/* Calculates the checksum of a page anew. */
extern void fix_header_crc (void *page);
extern void fix_log_crc (void *page);

/* A seed for random numbers: TEST_SEED, or the time; it is printed. */
extern uint64_t test_seed (void);

#endif /* SPARE_TESTING_H */
