/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Events: what is told once, and what is summed up; what a reader that was too
 * slow can know; what shows only by looking (promise 38 of remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine-operators.h"
#include "engine-rig.h"
#include "engine/spare-dev.h"

static uint64_t clock_ms;
static unsigned woken;

static uint64_t
test_now (void *opaque)
{
  return clock_ms;
}

static void
test_wake (void *opaque)
{
  woken++;
}

static struct events *
new_events (void)
{
  struct events *ev = events_new (&(struct events_config) {
      .now_ms = test_now, .wake = test_wake });

  CU_ASSERT_PTR_NOT_NULL_FATAL (ev);
  clock_ms = 1000;
  woken = 0;
  return ev;
}

/* How many events there are from NUMBER on; the last one is in *LAST. */
static unsigned
count_from (struct events *ev, uint64_t number, struct event *last)
{
  unsigned n = 0;

  for (; events_next (ev, number, last); number = last->number + 1)
    n++;
  return n;
}

static void
lose (struct events *ev, uint64_t start, uint64_t count)
{
  events_tell_sectors (ev, EVENT_LOST, WHY_AUTO_READ, start, count);
}

/* The first at once, the others of 5 seconds as one, and none when nothing
 * happens.
 */
static void
test_sums (void)
{
  struct events *ev = new_events ();
  struct event e;

  lose (ev, 100, 1);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 1);
  CU_ASSERT_STRING_EQUAL (e.text, "sectors 100-100 (offset 0xc800, 512 bytes): "
                          "can't be read from main: LOST");
  CU_ASSERT_STRING_EQUAL (event_kind_name (e.kind), "sector.lost");
  CU_ASSERT (e.severity == EVENT_ERROR && e.times == 1 && e.count == 1);
  for (unsigned i = 0; i < 79419; i++)
    lose (ev, 101 + i, 1);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 1);
  clock_ms += EVENT_SUM_MS - 1;
  events_tick (ev, false);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 1);
  CU_ASSERT_EQUAL (woken, 1);
  clock_ms++;
  events_tick (ev, false);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 2);
  CU_ASSERT_EQUAL (woken, 2);
  CU_ASSERT_STRING_EQUAL (e.text,
                          "79419 more sectors LOST in 5 s, first 101");
  CU_ASSERT (e.times == 79419 && e.count == 79419);
  CU_ASSERT_EQUAL (e.why[WHY_AUTO_READ], 79419);
  CU_ASSERT (e.nr_ranges == 1 && !e.more && e.range[0].start == 101 &&
             e.range[0].count == 79419);

  /* It goes on, and ends. */
  lose (ev, 5, 1);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 2);
  clock_ms += EVENT_SUM_MS;
  events_tick (ev, false);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 3);
  CU_ASSERT_STRING_EQUAL (e.text, "1 more sector LOST in 5 s, first 5");
  CU_ASSERT (e.count == 1 && e.why[WHY_AUTO_READ] == 1 && e.nr_ranges == 1);
  for (unsigned i = 0; i < 3; i++) {
    clock_ms += EVENT_SUM_MS;
    events_tick (ev, false);
  }
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 3);

  /* The next is told at once again, others wait until all is told. */
  lose (ev, 6, 2);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 4);
  lose (ev, 9, 1);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 4);
  events_tick (ev, true);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 5);
  events_free (ev);
}

/* Nobody looks at the clock for a while: a sum ends when the next one comes.
 */
static void
test_late_tick (void)
{
  struct events *ev = new_events ();
  struct event e;

  lose (ev, 1, 1);
  lose (ev, 2, 1);
  clock_ms += 60000;
  lose (ev, 70, 1);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 2);
  CU_ASSERT_EQUAL (woken, 2);
  CU_ASSERT_EQUAL (e.range[0].start, 2);
  clock_ms += EVENT_SUM_MS;
  events_tick (ev, false);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 3);
  CU_ASSERT_EQUAL (e.range[0].start, 70);

  /* Nothing has happened in its time: the next one is told at once. */
  clock_ms += 60000;
  lose (ev, 90, 1);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 4);
  CU_ASSERT_EQUAL (e.range[0].start, 90);
  CU_ASSERT_STRING_EQUAL (e.text, "sectors 90-90 (offset 0xb400, 512 bytes): "
                          "can't be read from main: LOST");
  events_free (ev);
}

