/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Attributes, and the feature bits that say that a spare uses what not every
 * program knows (promises 13, 15, 20 and 23 of remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "fail-malloc.h"
#include "spare/attributes.h"
#include "spare/history.h"
#include "spare-testing.h"

/* The attribute of exactly this tag and key: its length, or -1. */
static int
content_of (struct rig *r, const char *tag, uint32_t key, uint8_t *buf)
{
  struct attribute *a;
  int len = -1;

  if (!spare_next_attribute (r->spare, tag, key, &a))
    return -1;
  CU_ASSERT_FATAL (a != NULL);
  if (strcmp (a->tag, tag) == 0 && a->key == key) {
    len = a->len;
    memcpy (buf, a->data, a->len);
  }
  free (a);
  return len;
}

static void
check_content (struct rig *r, const char *tag, uint32_t key, uint8_t byte,
               int len)
{
  uint8_t buf[ATTRIBUTE_MAX];

  CU_ASSERT_EQUAL (content_of (r, tag, key, buf), len);
  for (int i = 0; i < len; i++)
    CU_ASSERT_EQUAL_FATAL (buf[i], byte);
}

/* Both headers, as they are on the device. */
static uint32_t
incompatible (struct rig *r)
{
  uint32_t a, b;

  CU_ASSERT_EQUAL (device_pread (&r->m->dev, &a, 4, header_offset (0) + 16),
                   0);
  CU_ASSERT_EQUAL (device_pread (&r->m->dev, &b, 4, header_offset (1) + 16),
                   0);
  CU_ASSERT_EQUAL (a, b);
  return a;
}

static void
checkpoint_or_reload (struct rig *r, int restarts)
{
  if (restarts == 1)
    CU_ASSERT_EQUAL_FATAL (spare_checkpoint (r->spare), 0)
  else
    rig_reload (r);
}

/* A sample of main (promise 20) is looked at more closely: its length, its
 * place, its key and flags.
 */
static void
test_sample (void)
{
  uint8_t content[33] = { [1] = 0x10, [9] = 0x10, [16] = 1 };
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_attribute (&r, "sample", 63, 0, content, 32), 0);
  CU_ASSERT_EQUAL (do_attribute (&r, "sample", 64, 0, content, 32), EINVAL);
  CU_ASSERT_EQUAL (do_attribute (&r, "sample", 1, 1, content, 32), EINVAL);
  CU_ASSERT_EQUAL (do_attribute (&r, "sample", 1, 0, content, 31), EINVAL);
  CU_ASSERT_EQUAL (do_attribute (&r, "sample", 1, 0, content, 33), EINVAL);
  for (int i = 0; i < 16; i++) {
    /* Where 4 KiB don't lie within main, or of another length. */
    const uint8_t was = content[i];

    if (i == 2)
      continue;                 /* another place of main */
    content[i] = i == 1 ? 0x11 : 0xff;
    CU_ASSERT_EQUAL (do_attribute (&r, "sample", 1, 0, content, 32), EINVAL);
    content[i] = was;
  }
  rig_reload (&r);
  CU_ASSERT_EQUAL (do_attribute (&r, "sample", 63, 0, NULL, 0), 0);
  rig_reload (&r);
  rig_free (&r);
}

/* Set, replaced, removed; of each length that a page takes; alone and together
 * with changes; across restarts and checkpoints.
 */
