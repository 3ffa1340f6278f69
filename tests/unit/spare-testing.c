/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * See spare-testing.h.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <CUnit/Basic.h>

#include "spare/internal.h"
#include "spare/leader.h"
#include "spare-testing.h"

static uint64_t
rig_now (void *opaque)
{
  struct rig *r = opaque;

  return r->now;
}

static void
rig_random (void *opaque, void *buf, size_t len)
{
  struct rig *r = opaque;
  uint8_t *p = buf;

  while (len-- > 0)
    *p++ = memdev_random (&r->seed);
}

static void
rig_warn (void *opaque, const char *text)
{
  struct rig *r = opaque;

  r->warnings++;
  snprintf (r->warning, sizeof r->warning, "%s", text);
}

void
rig_init (struct rig *r, struct memdev *m)
{
  static uint64_t seed = 1;

  memset (r, 0, sizeof *r);
  r->m = m;
  r->now = 1700000000;
  r->seed = seed++;
  r->main_size = MAIN_SIZE;
  r->env.now = rig_now;
  r->env.random = rig_random;
  r->env.warn = rig_warn;
  r->env.opaque = r;
}

int
rig_format (struct rig *r, uint64_t size)
{
  struct spare_identity id = { .main_size = r->main_size, .label = "a disk" };
  int err;

  r->map = map_new ();
  if (r->map == NULL)
    return ENOMEM;
  err = spare_format (&r->m->dev, size, true, &id, &r->env, r->map,
                      &r->spare, &r->message);
  if (err == 0) {
    err = spare_start (r->spare, &r->message);
    if (err) {
      spare_close (r->spare);
      r->spare = NULL;
    }
  }
  if (err) {
    map_free (r->map);
    r->map = NULL;
  }
  return err;
}

int
rig_load (struct rig *r)
{
  int err;

  r->message.text[0] = 0;
  r->map = map_new ();
  if (r->map == NULL)
    return ENOMEM;
  err = spare_load (&r->m->dev, r->m->size, r->read_only, &r->env, r->map,
                    &r->spare, &r->message);
  if (err == 0) {
    err = spare_start (r->spare, &r->message);
    if (err) {
      spare_close (r->spare);
      r->spare = NULL;
    }
  }
  if (err) {
    map_free (r->map);
    r->map = NULL;
  }
  return err;
}

void
rig_make (struct rig *r, uint64_t size)
{
  rig_init (r, memdev_new (size));
  CU_ASSERT_EQUAL_FATAL (rig_format (r, size), 0);
}

void
rig_close (struct rig *r, bool clean)
{
  if (r->spare != NULL) {
    if (!clean)
      spare_set_failed (r->spare);
    spare_close (r->spare);
    map_free (r->map);
  }
  r->spare = NULL;
  r->map = NULL;
}

void
rig_free (struct rig *r)
{
  rig_close (r, true);
  memdev_free (r->m);
  r->m = NULL;
}

void
rig_reload (struct rig *r)
{
  int err;

  rig_close (r, true);
  err = rig_load (r);
  if (err)
    fprintf (stderr, "load: %s: %s\n", strerror (err), r->message.text);
  CU_ASSERT_EQUAL_FATAL (err, 0);
}

static void
add (uint64_t *hash, const void *buf, size_t len)
{
  const uint8_t *p = buf;

  while (len-- > 0)
    *hash = (*hash ^ *p++) * UINT64_C (0x100000001b3);
}