static void
test_ranges (void)
{
  struct events *ev = new_events ();
  struct event e;

  lose (ev, 0, 1);
  /* Each touches one before it, on either side, or overlaps with it. */
  lose (ev, 1000, 8);
  lose (ev, 1008, 8);
  lose (ev, 992, 8);
  lose (ev, 990, 4);
  for (unsigned i = 1; i < EVENT_RANGES; i++)
    lose (ev, 10000 * i, 1);
  events_tick (ev, true);
  count_from (ev, 0, &e);
  CU_ASSERT (e.nr_ranges == EVENT_RANGES && !e.more);
  CU_ASSERT (e.range[0].start == 990 && e.range[0].count == 26);

  for (unsigned i = 0; i <= EVENT_RANGES; i++)
    lose (ev, 10000 * i, 1);
  events_tick (ev, true);
  count_from (ev, 0, &e);
  CU_ASSERT (e.nr_ranges == EVENT_RANGES && e.more);
  CU_ASSERT_EQUAL (e.count, EVENT_RANGES + 1);
  CU_ASSERT_EQUAL (e.range[EVENT_RANGES - 1].start,
                   10000 * (EVENT_RANGES - 1));
  events_free (ev);
}

/* Without sectors: the last text counts, and how often. */
static void
test_texts (void)
{
  struct events *ev = new_events ();
  struct event e;

  events_tell (ev, EVENT_MAIN_ERROR, "error %d", 1);
  events_tell (ev, EVENT_MAIN_ERROR, "error %d", 2);
  events_tell (ev, EVENT_MAIN_ERROR, "error %d", 3);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 1);
  CU_ASSERT_STRING_EQUAL (e.text, "error 1");
  /* Another kind isn't held up by that. */
  events_tell (ev, EVENT_FLUSH_FAILED, "lost");
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 2);
  CU_ASSERT_STRING_EQUAL (e.text, "lost");
  events_tick (ev, true);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 3);
  CU_ASSERT_STRING_EQUAL (e.text, "error 3 (2 times in 5 s)");
  CU_ASSERT_EQUAL (e.times, 2);

  /* These are never summed up. */
  for (unsigned i = 0; i < 10; i++)
    events_tell_change (ev, EVENT_JOB_END, "verify 0 1", NULL, "done", NULL);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 13);
  CU_ASSERT_STRING_EQUAL (e.subject, "verify 0 1");
  CU_ASSERT_STRING_EQUAL (e.to, "done");
  CU_ASSERT_STRING_EQUAL (e.text, "");

  /* Once in its time: it isn't said how often. */
  events_tell (ev, EVENT_MAIN_ERROR, "error 4");
  events_tick (ev, true);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 14);
  CU_ASSERT_STRING_EQUAL (e.text, "error 4");
  CU_ASSERT_EQUAL (e.times, 1);

  /* A reason that this program doesn't know is counted with the sectors. */
  events_tell_sectors (ev, EVENT_LATE, (enum change_reason) 99, 5, 7);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 15);
  CU_ASSERT_EQUAL (e.count, 7);
  for (unsigned why = 0; why <= WHY_LAST; why++)
    CU_ASSERT_EQUAL (e.why[why], 0);
  events_free (ev);

  /* Nobody waits for them. */
  ev = events_new (&(struct events_config) { .now_ms = test_now });
  CU_ASSERT_PTR_NOT_NULL_FATAL (ev);
  lose (ev, 1, 1);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 1);

  /* Nobody wants to know. */
  events_tell_change (NULL, EVENT_JOB_END, "x", NULL, "done", NULL);
  events_tell (NULL, EVENT_START, "x");
  lose (NULL, 1, 1);
  events_tick (NULL, true);
  events_free (NULL);
  events_free (ev);
}

