/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine-rig.h"

static uint64_t
rig_now (void *opaque)
{
  struct engine_rig *r = opaque;

  return atomic_load (&r->now_ms);
}

static void
rig_log (void *opaque, const char *text)
{
  if (getenv ("TEST_VERBOSE"))
    fprintf (stderr, "%s\n", text);
}

/* Warnings are events that the log would have. */
static void
rig_news (void *opaque)
{
  static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
  struct engine_rig *r = opaque;
  struct event e;

  pthread_mutex_lock (&lock);
  while (events_next (r->config.events, r->next_event, &e)) {
    r->next_event = e.number + 1;
    rig_log (r, e.text);
    if (e.severity == EVENT_INFO)
      continue;
    snprintf (r->warning, sizeof r->warning, "%.511s", e.text);
    atomic_fetch_add (&r->warnings, 1);
  }
  pthread_mutex_unlock (&lock);
}

static void
start (struct engine_rig *r, bool format)
{
  struct message message = { "" };
  int err;

  r->map = map_new ();
  CU_ASSERT_PTR_NOT_NULL_FATAL (r->map);
  if (format) {
    struct spare_identity id = { .main_size = r->config.main_size };

    err = spare_format (&r->mem->dev, r->mem->size, true, &id, NULL, r->map,
                        &r->spare, &message);
  }
  else {
    err = spare_load (&r->mem->dev, r->mem->size, false, NULL, r->map,
                      &r->spare, &message);
    if (err == 0)
      err = spare_start (r->spare, &message);
  }
  if (err)
    fprintf (stderr, "the spare: %s\n", message.text);
  CU_ASSERT_EQUAL_FATAL (err, 0);
  r->e = engine_new (&r->config, r->map, r->spare);
  CU_ASSERT_PTR_NOT_NULL_FATAL (r->e);
  engine_conn_init (&r->conn, r->e, &r->main->dev);
}

static void
stop (struct engine_rig *r)
{
  engine_free (r->e);
  spare_close (r->spare);
  map_free (r->map);
}

void
rig_init (struct engine_rig *r, const struct rig_options *o)
{
  static const struct rig_options none;

  if (o == NULL)
    o = &none;
  memset (r, 0, sizeof *r);
  r->config = (struct engine_config) {
    .main_size = o->size ? o->size : 4 * MIB,
    .main_block = o->block ? o->block : SECTOR_SIZE,
    .main_max = o->max_call, .copy_block = o->copy_block,
    .retries = o->retries == -1 ? 0 : o->retries ? o->retries : 1,
    .auto_remap = !o->manual, .lost_zero = o->lost_zero,
    .now_ms = rig_now, .log = rig_log, .opaque = r,
  };
  r->now_ms = 1000000;
  r->config.events = events_new (&(struct events_config) {
      .now_ms = rig_now, .wake = rig_news, .opaque = r });
  CU_ASSERT_PTR_NOT_NULL_FATAL (r->config.events);
  r->main = sim_new (r->config.main_size, r->config.main_block);
  r->main->max_call = o->max_call;
  fill (r->main->data, 0, r->main->size, 1);
  r->mem = memdev_new (o->spare_size ? o->spare_size : 16 * MIB);
  start (r, true);
}

static void
too_long (int sig)
{
  static const char text[] = "a range is still locked\n";

  if (write (STDERR_FILENO, text, sizeof text - 1) > 0)
    abort ();
}

void
rig_check_idle (struct engine_rig *r)
{
  struct exclusive_hold hold;
  struct spare_status st;

  /* Whoever left something locked makes this wait for ever. */
  signal (SIGALRM, too_long);
  alarm (60);
  CU_ASSERT_EQUAL (range_lock_exclusive (r->e->ranges, &hold, 0, UINT64_MAX),
                   UINT64_MAX);
  range_unlock_exclusive (r->e->ranges, &hold);
  alarm (0);
  spare_get_status (r->spare, &st);
  if (!st.failed)
    CU_ASSERT_EQUAL (st.slots_used, totals (r).remapped);
  CU_ASSERT_EQUAL (r->main->violations, 0);
  CU_ASSERT_EQUAL (r->mem->outside, 0);
}

