/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The owner stamp of a spare (promise 22 of remap-promises(7)): who waits for
 * whom, and for how long, by a clock that moves when somebody sleeps; what is
 * found by a server that isn't the only one.
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <CUnit/Basic.h>

#include "run-tests.h"
#include "spare/stamp.h"
#include "spare-testing.h"

/* A host: what it knows of others, and what happens while it sleeps. */
struct host {
  struct owner_env env;
  enum owner_fate fate;
  void (*meanwhile) (void);
  unsigned waits;
  char warned[512];
};

static uint64_t clock_ms;
static struct host a, b;
static struct memdev *m;

static enum owner_fate
fate (void *opaque, const struct owner *other)
{
  return ((struct host *) opaque)->fate;
}

static uint64_t
now (void *opaque)
{
  return clock_ms;
}

static void
sleep_ms (void *opaque, unsigned ms)
{
  struct host *h = opaque;

  clock_ms += ms;
  if (h->meanwhile)
    h->meanwhile ();
}

static void
waits (void *opaque, const struct owner *other, unsigned ms)
{
  ((struct host *) opaque)->waits++;
}

static void
warn (void *opaque, const char *text)
{
  struct host *h = opaque;

  snprintf (h->warned, sizeof h->warned, "%s", text);
}

static void
host_init (struct host *h, const char *name, uint64_t pid)
{
  memset (h, 0, sizeof *h);
  h->env = (struct owner_env) {
    .self = { .pid = pid, .start = 1 }, .fate = fate, .now_ms = now,
    .sleep_ms = sleep_ms, .waits = waits, .opaque = h,
  };
  snprintf (h->env.self.host, sizeof h->env.self.host, "%s", name);
}

/* A server of a host, over the one spare that all of them share. */
struct server {
  struct map *map;
  struct spare *spare;
  struct message message;
};

static int
load (struct server *s, struct host *h)
{
  const struct spare_env env = { .warn = warn, .owner = &h->env, .opaque = h };

  memset (s, 0, sizeof *s);
  s->map = map_new ();
  return spare_load (&m->dev, m->size, false, &env, s->map, &s->spare,
                     &s->message);
}

static int
start (struct server *s, struct host *h)
{
  int err = load (s, h);

  return err ? err : spare_start (s->spare, &s->message);
}

static void
end (struct server *s)
{
  spare_close (s->spare);
  map_free (s->map);
}

/* Kill -9: the stamp stays. */
static void
die (struct server *s)
{
  uint8_t page[SPARE_PAGE];

  CU_ASSERT_EQUAL (device_pread (&m->dev, page, SPARE_PAGE, STAMP_OFFSET), 0);
  end (s);
  CU_ASSERT_EQUAL (device_pwrite (&m->dev, page, SPARE_PAGE, STAMP_OFFSET), 0);
}

static int
change (struct server *s, sector_t sector)
{
  const struct change c = {
    .kind = CHANGE_LOST, .sector = sector, .count = 1
  };
  struct change_list list = { 0 };
  int err;

  CU_ASSERT_EQUAL (change_list_add (&list, &c), 0);
  err = spare_commit (s->spare, &list, NULL);
  change_list_free (&list);
  return err;
}

static void
setup (void)
{
  struct spare_identity id = { .main_size = 64 * MIB };
  struct server s = { .map = map_new () };

  clock_ms = 1000000;
  host_init (&a, "alpha", 11);
  host_init (&b, "beta", 22);
  m = memdev_new (MIB);
  CU_ASSERT_EQUAL_FATAL (spare_format (&m->dev, MIB, false, &id, NULL, s.map,
                                       &s.spare, &s.message), 0);
  end (&s);
}

static void
cleanup (void)
{
  memdev_free (m);
}

static void
get_stamp (struct stamp *st)
{
  uint64_t page[SPARE_PAGE / 8];

  CU_ASSERT_EQUAL (device_pread (&m->dev, page, SPARE_PAGE, STAMP_OFFSET), 0);
  CU_ASSERT_EQUAL (stamp_decode (page, st), STAMP_VALID);
}