/* The ring holds the newest; those that are gone can be counted. */
static void
test_ring (void)
{
  struct events *ev = new_events ();
  uint64_t first, next;
  struct event e;

  CU_ASSERT (!events_next (ev, 0, &e));
  events_bounds (ev, &first, &next);
  CU_ASSERT (first == next && first > UINT64_C (1) << 50 &&
             first < UINT64_C (1) << 53);
  for (unsigned i = 0; i < 2 * EVENTS_KEPT + 5; i++)
    events_tell (ev, EVENT_CONFIG, "%u", i);
  events_bounds (ev, &first, &next);
  CU_ASSERT_EQUAL (next - first, 2 * EVENTS_KEPT + 5);
  CU_ASSERT (events_next (ev, 0, &e));
  CU_ASSERT_EQUAL (e.number, next - EVENTS_KEPT);
  CU_ASSERT_EQUAL (atoi (e.text), EVENTS_KEPT + 5);
  CU_ASSERT (events_next (ev, first + 7, &e));
  CU_ASSERT_EQUAL (e.number, next - EVENTS_KEPT);
  CU_ASSERT (events_next (ev, next - 1, &e));
  CU_ASSERT_EQUAL (atoi (e.text), 2 * EVENTS_KEPT + 4);
  CU_ASSERT (!events_next (ev, next, &e));
  CU_ASSERT (!events_next (ev, UINT64_MAX, &e));
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), EVENTS_KEPT);
  events_free (ev);
}

/* A flood of everything at once: a bounded number of events. */
static void
test_flood (void)
{
  struct events *ev = new_events ();
  struct event e;

  for (unsigned second = 0; second < 10; second++) {
    for (unsigned i = 0; i < 100000; i++) {
      lose (ev, 2 * i, 1);
      events_tell_sectors (ev, EVENT_LATE, WHY_UNKNOWN, i, 1);
      if (i % 64 == 0)
        events_tell (ev, EVENT_MAIN_ERROR, "error");
    }
    clock_ms += 1000;
    events_tick (ev, false);
  }
  CU_ASSERT (count_from (ev, 0, &e) <= 3 * 3);
  events_free (ev);
}

/* ---- what the engine tells ---------------------------------------------- */

static struct engine_rig rig;
static uint64_t seen;

/* The kinds of the events that are new, in order; the last one is in E. */
static const char *
news (struct event *e)
{
  static char text[1000];

  text[0] = '\0';
  for (; events_next (rig.config.events, seen, e); seen = e->number + 1)
    snprintf (text + strlen (text), sizeof text - strlen (text), "%s ",
              event_kind_name (e->kind));
  return text;
}

static void
tick (unsigned ms)
{
  rig.now_ms += ms;
  engine_tick (rig.e);
}

static void
begin (const struct rig_options *o)
{
  struct event e;

  rig_init (&rig, o);
  seen = 0;
  tick (0);
  CU_ASSERT_STRING_EQUAL (news (&e), "health ");
  CU_ASSERT_STRING_EQUAL (e.from, "unknown");
  CU_ASSERT_STRING_EQUAL (e.to, "ok");
}