static void
test_life (void)
{
  static const int lengths[] = { 1, 31, 32, 33, 64, 1000, ATTRIBUTE_MAX };
  uint8_t content[ATTRIBUTE_MAX + 1];
  struct change_list list = { 0 };
  struct attribute a = { .tag = "second", .key = 9, .len = 700,
                         .data = content };
  struct rig r;
  int last = -1;

  rig_make (&r, MIB);
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    memset (content, i + 1, sizeof content);
    for (int how = 0; how < 3; how++) {
      CU_ASSERT_EQUAL (do_attribute (&r, "first", how, 0, content,
                                     lengths[i]), 0);
      last = i + 1;
    }
    for (int restarts = 0; restarts < 3; restarts++) {
      for (int how = 0; how < 3; how++)
        check_content (&r, "first", how, last, lengths[i]);
      check_content (&r, "first", 3, 0, -1);
      check_content (&r, "firs", 0, 0, -1);
      checkpoint_or_reload (&r, restarts);
    }
  }
  CU_ASSERT_EQUAL (do_attribute (&r, "first", 1, 0, NULL, 0), 0);
  CU_ASSERT_EQUAL (do_attribute (&r, "first", 77, 0, NULL, 0), 0);

  /* In the middle of more changes than fit into its page. */
  add_scattered (&list, CHANGE_LOST, 100, 120);
  CU_ASSERT_EQUAL (change_list_add_attribute (&list, &a), 0);
  add_scattered (&list, CHANGE_ZERO, 2000, 500);
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  change_list_free (&list);
  for (int restarts = 0; restarts < 3; restarts++) {
    check_content (&r, "first", 1, 0, -1);
    check_content (&r, "first", 2, last, ATTRIBUTE_MAX);
    check_content (&r, "second", 9, last, 700);
    CU_ASSERT_EQUAL (map_lookup (r.map, 338, 1).state, LOST);
    CU_ASSERT_EQUAL (map_lookup (r.map, 2998, 1).state, ZERO);
    CU_ASSERT_EQUAL (map_lookup (r.map, 3000, 1).state, DIRECT);
    checkpoint_or_reload (&r, restarts);
  }

  /* What can't be one. */
  CU_ASSERT_EQUAL (do_attribute (&r, "long", 0, 0, content,
                                 ATTRIBUTE_MAX + 1), EINVAL);
  CU_ASSERT_EQUAL (do_attribute (&r, "Upper", 0, 0, content, 1), EINVAL);
  CU_ASSERT_EQUAL (do_attribute (&r, "", 0, 0, content, 1), EINVAL);
  CU_ASSERT_EQUAL (do_attribute (&r, "flags", 0, 4, content, 1), EINVAL);
  CU_ASSERT_FALSE (attribute_tag_ok ("too-long9"));
  CU_ASSERT_FALSE (attribute_tag_ok ("a b"));
  rig_free (&r);
}

/* A bit is set by the first use, in both headers, before the log says anything
 * that an older program wouldn't understand.
 */