uint64_t
rig_digest (struct rig *r)
{
  const struct spare_identity *id = spare_get_identity (r->spare);
  uint64_t hash = UINT64_C (0xcbf29ce484222325), i, j;
  struct spare_status st;
  uint32_t crc;
  uint8_t buf[512];
  struct run run;

  for (i = 0; map_next (r->map, i, &run); i = run.start + run.count) {
    add (&hash, &run.start, sizeof run.start);
    add (&hash, &run.count, sizeof run.count);
    add (&hash, &run.state, sizeof run.state);
    add (&hash, &run.slot, sizeof run.slot);
    for (j = 0; run.state == REMAPPED && j < run.count; ++j) {
      if (spare_read (r->spare, buf, run.slot + j, 1) != 0)
        memset (buf, 0xee, sizeof buf);
      crc = spare_crc32c (buf, sizeof buf);
      add (&hash, &crc, sizeof crc);
    }
  }
  for (i = 0; map_next (r->spare->retired, i, &run);
       i = run.start + run.count) {
    add (&hash, &run.start, sizeof run.start);
    add (&hash, &run.count, sizeof run.count);
  }
  for (i = 0; i < r->spare->nattributes; i++) {
    const struct attribute *a = r->spare->attributes[i];

    add (&hash, a->tag, sizeof a->tag);
    add (&hash, &a->key, sizeof a->key);
    add (&hash, &a->flags, sizeof a->flags);
    add (&hash, &a->time, sizeof a->time);
    add (&hash, a->data, a->len);
  }
  spare_get_status (r->spare, &st);
  add (&hash, st.counters, sizeof st.counters);
  add (&hash, id->uuid, sizeof id->uuid);
  add (&hash, id->label, sizeof id->label);
  add (&hash, &id->main_size, sizeof id->main_size);
  return hash;
}

void
fill (void *buf, sector_t sector, uint32_t count, uint64_t v)
{
  uint64_t *p = buf, i, j;

  for (i = 0; i < count; ++i) {
    for (j = 0; j < 64; ++j)
      *p++ = (sector + i) << 32 ^ v << 8 ^ j;
  }
}

int
do_remap (struct rig *r, sector_t sector, uint32_t count, uint64_t v,
          enum change_reason reason)
{
  const uint64_t counters[NR_SPARE_COUNTERS] = {
    [COUNT_AUTO_REMAPS] = count,
  };
  struct change_list list = { 0 };
  uint8_t *buf = malloc ((size_t) count * 512);
  int err = ENOMEM;

  if (buf != NULL) {
    fill (buf, sector, count, v);
    err = spare_store (r->spare, &list, sector, buf, count, reason);
  }
  if (err == 0)
    err = spare_commit (r->spare, &list, counters);
  else
    spare_abandon (r->spare, &list);
  change_list_free (&list);
  free (buf);
  return err;
}

int
do_change (struct rig *r, enum change_kind kind, sector_t sector,
           uint64_t count, enum change_reason reason)
{
  const struct change c = {
    .sector = kind == CHANGE_RETIRE ? 0 : sector, .count = count,
    .slot = kind == CHANGE_RETIRE ? sector : 0, .kind = kind,
    .reason = reason,
  };
  const uint64_t counters[NR_SPARE_COUNTERS] = {
    [COUNT_LOST] = kind == CHANGE_LOST ? count : 0,
  };
  struct change_list list = { 0 };
  int err;

  err = change_list_add (&list, &c);
  if (err == 0)
    err = spare_commit (r->spare, &list, counters);
  change_list_free (&list);
  return err;
}

void
add_scattered (struct change_list *list, enum change_kind kind,
               uint64_t first, size_t count)
{
  size_t i;

  for (i = 0; i < count; ++i) {
    const struct change c = {
      .sector = kind == CHANGE_RETIRE ? 0 : first + 2 * i, .count = 1,
      .slot = kind == CHANGE_RETIRE ? first + 2 * i : 0, .kind = kind,
    };

    CU_ASSERT_EQUAL_FATAL (change_list_add (list, &c), 0);
  }
}

int
do_scattered (struct rig *r, enum change_kind kind, uint64_t first,
              size_t count)
{
  struct change_list list = { 0 };
  int err;

  add_scattered (&list, kind, first, count);
  err = spare_commit (r->spare, &list, NULL);
  change_list_free (&list);
  return err;
}

int
do_attribute (struct rig *r, const char *tag, uint32_t key, unsigned flags,
              const void *data, size_t len)
{
  struct attribute a = { .key = key, .flags = flags, .len = len,
                         .data = data };
  struct change_list list = { 0 };
  int err;

  strncpy (a.tag, tag, ATTRIBUTE_TAG);
  err = change_list_add_attribute (&list, &a);
  if (err == 0)
    err = spare_commit (r->spare, &list, NULL);
  change_list_free (&list);
  return err;
}