static void
test_sectors (void)
{
  struct engine_status st;
  struct event e;

  begin (NULL);
  sim_bad (rig.main, SIM_READ, 20, 2, EIO);
  sim_bad (rig.main, SIM_MODIFY, 30, 1, EIO);
  CU_ASSERT_EQUAL (rig_write (&rig, SEC (30), 512, 2), 0);
  CU_ASSERT_STRING_EQUAL (news (&e), "sector.remapped ");
  CU_ASSERT (e.count == 1 && e.range[0].start == 30);
  CU_ASSERT_EQUAL (e.why[WHY_AUTO_WRITE], 1);
  engine_get_status (rig.e, &st);
  CU_ASSERT (st.last_error > 0 && st.last_loss == 0);
  CU_ASSERT_EQUAL (rig_read (&rig, SEC (20), 512, 1), EIO);
  CU_ASSERT_STRING_EQUAL (news (&e), "sector.lost ");
  CU_ASSERT_EQUAL (e.why[WHY_AUTO_READ], 1);
  engine_get_status (rig.e, &st);
  CU_ASSERT (st.last_loss > 0);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "health ");
  CU_ASSERT_STRING_EQUAL (e.from, "ok");
  CU_ASSERT_STRING_EQUAL (e.to, "degraded");
  CU_ASSERT_PTR_NOT_NULL (strstr (e.text, "1 sector is lost"));
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "");

  /* What a client overwrites was told when it was lost. */
  CU_ASSERT_EQUAL (rig_write (&rig, SEC (20), 512, 3), 0);
  CU_ASSERT_EQUAL (stat_of (&rig, STAT_OVERWRITTEN), 1);
  CU_ASSERT_EQUAL (rig_write (&rig, SEC (20), 512, 4), 0);
  CU_ASSERT_EQUAL (stat_of (&rig, STAT_OVERWRITTEN), 1);
  CU_ASSERT_STRING_EQUAL (news (&e), "");

  /* By command: lost, recovered. */
  CU_ASSERT_EQUAL (engine_declare_lost (rig.e, 40, 8, WHY_IMPORT, NULL, &res),
                   0);
  CU_ASSERT_STRING_EQUAL (news (&e), "sector.lost ");
  CU_ASSERT (e.severity == EVENT_INFO && e.count == 8);
  CU_ASSERT_EQUAL (retry (&rig, 40, 8), 0);
  CU_ASSERT_STRING_EQUAL (news (&e), "sector.recovered ");
  rig_end (&rig);
}

/* Main goes away, and is back at the next request. */
static void
lose_and_find (void)
{
  sim_gone (rig.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), ESHUTDOWN);
  sim_gone (rig.main, 0);
  rig.now_ms += 1000;
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), 0);
}

/* The health is told although main was lost and found between two looks. */
static void
test_main (void)
{
  struct event e;

  begin (NULL);
  sim_gone (rig.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), ESHUTDOWN);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.lost ");
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "health ");
  CU_ASSERT_STRING_EQUAL (e.to, "main-lost");
  CU_ASSERT_PTR_NULL (strstr (e.text, "is back"));
  sim_gone (rig.main, 0);
  tick (1000);
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), 0);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.back ");
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "health ");
  CU_ASSERT_STRING_EQUAL (e.to, "ok");

  tick (10000);
  CU_ASSERT_STRING_EQUAL (news (&e), "");
  lose_and_find ();
  tick (0);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.lost main.back health health ");
  CU_ASSERT_STRING_EQUAL (e.from, "main-lost");
  CU_ASSERT_STRING_EQUAL (e.to, "ok");

  /* Errors that are passed on, and a flush that fails. */
  sim_fail (rig.main, SIM_READ, 1, ENOMEM);
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), ENOMEM);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.error ");
  sim_fail (rig.main, SIM_FLUSH, 1, EIO);
  CU_ASSERT_EQUAL (rig_flush (&rig), EIO);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.flush ");
  sim_fail (rig.main, SIM_WRITE, 1, EROFS);
  CU_ASSERT_EQUAL (rig_write (&rig, 0, 512, 2), EROFS);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.readonly ");
  CU_ASSERT_EQUAL (rig_write (&rig, 0, 512, 2), 0);
  CU_ASSERT_STRING_EQUAL (news (&e), "");
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.writable ");

  /* It isn't over before a write has succeeded. */
  sim_fail (rig.main, SIM_WRITE, 1, EROFS);
  CU_ASSERT_EQUAL (rig_write (&rig, 0, 512, 2), EROFS);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.readonly ");
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "health ");
  CU_ASSERT_STRING_EQUAL (e.to, "critical");
  CU_ASSERT_EQUAL (rig_write (&rig, 0, 512, 2), 0);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.writable health ");

  /* Twice between two looks is told once. */
  for (unsigned i = 0; i < 2; i++) {
    sim_fail (rig.main, SIM_WRITE, 1, EROFS);
    CU_ASSERT_EQUAL (rig_write (&rig, 0, 512, 2), EROFS);
    CU_ASSERT_EQUAL (rig_write (&rig, 0, 512, 2), 0);
  }
  CU_ASSERT_STRING_EQUAL (news (&e), "main.readonly ");
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.writable ");
  rig_end (&rig);
}