static void
test_first_use (void)
{
  struct spare_status st;
  uint64_t flushes;
  uint32_t header[SPARE_PAGE / 4];
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 10, 5, WHY_CLIENT), 0);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  rig_reload (&r);
  CU_ASSERT_EQUAL (incompatible (&r), 0);
  /* What an older program finds behind the segments is zeroes. */
  CU_ASSERT_EQUAL (device_pread (&r.m->dev, header, SPARE_PAGE, 0), 0);
  CU_ASSERT (is_zero (header + 256, SPARE_PAGE - 1024));

  CU_ASSERT_EQUAL (do_attribute (&r, "tag", 0, 0, "x", 1), 0);
  CU_ASSERT_EQUAL (incompatible (&r), 1);
  spare_get_status (r.spare, &st);
  CU_ASSERT_STRING_EQUAL (st.features, "attributes");
  CU_ASSERT_EQUAL (st.attributes, 1);
  /* Only once: from now on an attribute costs one flush. */
  flushes = st.flushes;
  CU_ASSERT_EQUAL (do_attribute (&r, "tag", 0, 0, "y", 1), 0);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.flushes, flushes + 1);

  CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 20, 5, WHY_VANISH), 0);
  CU_ASSERT_EQUAL (incompatible (&r), 3);
  for (int restarts = 0; restarts < 3; restarts++) {
    enum change_reason why;
    uint64_t time;

    spare_get_status (r.spare, &st);
    CU_ASSERT_STRING_EQUAL (st.features, "attributes, reasons");
    CU_ASSERT (log_note (&r, CHANGE_LOST, 22, &why, &time));
    CU_ASSERT_EQUAL (why, WHY_VANISH);
    checkpoint_or_reload (&r, restarts);
  }

  CU_ASSERT_EQUAL (do_change (&r, CHANGE_KEPT, 30, 5, WHY_UNKNOWN), 0);
  CU_ASSERT_EQUAL (incompatible (&r), 7);
  for (int restarts = 0; restarts < 3; restarts++) {
    spare_get_status (r.spare, &st);
    CU_ASSERT_STRING_EQUAL (st.features, "attributes, reasons, rescued");
    checkpoint_or_reload (&r, restarts);
  }
  rig_free (&r);
  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_change (&r, CHANGE_WRITTEN, 30, 5, WHY_CLIENT), 0);
  CU_ASSERT_EQUAL (incompatible (&r), 4);

  /* No room for the header: nothing has changed, also not in memory. */
  rig_free (&r);
  rig_make (&r, MIB);
  memdev_fail (r.m, MEMDEV_WRITE, 1, ENOSPC, false);
  CU_ASSERT_EQUAL (do_attribute (&r, "tag", 0, 0, "x", 1), ENOSPC);
  memdev_fail (r.m, 0, 0, 0, false);
  check_content (&r, "tag", 0, 0, -1);
  CU_ASSERT_EQUAL (do_attribute (&r, "tag", 0, 0, "x", 1), 0);
  rig_reload (&r);
  check_content (&r, "tag", 0, 'x', 1);
  rig_free (&r);
}

/* Whoever doesn't know a bit says its name, whatever is in its place. */
static void
test_unknown (void)
{
  static const struct {
    uint32_t incompat, ro_compat;
    unsigned bit;
    char name[FEATURE_NAME + 1];
    const char *text;
  } cases[] = {
    { 8, 0, 3, "mirrors", "know (mirrors): use" },
    { 13, 0, 3, "mirrors", "know (mirrors): use" },
    { 8, 0, 4, "", "know (incompatible bit 3): use" },
    { 8, 0, 3, "sixteen--letters", "know (sixteen--letters): use" },
    { 8, 0, 3, "deleted\x7f", "know (deleted): use" },
    { 8, 0, 3, "two\nlines", "know (two): use" },
    { 8, 0, 3, "\xc3\xa9t\xc3\xa9", "know (incompatible bit 3): use" },
    { 8, 0, 3, "\x1b[2J", "know (incompatible bit 3): use" },
    { 0, 2, 33, "mirror", "only read (mirror): use" },
    { 0, UINT32_C (1) << 31, 63, "", "only read (read-only bit 31): use" },
    { UINT32_MAX, 0, 31, "last", "know (incompatible bit 3, incompatible" },
  };
  struct header h;
  uint8_t page[SPARE_PAGE];
  struct rig r;

  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rig_make (&r, MIB);
    h = r.spare->hdr;
    h.incompat = cases[i].incompat;
    h.ro_compat = cases[i].ro_compat;
    memcpy (h.names.name[cases[i].bit], cases[i].name, FEATURE_NAME);
    rig_close (&r, true);
    for (int copy = 0; copy < 2; copy++) {
      h.sequence++;
      header_encode (&h, page);
      memdev_poke (r.m, header_offset (copy), page, SPARE_PAGE);
    }
    CU_ASSERT_EQUAL (rig_load (&r), ENOTSUP);
    CU_ASSERT (strstr (r.message.text, cases[i].text) != NULL);
    if (strstr (r.message.text, cases[i].text) == NULL)
      printf ("%s\n", r.message.text);
    rig_free (&r);
  }

  /* A name without its bit is something that isn't known either. */
  rig_make (&r, MIB);
  h = r.spare->hdr;
  memcpy (h.names.name[7], "early", 5);
  rig_close (&r, true);
  for (int copy = 0; copy < 2; copy++) {
    h.sequence++;
    header_encode (&h, page);
    memdev_poke (r.m, header_offset (copy), page, SPARE_PAGE);
  }
  CU_ASSERT_EQUAL (rig_load (&r), ENOTSUP);
  rig_free (&r);
}