/* Nobody waits after a clean end, nor for the dead; an owner that lives is
 * refused at once.
 */
static void
test_fates (void)
{
  const uint64_t begin = (setup (), clock_ms);
  struct server one, two;
  struct owner owner;
  uint64_t renewed;

  CU_ASSERT_EQUAL (spare_read_stamp (&m->dev, &owner, &renewed),
                   SPARE_NEVER_STAMPED);
  CU_ASSERT_EQUAL (start (&one, &a), 0);
  CU_ASSERT_EQUAL (spare_read_stamp (&m->dev, &owner, &renewed), SPARE_HELD);
  CU_ASSERT_STRING_EQUAL (owner.host, "alpha");
  CU_ASSERT_EQUAL (owner.pid, 11);
  b.fate = OWNER_ALIVE;
  CU_ASSERT_EQUAL (load (&two, &b), EBUSY);
  CU_ASSERT_PTR_NOT_NULL (strstr (two.message.text,
                                  "process 11 of the host \"alpha\""));
  map_free (two.map);
  end (&one);
  CU_ASSERT_EQUAL (spare_read_stamp (&m->dev, &owner, &renewed),
                   SPARE_GIVEN_BACK);

  CU_ASSERT_EQUAL (start (&two, &b), 0);
  die (&two);
  a.fate = OWNER_DEAD;
  CU_ASSERT_EQUAL (start (&one, &a), 0);
  CU_ASSERT_EQUAL (change (&one, 1), 0);
  end (&one);
  CU_ASSERT_EQUAL (clock_ms, begin);
  CU_ASSERT_EQUAL (a.waits + b.waits, 0);
  CU_ASSERT_STRING_EQUAL (a.warned, "");
  cleanup ();
}

static struct server other;

static void
renew_other (void)
{
  spare_renew (other.spare);
}

/* An owner of whom nothing is known is watched: 15 seconds at most. */
static void
test_unknown (void)
{
  struct server two;
  uint64_t begin;

  setup ();
  CU_ASSERT_EQUAL (start (&other, &a), 0);
  b.meanwhile = renew_other;
  begin = clock_ms;
  CU_ASSERT_EQUAL (load (&two, &b), EBUSY);
  CU_ASSERT_PTR_NOT_NULL (strstr (two.message.text, "its stamp changes"));
  CU_ASSERT (clock_ms - begin <= 4000);
  CU_ASSERT_EQUAL (b.waits, 1);
  map_free (two.map);
  CU_ASSERT_EQUAL (change (&other, 1), 0);

  /* It hangs: nothing is renewed, and it is taken over; when it goes on, it
   * looks before it writes.
   */
  b.meanwhile = NULL;
  begin = clock_ms;
  CU_ASSERT_EQUAL (start (&two, &b), 0);
  CU_ASSERT (clock_ms - begin > 9000 && clock_ms - begin <= 15000);
  CU_ASSERT_EQUAL (change (&two, 2), 0);
  CU_ASSERT_EQUAL (change (&other, 3), EIO);
  CU_ASSERT (spare_failed (other.spare));
  CU_ASSERT_PTR_NOT_NULL (strstr (a.warned, "process 22 of the host \"beta\""));
  spare_renew (other.spare);
  end (&other);
  CU_ASSERT_EQUAL (change (&two, 4), 0);
  end (&two);
  CU_ASSERT_STRING_EQUAL (b.warned, "");
  cleanup ();
}

/* Slots are not written either, nor headers. */
static void
test_slots (void)
{
  struct change_list list = { 0 };
  uint8_t data[SECTOR_SIZE] = { 1 };
  struct server two;
  uint64_t writes;

  setup ();
  CU_ASSERT_EQUAL (start (&other, &a), 0);
  CU_ASSERT_EQUAL (start (&two, &b), 0);
  writes = m->writes;
  clock_ms += 60000;
  CU_ASSERT_EQUAL (spare_store (other.spare, &list, 0, data, 1, WHY_UNKNOWN),
                   EIO);
  CU_ASSERT_EQUAL (spare_relabel (other.spare, "x", &other.message), EIO);
  CU_ASSERT_EQUAL (spare_write (other.spare, data, 0, 1), EIO);
  CU_ASSERT_EQUAL (m->writes, writes);
  change_list_free (&list);
  end (&other);
  CU_ASSERT_EQUAL (m->writes, writes);
  end (&two);
  cleanup ();
}