/* Lost and found before anybody has looked: the health was never another one,
 * as far as anybody knows.
 */
static void
test_main_before (void)
{
  struct event e;

  rig_init (&rig, NULL);
  seen = 0;
  lose_and_find ();
  tick (0);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.lost main.back health ");
  CU_ASSERT_STRING_EQUAL (e.from, "unknown");
  CU_ASSERT_STRING_EQUAL (e.to, "ok");

  /* Twice, and a look in between. */
  sim_gone (rig.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), ESHUTDOWN);
  tick (0);
  sim_gone (rig.main, 0);
  rig.now_ms += 1000;
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), 0);
  lose_and_find ();
  news (&e);
  tick (0);
  CU_ASSERT_STRING_EQUAL (news (&e), "health ");
  CU_ASSERT_STRING_EQUAL (e.from, "main-lost");
  CU_ASSERT_STRING_EQUAL (e.to, "ok");
  rig_end (&rig);
}

/* Another disk in its place: told once for as long as it is there. */
static void
test_other_disk (void)
{
  struct event e;

  begin (NULL);
  sim_gone (rig.main, ENODEV);
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), ESHUTDOWN);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.lost ");
  sim_gone (rig.main, 0);
  rig.main->probed_size = rig.main->size + 4096;
  for (unsigned i = 0; i < 3; i++) {
    rig.now_ms += 1000;
    CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), ESHUTDOWN);
    CU_ASSERT_STRING_EQUAL (news (&e), i == 0 ? "main.other " : "");
  }
  rig.main->probed_size = rig.main->size;
  rig.now_ms += 1000;
  CU_ASSERT_EQUAL (rig_read (&rig, 0, 512, 1), 0);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.back ");
  rig_end (&rig);
}

/* A drive that doesn't answer isn't well, and so it is told. */
static void
test_hangs (void)
{
  struct engine_status st;
  struct job job[2];
  struct event e;

  begin (NULL);
  engine_get_status (rig.e, &st);
  CU_ASSERT (st.in_flight == 0 && st.oldest_ms == 0 && !st.main_hangs);
  sim_close (rig.main, 0, SIM_READ, SEC (20), 512, false);
  job_start (&job[0], &rig, JOB_READ, SEC (20), 512, 1);
  sim_wait (rig.main, 0, 1);
  for (unsigned i = 0; i < 40; i++) {
    tick (1000);
    /* The others come and go. */
    CU_ASSERT_EQUAL (rig_read (&rig, SEC (100), 4096, 1), 0);
    CU_ASSERT_EQUAL (rig_write (&rig, SEC (100), 4096, 1), 0);
    engine_get_status (rig.e, &st);
    CU_ASSERT_EQUAL (st.in_flight, 1);
    CU_ASSERT_EQUAL (st.oldest_ms, 1000 * (i + 1));
    CU_ASSERT_EQUAL (st.main_hangs, i >= 10);
    CU_ASSERT_EQUAL (st.health, i >= 10 ? HEALTH_DEGRADED : HEALTH_OK);
    CU_ASSERT_STRING_EQUAL (news (&e), i == 10 ? "main.hangs health " : "");
  }
  CU_ASSERT_PTR_NOT_NULL (strstr (e.text, "hasn't answered for 11 s: 1 req"));

  /* As old as the older one. */
  job_start (&job[1], &rig, JOB_READ, SEC (20), 512, 1);
  sim_wait (rig.main, 0, 2);
  engine_get_status (rig.e, &st);
  CU_ASSERT (st.in_flight == 2 && st.oldest_ms == 40000);
  sim_open (rig.main, 0);
  CU_ASSERT_EQUAL (job_end (&job[0]), 0);
  CU_ASSERT_EQUAL (job_end (&job[1]), 0);
  engine_get_status (rig.e, &st);
  CU_ASSERT (st.in_flight == 0 && st.oldest_ms == 0);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "main.answers health ");
  rig_end (&rig);
}