/* A tag that isn't known: refused, carried along, or left out. */
static void
test_flags (void)
{
  struct rig r;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_attribute (&r, "carried", 1, 0, "c", 1), 0);
  CU_ASSERT_EQUAL (do_attribute (&r, "left-out", 2, ATTRIBUTE_TRANSIENT,
                                 "l", 1), 0);
  rig_reload (&r);
  check_content (&r, "carried", 1, 'c', 1);
  check_content (&r, "left-out", 2, 'l', 1);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  rig_reload (&r);
  check_content (&r, "carried", 1, 'c', 1);
  check_content (&r, "left-out", 2, 0, -1);

  CU_ASSERT_EQUAL (do_attribute (&r, "critical", 3, ATTRIBUTE_CRITICAL,
                                 "k", 1), 0);
  rig_close (&r, true);
  CU_ASSERT_EQUAL (rig_load (&r), ENOTSUP);
  CU_ASSERT (strstr (r.message.text, "'critical'") != NULL);
  r.read_only = true;
  CU_ASSERT_EQUAL (rig_load (&r), ENOTSUP);
  rig_free (&r);
}

/* A spare with as many attributes "many" as it may hold, of a byte each. */
static void
make_full (struct rig *r)
{
  struct change_list list = { 0 };
  struct attribute a = { .tag = "many", .len = 1,
                         .data = (const uint8_t *) "x" };

  rig_make (r, 64 * MIB);
  for (a.key = 0; a.key < ATTRIBUTES_MAX; a.key++)
    CU_ASSERT_EQUAL_FATAL (change_list_add_attribute (&list, &a), 0);
  CU_ASSERT_EQUAL (spare_commit (r->spare, &list, NULL), 0);
  change_list_free (&list);
}

/* As many as a spare may hold, and one more. */
static void
test_limits (void)
{
  static const uint8_t content[257];
  struct change_list list = { 0 };
  struct attribute a = { .tag = "many", .len = 1, .data = content };
  struct spare_status st;
  struct rig r;

  make_full (&r);
  CU_ASSERT_EQUAL (do_attribute (&r, "more", 0, 0, content, 1), ENOSPC);
  CU_ASSERT_EQUAL (do_attribute (&r, "many", 5, 0, NULL, 0), 0);
  CU_ASSERT_EQUAL (do_attribute (&r, "more", 0, 0, content, 1), 0);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  rig_reload (&r);
  spare_get_status (r.spare, &st);
  CU_ASSERT_EQUAL (st.attributes, ATTRIBUTES_MAX);
  rig_free (&r);

  rig_make (&r, 64 * MIB);
  a.len = 256;
  for (a.key = 0; a.key < ATTRIBUTES_MAX; a.key++)
    CU_ASSERT_EQUAL_FATAL (change_list_add_attribute (&list, &a), 0);
  CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), 0);
  change_list_free (&list);
  rig_reload (&r);
  CU_ASSERT_EQUAL (do_attribute (&r, "many", 5, 0, NULL, 0), 0);
  CU_ASSERT_EQUAL (do_attribute (&r, "many", 5, 0, content, 257), ENOSPC);
  rig_free (&r);
}

/* Out of memory at each step: nothing has changed, and it can be done again. */
/* What one commit makes of a full set is counted as a reader counts it, change
 * by change: what is committed can be read again.
 */