static struct server late;

static void
take_over_too (void)
{
  struct host *h = &b;

  /* The other one has watched as long, and writes a moment later. */
  a.meanwhile = NULL;
  h->env.sleep_ms (h, 0);
  CU_ASSERT_EQUAL (spare_start (late.spare, &late.message), EBUSY);
}

/* Two that start at the same time: before either has taken the spare, and
 * after both have found it to be given back.
 */
static void
test_two_starts (void)
{
  struct server one, two;
  struct stamp st;

  setup ();
  CU_ASSERT_EQUAL (load (&one, &a), 0);
  CU_ASSERT_EQUAL (load (&two, &b), 0);
  CU_ASSERT_EQUAL (spare_start (one.spare, &one.message), 0);
  CU_ASSERT_EQUAL (spare_start (two.spare, &two.message), EBUSY);
  CU_ASSERT_PTR_NOT_NULL (strstr (two.message.text, "it came first"));
  end (&two);
  get_stamp (&st);
  CU_ASSERT (st.held && st.owner.pid == 11);

  /* One that was there and has gone in between has changed the log. */
  CU_ASSERT_EQUAL (change (&one, 1), 0);
  end (&one);
  CU_ASSERT_EQUAL (load (&two, &b), 0);
  CU_ASSERT_EQUAL (start (&one, &a), 0);
  CU_ASSERT_EQUAL (change (&one, 2), 0);
  end (&one);
  CU_ASSERT_EQUAL (spare_start (two.spare, &two.message), EBUSY);
  end (&two);

  /* Both have waited for one that has died. */
  CU_ASSERT_EQUAL (start (&one, &a), 0);
  die (&one);
  CU_ASSERT_EQUAL (load (&late, &b), 0);
  CU_ASSERT_EQUAL (load (&one, &a), 0);
  a.meanwhile = take_over_too;
  CU_ASSERT_EQUAL (spare_start (one.spare, &one.message), 0);
  CU_ASSERT_PTR_NULL (a.meanwhile);
  end (&late);
  CU_ASSERT_EQUAL (change (&one, 5), 0);
  end (&one);
  cleanup ();
}

/* The stamp, torn or damaged in any way: it is waited for nobody who has never
 * been there, and nothing is refused.
 */
static void
test_damaged (void)
{
  uint64_t page[SPARE_PAGE / 8];
  struct server one;
  struct owner owner;
  uint64_t renewed;

  setup ();
  memset (page, 0xa5, sizeof page);
  CU_ASSERT_EQUAL (device_pwrite (&m->dev, page, SPARE_PAGE, STAMP_OFFSET), 0);
  CU_ASSERT_EQUAL (spare_read_stamp (&m->dev, &owner, &renewed),
                   SPARE_STAMP_DAMAGED);
  CU_ASSERT_EQUAL (start (&one, &a), 0);
  CU_ASSERT_EQUAL (a.waits, 1);
  CU_ASSERT_EQUAL (change (&one, 1), 0);
  end (&one);

  /* It can't be read, nor written: the spare can be used all the same. */
  memdev_set_bad (m, MEMDEV_READ | MEMDEV_WRITE, STAMP_OFFSET, 512, EIO);
  CU_ASSERT_EQUAL (start (&one, &a), 0);
  CU_ASSERT_PTR_NOT_NULL (strstr (a.warned, "can't be written"));
  CU_ASSERT_EQUAL (change (&one, 2), 0);
  end (&one);
  memdev_set_bad (m, 0, STAMP_OFFSET, 512, 0);

  CU_ASSERT_EQUAL (start (&one, &a), 0);
  memdev_set_bad (m, MEMDEV_READ, STAMP_OFFSET, 512, EIO);
  clock_ms += 3000;
  spare_renew (one.spare);
  CU_ASSERT_PTR_NOT_NULL (strstr (a.warned, "can't be read"));
  CU_ASSERT_EQUAL (change (&one, 3), 0);
  end (&one);
  cleanup ();
}