/* Calls that hang in every interval: the oldest one is still known. */
static void
test_hang_for_long (void)
{
  struct job job[FLIGHT_BUCKETS + 4];
  const unsigned n = sizeof job / sizeof job[0];
  struct engine_status st;
  struct event e;

  begin (NULL);
  sim_close (rig.main, 0, SIM_READ, 0, MIB, false);
  for (unsigned i = 0; i < n; i++) {
    job_start (&job[i], &rig, JOB_READ, SEC (20 * i), 512, 1);
    sim_wait (rig.main, 0, i + 1);
    tick (1000);
    engine_get_status (rig.e, &st);
    CU_ASSERT_EQUAL (st.in_flight, i + 1);
    CU_ASSERT_EQUAL (st.oldest_ms, 1000 * (i + 1));
  }
  sim_open (rig.main, 0);
  for (unsigned i = 0; i < n; i++)
    CU_ASSERT_EQUAL (job_end (&job[i]), 0);
  tick (1000);
  engine_get_status (rig.e, &st);
  CU_ASSERT (st.in_flight == 0 && st.oldest_ms == 0);
  CU_ASSERT_PTR_NOT_NULL (strstr (news (&e), "main.answers"));
  rig_end (&rig);
}

/* A spare that is full, has room again, and fails. */
static void
test_spare (void)
{
  const struct rig_options o = { .size = 2 * MIB, .spare_size = MIB };
  struct spare_status sp;
  struct event e;
  sector_t s = 0;
  uint64_t n;

  begin (&o);
  for (spare_get_status (rig.spare, &sp); sp.slots_free > 0; s += n) {
    n = min_u64 (sp.slots_free, 1000);
    set_state (&rig, s, n, REMAPPED, 2);
    spare_get_status (rig.spare, &sp);
  }
  news (&e);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "spare.full health ");
  CU_ASSERT_STRING_EQUAL (e.to, "critical");
  sim_bad (rig.main, SIM_MODIFY, s, 1, EIO);
  CU_ASSERT_EQUAL (rig_write (&rig, SEC (s), 512, 2), ENOSPC);
  CU_ASSERT_STRING_EQUAL (news (&e), "");
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "");

  /* What is given back is room, once it has been used. */
  CU_ASSERT_EQUAL (unmap (&rig, 0, 8), 0);
  CU_ASSERT_EQUAL (rig_write (&rig, SEC (s), 512, 2), 0);
  CU_ASSERT_STRING_EQUAL (news (&e), "sector.remapped ");
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "spare.room health ");

  memdev_fail (rig.mem, MEMDEV_FLUSH, 1, EIO, true);
  sim_bad (rig.main, SIM_MODIFY, s + 1, 1, EIO);
  CU_ASSERT_EQUAL (rig_write (&rig, SEC (s + 1), 512, 2), EIO);
  tick (1000);
  CU_ASSERT_PTR_NOT_NULL (strstr (news (&e), "spare.failed health "));
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "");
  rig_end (&rig);
}

/* What is promised, and isn't there: told once, and not at each change. */
static void
test_thin (void)
{
  struct event e;

  begin (NULL);
  engine_note_room (rig.e, 1000, 1000);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "");
  engine_note_room (rig.e, 999, 1000);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "spare.thin health ");
  CU_ASSERT_STRING_EQUAL (e.to, "degraded");
  CU_ASSERT_PTR_NOT_NULL (strstr (e.text, "has 999 bytes free"));
  engine_note_room (rig.e, 500, 1000);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "");
  engine_note_room (rig.e, 1061, 1000);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "health ");
  engine_note_room (rig.e, 999, 1000);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "health ");
  engine_note_room (rig.e, 1062, 1000);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "spare.enough health ");
  CU_ASSERT_STRING_EQUAL (e.to, "ok");
  engine_note_room (rig.e, 0, 1);
  tick (1000);
  engine_note_room (rig.e, UINT64_MAX, 0);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "spare.thin health spare.enough health ");
  rig_end (&rig);
}

/* A spare without room below it, for a slot or for a record: that it has room
 * again is told when that has been tried.
 */