static void
test_limits_within (void)
{
  static const struct {
    struct { int key, len; } change[5];
    int err, n;
  } cases[] = {
    /* Removed twice: that makes room for one, not for two. */
    { { { 0, 0 }, { 0, 0 }, { 5000, 1 }, { 5001, 1 } }, ENOSPC,
      ATTRIBUTES_MAX },
    { { { 0, 0 }, { 0, 0 }, { 5000, 1 } }, 0, ATTRIBUTES_MAX },
    /* Too many in between. */
    { { { 5001, 1 }, { 1, 0 } }, ENOSPC, ATTRIBUTES_MAX },
    { { { 1, 0 }, { 5001, 1 } }, 0, ATTRIBUTES_MAX },
    /* Set twice is one, removed and set again is none more. */
    { { { 2, 0 }, { 5002, 1 }, { 5002, 1 }, { 5002, 1 } }, 0,
      ATTRIBUTES_MAX },
    { { { 3, 0 }, { 3, 1 }, { 3, 1 }, { 5003, 1 } }, ENOSPC,
      ATTRIBUTES_MAX },
    { { { 3, 0 }, { 3, 1 }, { 3, 0 }, { 5003, 0 } }, 0, ATTRIBUTES_MAX - 1 },
    /* Bytes: 4095 that are used, so many are free. */
    { { { 4, 2000 }, { 4, 1 }, { 4, 1 }, { 5, ATTRIBUTE_MAX } }, 0,
      ATTRIBUTES_MAX - 1 },
  };
  static const uint8_t content[ATTRIBUTE_MAX];
  struct change_list list = { 0 };
  struct attribute a = { .tag = "many", .data = content, .len = 1 };
  struct spare_status st;
  struct rig r;

  make_full (&r);
  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    for (int j = 0; j < 5; j++) {
      a.key = cases[i].change[j].key;
      a.len = cases[i].change[j].len;
      if (a.key > 0 || j < 2)
        CU_ASSERT_EQUAL_FATAL (change_list_add_attribute (&list, &a), 0);
    }
    CU_ASSERT_EQUAL (spare_commit (r.spare, &list, NULL), cases[i].err);
    change_list_free (&list);
    rig_reload (&r);
    spare_get_status (r.spare, &st);
    CU_ASSERT_EQUAL (st.attributes, cases[i].n);
  }
  rig_free (&r);
}

static void
test_no_memory (void)
{
  struct rig r;
  int err = ENOMEM;

  rig_make (&r, MIB);
  CU_ASSERT_EQUAL (do_attribute (&r, "tag", 0, 0, "x", 1), 0);
  for (int n = 1; err == ENOMEM && n < 50; n++) {
    malloc_countdown = n;
    err = do_attribute (&r, "tag", 1, 0, "y", 1);
    malloc_countdown = 0;
    check_content (&r, "tag", 0, 'x', 1);
    check_content (&r, "tag", 1, 'y', err ? -1 : 1);
  }
  CU_ASSERT_EQUAL (err, 0);
  /* From commits, then from a checkpoint. */
  for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
    if (checkpoint)
      CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    rig_close (&r, true);
    err = ENOMEM;
    for (int n = 1; err == ENOMEM && n < 50; n++) {
      malloc_countdown = n;
      err = rig_load (&r);
      malloc_countdown = 0;
    }
    CU_ASSERT_EQUAL_FATAL (err, 0);
    check_content (&r, "tag", 1, 'y', 1);
  }
  rig_free (&r);
}

/* A log that says of more attributes than there may be; and of one where there
 * are states only.
 */