/* One of a few, of random length; every fourth time it is removed. */
static int
random_attribute (struct rig *r, uint64_t *seed)
{
  uint8_t content[600];
  const uint32_t key = memdev_random (seed) % 5;
  const size_t len = memdev_random (seed) % 4 == 0 ? 0
    : memdev_random (seed) % sizeof content;

  memset (content, memdev_random (seed), sizeof content);
  return do_attribute (r, key < 3 ? "one" : "another", key, 0, content, len);
}

int
do_random (struct rig *r, uint64_t *seed, uint32_t max)
{
  const uint32_t count = memdev_random (seed) % max + 1;
  const sector_t sector = memdev_random (seed) % (MAIN_SECTORS - count + 1);
  const enum change_reason reason = memdev_random (seed) % (WHY_LAST + 1);

  r->now += memdev_random (seed) % 3;
  if (memdev_random (seed) % 12 == 0)
    return random_attribute (r, seed);
  switch (memdev_random (seed) % 10) {
  case 0: return do_change (r, CHANGE_LOST, sector, count, reason);
  case 1: return do_change (r, CHANGE_ZERO, sector, count, reason);
  case 2:
  case 3: return do_change (r, CHANGE_DIRECT, sector, count, reason);
  case 4: return do_change (r, CHANGE_KEPT, sector, count, reason);
  case 5: return do_change (r, CHANGE_WRITTEN, sector, count, reason);
  default:
    return do_remap (r, sector, count, memdev_random (seed) & 0xffff, reason);
  }
}

bool
log_note (struct rig *r, enum change_kind kind, uint64_t n,
          enum change_reason *reason, uint64_t *time)
{
  const struct header *h = &r->spare->hdr;
  const struct log_area *area = &h->area[h->active];
  uint64_t page[SPARE_PAGE / 8], first;
  struct log_page info;
  struct log_entry e;
  bool found = false;
  uint32_t pos;
  unsigned i;

  for (pos = 0; pos < r->spare->pos; ++pos) {
    CU_ASSERT_EQUAL_FATAL (
      device_pread (&r->m->dev, page, SPARE_PAGE,
                    area->offset + (uint64_t) pos * SPARE_PAGE), 0);
    CU_ASSERT_FATAL (log_page_decode (page, h, pos, &info));
    for (i = 0; i < info.count; i = log_page_next (i, &e)) {
      log_page_get (page, i, &e);
      if (e.kind == CHANGE_ATTRIBUTE)
        continue;
      if ((e.kind == CHANGE_RETIRE) != (kind == CHANGE_RETIRE))
        continue;
      first = kind == CHANGE_RETIRE ? e.slot : e.sector;
      if (n < first || n - first >= e.count)
        continue;
      found = e.kind == kind;
      *reason = e.reason;
      *time = e.time;
    }
  }
  return found;
}

bool
slow_tool (void)
{
  const char *s = getenv ("REMAP_SANITIZERS");

  return getenv ("REMAP_TEST_LONG") == NULL &&
         (getenv ("REMAP_VALGRIND") != NULL || (s != NULL && s[0] != 0));
}

/* The checksum field is at OFFSET. */
static void
fix_crc (uint8_t *page, unsigned offset)
{
  uint32_t crc;

  memset (page + offset, 0, 4);
  crc = spare_crc32c (page, SPARE_PAGE);
  page[offset] = crc;
  page[offset + 1] = crc >> 8;
  page[offset + 2] = crc >> 16;
  page[offset + 3] = crc >> 24;
}

void
fix_header_crc (void *page)
{
  fix_crc (page, 8);
}

void
fix_log_crc (void *page)
{
  fix_crc (page, 4);
}

uint64_t
test_seed (void)
{
  const char *s = getenv ("TEST_SEED");
  const uint64_t seed = s ? strtoull (s, NULL, 0) : (uint64_t) time (NULL);

  printf ("TEST_SEED=%" PRIu64 "\n", seed);
  return seed;
}