/* A program that doesn't know stamps has written. */
static void
test_ignorant (void)
{
  struct server one, two;
  struct map *map;

  setup ();
  CU_ASSERT_EQUAL (start (&one, &a), 0);
  map = map_new ();
  memset (&two, 0, sizeof two);
  two.map = map;
  CU_ASSERT_EQUAL (spare_load (&m->dev, m->size, false, NULL, map, &two.spare,
                               &two.message), 0);
  CU_ASSERT_EQUAL (spare_start (two.spare, &two.message), 0);
  CU_ASSERT_EQUAL (change (&two, 1), 0);
  CU_ASSERT_EQUAL (change (&one, 2), EIO);
  CU_ASSERT_PTR_NOT_NULL (strstr (a.warned, "another program has written"));
  end (&one);
  end (&two);
  cleanup ();
}

/* A renewal costs one write, and one in three seconds. */
static void
test_cost (void)
{
  struct server one;
  struct stamp st;
  uint64_t writes, flushes, counter;

  setup ();
  CU_ASSERT_EQUAL (start (&one, &a), 0);
  get_stamp (&st);
  counter = st.counter;
  writes = m->writes;
  flushes = m->flushes;
  for (unsigned i = 0; i < 60; i++) {
    clock_ms += 1000;
    spare_renew (one.spare);
  }
  CU_ASSERT_EQUAL (m->writes - writes, 20);
  CU_ASSERT_EQUAL (m->flushes, flushes);
  get_stamp (&st);
  CU_ASSERT_EQUAL (st.counter, counter + 20);
  end (&one);
  cleanup ();
}

/* The kernel says once that it could not write a slot: to whoever asks first.
 */
static unsigned shares, bad_share;

static int
share (void *ctx, uint64_t offset, uint32_t count)
{
  return ++shares == bad_share ? EIO : 0;
}

/* In the Nth call after OTHER was started, or from the beginning on. */
static void
share_fails (unsigned n, bool at_start)
{
  static struct device_ops ops;

  setup ();
  ops = *m->dev.ops;
  ops.share = share;
  m->dev.ops = &ops;
  shares = 0;
  bad_share = at_start ? n : 0;
  if (at_start)
    return;
  CU_ASSERT_EQUAL (start (&other, &a), 0);
  clock_ms += 3000;
  shares = 0;
  bad_share = n;
}

static void
test_share_errors (void)
{
  /* A renewal looks, and writes; a commit looks at the header, and the log. */
  for (unsigned n = 1; n <= 2; n++) {
    share_fails (n, false);
    spare_renew (other.spare);
    CU_ASSERT (spare_failed (other.spare));
    CU_ASSERT_PTR_NOT_NULL (strstr (a.warned, "brought to the disk"));
    CU_ASSERT_EQUAL (spare_flush (other.spare), EIO);
    end (&other);
    cleanup ();

    share_fails (n, false);
    CU_ASSERT_EQUAL (change (&other, 1), EIO);
    CU_ASSERT_EQUAL (shares, n);
    CU_ASSERT (spare_failed (other.spare));
    end (&other);
    cleanup ();
  }

  /* A start looks twice before it writes. */
  for (unsigned n = 1; n <= 3; n++) {
    struct server one;

    share_fails (n, true);
    CU_ASSERT_EQUAL (start (&one, &a), EIO);
    CU_ASSERT_PTR_NOT_NULL (strstr (one.message.text, "to the disk"));
    end (&one);
    cleanup ();
  }
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "alive, dead, given back", test_fates },
    { "an owner of whom nothing is known", test_unknown },
    { "nothing is written to another's", test_slots },
    { "two starts at once", test_two_starts },
    { "a damaged stamp", test_damaged },
    { "a program that knows no stamps", test_ignorant },
    { "what it costs", test_cost },
    { "what others are to see isn't written (promise 16)", test_share_errors },
    { NULL }
  };

  return run_tests (argc, argv, "spare-owner", tests);
}