static void
test_hostile_places (void)
{
  uint64_t words[SPARE_PAGE / 8], place;
  uint8_t *page = (uint8_t *) words;
  struct attribute a = { .tag = "many", .len = 1,
                         .data = (const uint8_t *) "x" };
  struct log_page info;
  struct rig r;

  make_full (&r);
  place = r.spare->hdr.area[0].offset + r.spare->pos * SPARE_PAGE;
  CU_ASSERT_EQUAL (do_attribute (&r, "many", 0, 0, "y", 1), 0);
  rig_close (&r, true);
  CU_ASSERT_EQUAL (device_pread (&r.m->dev, page, SPARE_PAGE, place), 0);
  memcpy (page + 128, "more", 4);
  fix_log_crc (page);
  memdev_poke (r.m, place, page, SPARE_PAGE);
  CU_ASSERT_EQUAL (rig_load (&r), EINVAL);
  CU_ASSERT (strstr (r.message.text, "more attributes") != NULL);
  rig_free (&r);

  /* In a checkpoint, behind a LOST sector, or behind a retired slot. */
  for (int kind = CHANGE_LOST; kind <= CHANGE_RETIRE; kind += 2) {
    const struct log_entry e = {
      .sector = kind == CHANGE_LOST ? 5 : 0, .count = 1, .kind = kind,
      .slot = kind == CHANGE_RETIRE ? 5 : 0,
    };

    rig_make (&r, MIB);
    CU_ASSERT_EQUAL (do_attribute (&r, "tag", 0, 0, "y", 1), 0);
    CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
    place = r.spare->hdr.area[1].offset;
    CU_ASSERT_EQUAL (device_pread (&r.m->dev, page, SPARE_PAGE, place), 0);
    CU_ASSERT_FATAL (log_page_decode (page, &r.spare->hdr, 0, &info));
    rig_close (&r, true);
    memset (page, 0, SPARE_PAGE);
    log_page_put (page, 0, &e);
    a.key = 0;
    log_page_put_attribute (page, 1, &a);
    log_page_encode (&info, page);
    memdev_poke (r.m, place, page, SPARE_PAGE);
    CU_ASSERT_EQUAL (rig_load (&r), EINVAL);
    CU_ASSERT (strstr (r.message.text, "behind the states") != NULL);
    rig_free (&r);
  }
}

/* More than a window of pages; the checkpoint that fails changes nothing. */
static void
test_large_checkpoint (void)
{
  static const uint8_t content[ATTRIBUTE_MAX] = "large";
  struct rig r;

  rig_make (&r, 64 * MIB);
  for (unsigned key = 0; key < 266; key++)
    CU_ASSERT_EQUAL_FATAL (do_attribute (&r, "large", key, 0, content,
                                         sizeof content), 0);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
  rig_reload (&r);
  CU_ASSERT_EQUAL (r.spare->nattributes, 266);
  memdev_fail (r.m, MEMDEV_WRITE, 1, EIO, false);
  CU_ASSERT_EQUAL (spare_checkpoint (r.spare), EIO);
  memdev_fail (r.m, 0, 0, 0, false);
  rig_reload (&r);
  CU_ASSERT_EQUAL (r.spare->nattributes, 266);
  rig_free (&r);
}

/* What a log may not say.  BYTE of the attribute's head (entry 0 of the first
 * commit) gets another VALUE.
 */
static void
test_hostile (void)
{
  static const struct {
    unsigned byte;
    uint8_t value;
    const char *text;
    unsigned byte2;
    uint8_t value2;
  } cases[] = {
    { 0, 'T', "without a tag" }, { 0, 0, "without a tag" },
    { 4, 'x', "without a tag" },
    { 12, 200, "wrong length" }, { 14, 1, "wrong length" },
    { 16, 0, "wrong length" }, { 16, 1, "wrong length" },
    { 16, 3, "wrong length" }, { 16, 125, "wrong length" },
    { 19, 1, "wrong length" },
    /* Each fits the other, but not the page. */
    { 12, 33, "wrong length", 16, 3 },
    { 13, 15, "wrong length", 16, 122 },
    { 20, 5, "unknown kind" }, { 20, 6, "unknown kind" },
    { 20, 8, "unknown kind" },
    { 21, 4, "unknown flags" }, { 22, 1, "unknown flags" },
    { 23, 1, "unknown flags" },
    { 35, 1, "bytes after an attribute" }, { 64, 1, "bytes after the last" },
  };
  uint64_t words[SPARE_PAGE / 8];
  uint8_t *page = (uint8_t *) words;
  uint64_t place;
  struct rig r;

  for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
    rig_make (&r, MIB);
    place = r.spare->hdr.area[0].offset + SPARE_PAGE;
    CU_ASSERT_EQUAL (do_attribute (&r, "tag", 7, 0, "abc", 3), 0);
    rig_close (&r, true);
    CU_ASSERT_EQUAL (device_pread (&r.m->dev, page, SPARE_PAGE, place), 0);
    page[128 + cases[i].byte] = cases[i].value;
    if (cases[i].byte2)
      page[128 + cases[i].byte2] = cases[i].value2;
    fix_log_crc (page);
    memdev_poke (r.m, place, page, SPARE_PAGE);
    CU_ASSERT_EQUAL (rig_load (&r), EINVAL);
    CU_ASSERT (strstr (r.message.text, cases[i].text) != NULL);
    if (strstr (r.message.text, cases[i].text) == NULL)
      printf ("%zu: %s\n", i, r.message.text);
    rig_free (&r);
  }
}

