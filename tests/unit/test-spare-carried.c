/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What a checkpoint carries over of a spare's attributes: those of the spare,
 * and what the pages of a commit make of them (promises 15 and 23 of
 * remap-promises(7)).
 *
 * Linked with --wrap, see fail-malloc.h.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "fail-malloc.h"
#include "run-tests.h"
#include "spare/carried.h"

static struct attribute one = {
  .tag = "one", .key = 1, .len = 3, .data = (const uint8_t *) "old",
};
static struct attribute two = {
  .tag = "two", .key = 7, .len = 2, .data = (const uint8_t *) "tw",
  .flags = ATTRIBUTE_TRANSIENT,
};
static struct attribute *const known[] = { &one, &two };
static const struct spare spare = {
  .attributes = (struct attribute **) known, .nattributes = 2,
};

/* A page of a commit that replaces, adds, and removes, what isn't there too,
 * in no order, with states of sectors in between.
 */
static unsigned
make_page (uint8_t *page)
{
  static const struct attribute changes[] = {
    { .tag = "zz", .key = 1, .len = 40,
      .data = (const uint8_t *) "0123456789012345678901234567890123456789" },
    { .tag = "two", .key = 7 },
    { .tag = "one", .key = 1, .len = 5, .data = (const uint8_t *) "newer" },
    { .tag = "a", .key = 3, .len = 1, .data = (const uint8_t *) "a" },
    { .tag = "none", .key = 1 },
    { .tag = "one", .key = 0, .len = 1, .data = (const uint8_t *) "0" },
  };
  const struct log_entry e = { .sector = 5, .count = 1, .kind = CHANGE_LOST };
  unsigned n = 0;

  memset (page, 0, SPARE_PAGE);
  for (size_t i = 0; i < sizeof changes / sizeof changes[0]; i++) {
    log_page_put_attribute (page, n, &changes[i]);
    n += log_entries_for_attribute (&changes[i]);
    log_page_put (page, n++, &e);
  }
  return n;
}

static void
check (const struct carried *c, size_t i, const char *tag, uint32_t key,
       const char *data)
{
  CU_ASSERT_FATAL (i < c->n);
  CU_ASSERT_STRING_EQUAL (c->v[i]->tag, tag);
  CU_ASSERT_EQUAL (c->v[i]->key, key);
  CU_ASSERT_EQUAL_FATAL (c->v[i]->len, strlen (data));
  CU_ASSERT_EQUAL (memcmp (c->v[i]->data, data, c->v[i]->len), 0);
}

static void
test_copied (void)
{
  struct carried c = { 0 };

  CU_ASSERT_EQUAL (carried_copy (&c, &spare), 0);
  CU_ASSERT_EQUAL (c.n, 2);
  check (&c, 0, "one", 1, "old");
  check (&c, 1, "two", 7, "tw");
  CU_ASSERT_NOT_EQUAL (c.v[0], &one);
  carried_drop_transient (&c);
  CU_ASSERT_EQUAL (c.n, 1);
  check (&c, 0, "one", 1, "old");
  carried_free (&c);
  CU_ASSERT_EQUAL (c.n, 0);
  /* What isn't there needs no memory. */
  malloc_countdown = 1;
  CU_ASSERT_EQUAL (carried_copy (&c, &(const struct spare) { 0 }), 0);
  malloc_countdown = 0;
  CU_ASSERT_EQUAL (c.n, 0);
  carried_free (&c);
}

static void
test_page (void)
{
  uint8_t page[SPARE_PAGE];
  const struct log_page info = { .count = make_page (page) };
  struct carried c = { 0 };

  CU_ASSERT_EQUAL (carried_copy (&c, &spare), 0);
  for (int again = 0; again < 2; again++) {
    CU_ASSERT_EQUAL (carried_add_page (&c, page, &info), 0);
    CU_ASSERT_EQUAL (c.n, 4);
    check (&c, 0, "a", 3, "a");
    check (&c, 1, "one", 0, "0");
    check (&c, 2, "one", 1, "newer");
    check (&c, 3, "zz", 1, "0123456789012345678901234567890123456789");
  }
  carried_free (&c);
}

/* Each allocation fails: ENOMEM, and all can be freed. */
static void
test_nomem (void)
{
  uint8_t page[SPARE_PAGE];
  const struct log_page info = { .count = make_page (page) };
  unsigned n, copies = 0, pages = 0;
  int err = ENOMEM;

  for (n = 1; err && n < 50; n++) {
    struct carried c = { 0 };

    malloc_hits = 0;
    malloc_countdown = n;
    err = carried_copy (&c, &spare);
    copies += err != 0;
    if (err == 0) {
      err = carried_add_page (&c, page, &info);
      pages += err != 0;
    }
    malloc_countdown = 0;
    CU_ASSERT_EQUAL (err, malloc_hits ? ENOMEM : 0);
    carried_free (&c);
  }
  CU_ASSERT_EQUAL (err, 0);
  CU_ASSERT_EQUAL (copies, 3);
  CU_ASSERT (pages >= 4);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "of the spare", test_copied },
    { "of a commit (promise 15)", test_page },
    { "no memory (promise 23)", test_nomem },
    { NULL }
  };

  return run_tests (argc, argv, "spare-carried", tests);
}