void
rig_end (struct engine_rig *r)
{
  rig_check_idle (r);
  stop (r);
  events_free (r->config.events);
  sim_free (r->main);
  memdev_free (r->mem);
}

void
rig_restart (struct engine_rig *r)
{
  stop (r);
  start (r, false);
}

void
rig_restart_with (struct engine_rig *r, struct memdev *mem)
{
  stop (r);
  memdev_free (r->mem);
  r->mem = mem;
  start (r, false);
}

/* splitmix64 of the place of eight bytes. */
static uint64_t
pattern (uint64_t word, unsigned tag)
{
  uint64_t z = (word + 1) * UINT64_C (0x9e3779b97f4a7c15) +
    tag * UINT64_C (0xd1342543de82ef95);

  z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

/* Up to eight bytes, as many as lie in one word; returns how many. */
static uint64_t
piece_at (uint8_t piece[8], uint64_t offset, uint64_t count, unsigned tag)
{
  uint64_t word = tag ? pattern (offset / 8, tag) : 0;
  uint64_t n = min_u64 (8 - offset % 8, count);

  word >>= offset % 8 * 8;
  memcpy (piece, &word, 8);
  return n;
}

bool
rig_sleeps (struct engine_rig *r, unsigned ms)
{
  struct engine *e = r->e;
  bool probing;

  pthread_mutex_lock (&e->probe_mutex);
  probing = e->probing;
  pthread_mutex_unlock (&e->probe_mutex);
  if (probing)
    nanosleep (&(struct timespec) { .tv_nsec = 100000 }, NULL);
  else
    atomic_fetch_add (&r->now_ms, ms);
  return !probing;
}

void
fill (uint8_t *buf, uint64_t offset, uint64_t count, unsigned tag)
{
  uint8_t piece[8];
  uint64_t n;

  for (; count > 0; buf += n, offset += n, count -= n) {
    n = piece_at (piece, offset, count, tag);
    memcpy (buf, piece, n);
  }
}

bool
matches (const uint8_t *buf, uint64_t offset, uint64_t count, unsigned tag)
{
  uint8_t piece[8];
  uint64_t n;

  for (; count > 0; buf += n, offset += n, count -= n) {
    n = piece_at (piece, offset, count, tag);
    if (memcmp (buf, piece, n) != 0)
      return false;
  }
  return true;
}

/* A buffer that the thread keeps, so that requests need no malloc. */
static uint8_t *
buffer (uint64_t count)
{
  static _Thread_local uint8_t small[4096];
  static _Thread_local uint8_t *large;
  static _Thread_local uint64_t size;

  if (count <= sizeof small)
    return small;
  if (size < count) {
    free (large);
    large = malloc (count);
    size = count;
    if (large == NULL)
      abort ();
  }
  return large;
}

static int
do_write (struct engine_rig *r, struct engine_conn *conn, uint64_t offset,
          uint64_t count, unsigned tag, bool fua)
{
  uint8_t *buf = malloc (count);
  int err;

  fill (buf, offset, count, tag);
  err = engine_pwrite (conn, buf, count, offset, fua);
  /* The engine must not have changed it. */
  CU_ASSERT (matches (buf, offset, count, tag));
  free (buf);
  return err;
}

static int
do_read (struct engine_rig *r, struct engine_conn *conn, uint64_t offset,
         uint64_t count, unsigned tag)
{
  uint8_t *buf = malloc (count);
  int err;

  memset (buf, 0xcc, count);
  err = engine_pread (conn, buf, count, offset);
  if (err == 0 && !matches (buf, offset, count, tag))
    err = -1;
  free (buf);
  return err;
}

int
rig_write (struct engine_rig *r, uint64_t offset, uint64_t count,
           unsigned tag)
{
  return do_write (r, &r->conn, offset, count, tag, false);
}

int
rig_write_fua (struct engine_rig *r, uint64_t offset, uint64_t count,
               unsigned tag)
{
  return do_write (r, &r->conn, offset, count, tag, true);
}

int
rig_read (struct engine_rig *r, uint64_t offset, uint64_t count, unsigned tag)
{
  return do_read (r, &r->conn, offset, count, tag);
}

int
rig_zero (struct engine_rig *r, uint64_t offset, uint64_t count)
{
  return engine_zero (&r->conn, count, offset, 0, false);
}

int
rig_flush (struct engine_rig *r)
{
  return engine_flush (&r->conn);
}

bool
main_holds (struct engine_rig *r, uint64_t offset, uint64_t count,
            unsigned tag)
{
  return matches (r->main->data + offset, offset, count, tag);
}

const char *
states (struct engine_rig *r, sector_t start, unsigned count)
{
  static char text[4096];

  for (unsigned i = 0; i < count; i++)
    text[i] = "DRLZ?KW"[map_lookup (r->map, start + i, 1).state];
  text[count] = '\0';
  return text;
}

struct map_totals
totals (struct engine_rig *r)
{
  struct map_totals t;

  map_get_totals (r->map, &t);
  return t;
}

uint64_t
stat_of (struct engine_rig *r, enum engine_stat stat)
{
  struct engine_status st;

  engine_get_status (r->e, &st);
  return st.stat[stat];
}

enum engine_health
health (struct engine_rig *r)
{
  struct engine_status st;

  engine_get_status (r->e, &st);
  return st.health;
}

void
set_state (struct engine_rig *r, sector_t start, uint64_t count,
           enum sector_state state, unsigned tag)
{
  struct change_list list = { 0 };
  struct change c = { .sector = start, .count = count, .slot = NO_SLOT,
                      .kind = (enum change_kind) state,
                      .reason = WHY_UNKNOWN };
  uint8_t *buf;

  if (state == REMAPPED) {
    buf = buffer (count * SECTOR_SIZE);
    fill (buf, start * SECTOR_SIZE, count * SECTOR_SIZE, tag);
    CU_ASSERT_EQUAL_FATAL (spare_store (r->spare, &list, start, buf, count,
                                        WHY_UNKNOWN), 0);
  }
  else
    CU_ASSERT_EQUAL_FATAL (change_list_add (&list, &c), 0);
  CU_ASSERT_EQUAL_FATAL (spare_commit (r->spare, &list, NULL), 0);
  change_list_free (&list);
}

static void *
job_thread (void *arg)
{
  struct job *j = arg;

  switch (j->what) {
  case JOB_READ:
    j->result = do_read (j->r, &j->conn, j->offset, j->count, j->tag);
    break;
  case JOB_WRITE:
  case JOB_FUA:
    j->result = do_write (j->r, &j->conn, j->offset, j->count, j->tag,
                          j->what == JOB_FUA);
    break;
  case JOB_ZERO:
    j->result = engine_zero (&j->conn, j->count, j->offset, 0, false);
    break;
  case JOB_FLUSH:
    j->result = engine_flush (&j->conn);
    break;
  }
  atomic_store (&j->done, true);
  return NULL;
}

void
job_start (struct job *j, struct engine_rig *r, int what, uint64_t offset,
           uint64_t count, unsigned tag)
{
  memset (j, 0, sizeof *j);
  j->r = r;
  j->what = what;
  j->offset = offset;
  j->count = count;
  j->tag = tag;
  engine_conn_init (&j->conn, r->e, &r->main->dev);
  if (pthread_create (&j->thread, NULL, job_thread, j) != 0)
    abort ();
}

int
job_end (struct job *j)
{
  pthread_join (j->thread, NULL);
  return j->result;
}

bool
job_ended_early (struct job *j)
{
  const struct timespec ms = { .tv_nsec = 1000000 };

  for (int i = 0; i < 50 && !atomic_load (&j->done); i++)
    nanosleep (&ms, NULL);
  return atomic_load (&j->done);
}