/* An attribute, or a reason, that the header doesn't announce; reasons that
 * this program doesn't know, but has to carry along.
 */
static void
test_announced (void)
{
  uint64_t words[SPARE_PAGE / 8], place;
  uint8_t *page = (uint8_t *) words;
  enum change_reason why;
  struct header h;
  uint64_t time;
  struct rig r;

  for (int how = 0; how < 2; how++) {
    rig_make (&r, MIB);
    CU_ASSERT_EQUAL (how ? do_attribute (&r, "tag", 7, 0, "abc", 3)
                     : do_change (&r, CHANGE_LOST, 5, 1, WHY_VANISH), 0);
    h = r.spare->hdr;
    rig_close (&r, true);
    h.incompat = 0;
    memset (&h.names, 0, sizeof h.names);
    for (int copy = 0; copy < 2; copy++) {
      h.sequence++;
      header_encode (&h, page);
      memdev_poke (r.m, header_offset (copy), page, SPARE_PAGE);
    }
    CU_ASSERT_EQUAL (rig_load (&r), EINVAL);
    CU_ASSERT (strstr (r.message.text, how ? "unknown kind"
                       : "unknown reason") != NULL);
    rig_free (&r);
  }

  for (int reason = WHY_LAST + 1; reason <= 16; reason++) {
    rig_make (&r, MIB);
    place = r.spare->hdr.area[0].offset + SPARE_PAGE;
    CU_ASSERT_EQUAL (do_change (&r, CHANGE_LOST, 5, 1, WHY_VANISH), 0);
    rig_close (&r, true);
    CU_ASSERT_EQUAL (device_pread (&r.m->dev, page, SPARE_PAGE, place), 0);
    page[128 + 21] = reason;
    fix_log_crc (page);
    memdev_poke (r.m, place, page, SPARE_PAGE);
    CU_ASSERT_EQUAL (rig_load (&r), reason > 15 ? EINVAL : 0);
    if (reason <= 15) {
      CU_ASSERT_STRING_EQUAL (change_reason_name (reason), "unknown");
      CU_ASSERT_EQUAL (spare_checkpoint (r.spare), 0);
      rig_reload (&r);
      CU_ASSERT (log_note (&r, CHANGE_LOST, 5, &why, &time));
      CU_ASSERT_EQUAL ((int) why, reason);
    }
    rig_free (&r);
  }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "a sample (promise 20)", test_sample },
    { "set, replaced, removed (promise 13)", test_life },
    { "feature bits at first use (promise 20)", test_first_use },
    { "features that aren't known (promise 20)", test_unknown },
    { "tags that aren't known", test_flags },
    { "limits", test_limits },
    { "limits within a commit (promise 15)", test_limits_within },
    { "no memory", test_no_memory },
    { "what a log may not say (promise 23)", test_hostile },
    { "in the wrong place (promise 23)", test_hostile_places },
    { "large checkpoints (promise 15)", test_large_checkpoint },
    { "what the header doesn't announce (promise 23)", test_announced },
    { NULL, NULL }
  };

  return run_tests (argc, argv, "spare: attributes and features", tests);
}