static void
test_spare_room (void)
{
  struct engine_result result;
  struct event e;

  begin (NULL);
  memdev_set_room (rig.mem, 0);
  sim_bad (rig.main, SIM_MODIFY, 30, 2, EIO);
  CU_ASSERT_EQUAL (rig_write (&rig, SEC (30), 512, 2), ENOSPC);
  CU_ASSERT_STRING_EQUAL (news (&e), "spare.full ");
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "health ");
  CU_ASSERT_STRING_EQUAL (e.to, "critical");
  memdev_set_room (rig.mem, UINT64_MAX);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "");
  CU_ASSERT_EQUAL (rig_write (&rig, SEC (30), 512, 2), 0);
  news (&e);
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "spare.room health ");
  CU_ASSERT_STRING_EQUAL (e.to, "ok");

  memdev_fail (rig.mem, MEMDEV_WRITE, 1, ENOSPC, true);
  CU_ASSERT_EQUAL (engine_declare_lost (rig.e, 40, 8, WHY_IMPORT, NULL,
                                        &result), ENOSPC);
  memdev_fail (rig.mem, 0, 0, 0, false);
  CU_ASSERT_STRING_EQUAL (news (&e), "spare.full ");
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "health ");
  CU_ASSERT_STRING_EQUAL (e.to, "critical");
  CU_ASSERT_EQUAL (engine_declare_lost (rig.e, 40, 8, WHY_IMPORT, NULL,
                                        &result), 0);
  CU_ASSERT_STRING_EQUAL (news (&e), "sector.lost ");
  tick (1000);
  CU_ASSERT_STRING_EQUAL (news (&e), "spare.room health ");
  CU_ASSERT_STRING_EQUAL (e.to, "degraded");
  rig_end (&rig);
}

/* The spare's device is gone: told once, and passed on as it is. */
static void
test_spare_gone (void)
{
  struct events *ev = new_events ();
  struct memdev *mem = memdev_new (MIB);
  struct spare_dev sd;
  uint8_t buf[512] = { 7 };
  struct event e;

  spare_dev_init (&sd, &mem->dev, ev);
  CU_ASSERT_EQUAL (device_pwrite (&sd.device, buf, 512, 512), 0);
  memset (buf, 0, sizeof buf);
  CU_ASSERT_EQUAL (device_pread (&sd.device, buf, 512, 512), 0);
  CU_ASSERT_EQUAL (buf[0], 7);
  CU_ASSERT_EQUAL (device_allocate (&sd.device, 0, 512), 0);
  memdev_fail (mem, MEMDEV_WRITE, 1, EIO, false);
  CU_ASSERT_EQUAL (device_pwrite (&sd.device, buf, 512, 512), EIO);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 0);
  memdev_fail (mem, MEMDEV_FLUSH, 1, ENXIO, false);
  CU_ASSERT_EQUAL (device_flush (&sd.device), ENXIO);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 1);
  CU_ASSERT_STRING_EQUAL (event_kind_name (e.kind), "spare.gone");
  memdev_fail (mem, MEMDEV_READ, 1, ENODEV, false);
  CU_ASSERT_EQUAL (device_pread (&sd.device, buf, 512, 512), ENODEV);
  CU_ASSERT_EQUAL (count_from (ev, 0, &e), 1);
  CU_ASSERT_EQUAL (device_flush (&sd.device), 0);
  memdev_free (mem);
  events_free (ev);
}

int
main (int argc, char *argv[])
{
  static const struct unit_test tests[] = {
    { "sums", test_sums },
    { "a late look at the clock", test_late_tick },
    { "ranges", test_ranges },
    { "texts", test_texts },
    { "the ring", test_ring },
    { "a flood", test_flood },
    { "sectors", test_sectors },
    { "main (promise 12)", test_main },
    { "main before anybody looks (promise 12)", test_main_before },
    { "another disk (promise 12)", test_other_disk },
    { "main hangs", test_hangs },
    { "main hangs for long", test_hang_for_long },
    { "the spare (promise 18)", test_spare },
    { "a thin spare", test_thin },
    { "the spare has no room (promise 18)", test_spare_room },
    { "the spare's disk is gone", test_spare_gone },
    { NULL }
  };

  return run_tests (argc, argv, "events", tests);
}
