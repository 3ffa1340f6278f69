/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <assert.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "engine/events.h"
#include "engine/recognise.h"
#include "spare/header.h"
#include "spare/leader.h"
#include "spare/slots.h"
#include "world.h"

#define SPARE_SIZE SPARE_MIN_SIZE
#define SPARE_ROOM (2 * SPARE_MIN_SIZE + 65536)  /* what it may grow into */

void
bug (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  vfprintf (stderr, fs, args);
  va_end (args);
  fputc ('\n', stderr);
  abort ();
}

uint64_t
hash_bytes (const void *buf, size_t len)
{
  const uint8_t *p = buf;
  uint64_t h[4] = { len, 1, 2, 3 }, v[4];

  for (; len >= sizeof v; p += sizeof v, len -= sizeof v) {
    memcpy (v, p, sizeof v);
    for (int i = 0; i < 4; i++)
      h[i] = mix (h[i], v[i]);
  }
  for (; len > 0; p++, len--)
    h[0] = mix (h[0], *p);
  return mix (mix (h[0], h[1]), mix (h[2], h[3]));
}

void
pattern (uint8_t buf[SECTOR_SIZE], unsigned s, unsigned v)
{
  uint64_t word;

  for (unsigned i = 0; i < SECTOR_SIZE / 8; i++) {
    word = mix (mix (s + 1, v), i);
    memcpy (buf + i * 8, &word, 8);
  }
}

static uint64_t
env_now (void *opaque)
{
  return 1700000000;
}

static void
env_random (void *opaque, void *buf, size_t len)
{
  struct world *w = opaque;
  uint8_t *p = buf;

  while (len-- > 0)
    *p++ = memdev_random (&w->seed);
}

static uint64_t
engine_now (void *opaque)
{
  struct world *w = opaque;

  return w->now_ms;
}

/* A long time has always passed, so that nothing is summed up. */
static uint64_t
events_now (void *opaque)
{
  struct world *w = opaque;

  return w->events_ms += 60000;
}

static void
before_event (void *opaque, enum memdev_op op, uint64_t offset,
              uint64_t count)
{
  struct world *w = opaque;

  if (w->watch && w->map && op != MEMDEV_READ)
    world_look (w);
}

/* Every other one that was killed was on another host. */
static enum owner_fate
owner_fate (void *opaque, const struct owner *other)
{
  return other->pid % 2 ? OWNER_UNKNOWN : OWNER_DEAD;
}

static void
owner_sleep (void *opaque, unsigned ms)
{
  struct world *w = opaque;

  w->now_ms += ms;
}

char
sector_letter (const struct world *w, unsigned s)
{
  const struct setup *setup = w->setup;
  const unsigned len = strlen (setup->sectors);

  if (setup->rest && s >= len * setup->times)
    return setup->rest[s - len * setup->times];
  return setup->sectors[s % len];
}

unsigned
sector_with (const struct world *w, char c)
{
  unsigned s = 0;

  while (s < w->nsectors && sector_letter (w, s) != c)
    s++;
  return s;
}

uint32_t
sector_len (const struct world *w, unsigned s)
{
  return s == w->nsectors - 1 && w->setup->tail ? w->setup->tail
    : SECTOR_SIZE;
}

static struct world *
new_world (const struct setup *setup)
{
  struct world *w = calloc (1, sizeof *w);

  if (w == NULL)
    bug ("out of memory");
  w->setup = setup;
  w->nsectors = strlen (setup->sectors) * (setup->times ? setup->times : 1) +
    (setup->rest ? strlen (setup->rest) : 0);
  assert (w->nsectors <= MAX_SECTORS);
  w->config = (struct engine_config) {
    .main_size = (uint64_t) w->nsectors * SECTOR_SIZE, .retries = 1,
    .main_block = setup->block, .auto_remap = true, .now_ms = engine_now,
    .time = env_now, .new_samples = setup->samples, .opaque = w,
  };
  w->now_ms = 1000000;
  if (setup->tail)
    w->config.main_size -= SECTOR_SIZE - setup->tail;
  w->env = (struct spare_env) {
    .now = env_now, .random = env_random, .opaque = w
  };
  if (setup->samples)
    w->config.events = events_new (&(struct events_config) {
      .now_ms = events_now, .opaque = w });
  w->owner = (struct owner_env) {
    .self = { .host = "crash" }, .fate = owner_fate, .now_ms = engine_now,
    .sleep_ms = owner_sleep, .opaque = w,
  };
  if (setup->stamps)
    w->env.owner = &w->owner;
  w->snapshot = calloc (MAX_SNAPSHOTS, sizeof *w->snapshot);
  if (w->snapshot == NULL || (setup->samples && w->config.events == NULL))
    bug ("out of memory");
  return w;
}

static void
set_hooks (struct world *w)
{
  w->main->clock = w->mem->clock = &w->clock;
  w->main->hook = w->mem->hook = before_event;
  w->main->hook_opaque = w->mem->hook_opaque = w;
}

static void
make_main (struct world *w)
{
  uint8_t buf[SECTOR_SIZE];

  w->main = memdev_new (w->config.main_size);
  w->main->trim_zeroes = true;
  w->main->partial = w->setup->partial;
  for (unsigned s = 0; s < w->nsectors; s++) {
    const char c = sector_letter (w, s);

    pattern (buf, s, c == 'R' || c == 'Q' || c == 'Z' ? STALE : 0);
    memdev_poke (w->main, SEC (s), buf, sector_len (w, s));
    switch (c) {
    case 'B':
      memdev_set_bad (w->main, MEMDEV_MODIFY, SEC (s), SECTOR_SIZE, EIO);
      break;
    case 'T':
      memdev_set_bad (w->main, MEMDEV_MODIFY, SEC (s), SECTOR_SIZE,
                      ETIMEDOUT);
      break;
    case 'r':
      memdev_set_bad (w->main, MEMDEV_READ, SEC (s), SECTOR_SIZE, EIO);
      break;
    case 'w':
      memdev_set_bad (w->main, MEMDEV_READ, SEC (s), SECTOR_SIZE, EIO);
      memdev_set_weak (w->main, 1);
      break;
    case 'A':
    case 'Q':
      memdev_set_bad (w->main, MEMDEV_READ | MEMDEV_MODIFY, SEC (s),
                      SECTOR_SIZE, EIO);
      break;
    }
  }
}

/* What is not DIRECT gets into the map. */
static int
set_state (struct world *w, struct change_list *list, unsigned s)
{
  struct change c = { .sector = s, .count = 1, .slot = NO_SLOT };
  uint8_t buf[SECTOR_SIZE] = { 0 };

  switch (sector_letter (w, s)) {
  case 'R':
  case 'Q':
    pattern (buf, s, 0);
    memset (buf + sector_len (w, s), 0, SECTOR_SIZE - sector_len (w, s));
    return spare_store (w->spare, list, s, buf, 1, WHY_MANUAL);
  case 'L':
    c.kind = CHANGE_LOST;
    return change_list_add (list, &c);
  case 'Z':
    c.kind = CHANGE_ZERO;
    return change_list_add (list, &c);
  default:
    return 0;
  }
}

/* What main has at first. */
static int
add_sample (struct world *w, struct change_list *list)
{
  struct sample sample = { .offset = 0 };
  uint8_t content[SAMPLE_CONTENT];
  struct attribute a;

  sample_hash (spare_get_identity (w->spare)->uuid, w->main->data,
               sample.hash);
  sample_to_attribute (&sample, &a, content);
  return change_list_add_attribute (list, &a);
}

static void
fill_spare (struct world *w)
{
  const uint64_t counters[NR_SPARE_COUNTERS] = { [COUNT_LOST] = 1 };
  struct change_list list = { 0 };
  struct spare_status st;
  struct change c = { .kind = CHANGE_RETIRE };
  int err = 0;

  for (unsigned s = 0; s < w->nsectors && err == 0; s++)
    err = set_state (w, &list, s);
  spare_get_status (w->spare, &st);
  if (w->setup->free_slots > 0) {
    c.slot = st.slots_used + w->setup->free_slots;
    c.count = st.slots_total - c.slot;
    err = err ? err : change_list_add (&list, &c);
  }
  if (err == 0 && w->setup->samples)
    err = add_sample (w, &list);
  err = err ? err : spare_commit (w->spare, &list, counters);
  change_list_free (&list);
  spare_get_status (w->spare, &st);
  w->spare->not_before = UINT32_MAX;    /* no checkpoint before it is full */
  while (err == 0 && w->setup->log_left > 0 &&
         st.log_pages - st.log_used > w->setup->log_left) {
    err = spare_commit (w->spare, &list, counters);
    spare_get_status (w->spare, &st);
  }
  if (err == 0 && w->setup->low_high_water) {
    w->spare->hdr.high_water = w->spare->pos;
    w->spare->hdr.commit_floor = w->spare->number;
    err = header_write (w->spare, &w->spare->hdr);
  }
  if (err)
    bug ("the setup '%s': %s", w->setup->name, strerror (err));
}

struct world *
world_new (const struct setup *setup)
{
  struct world *w = new_world (setup);
  struct spare_identity id = { .main_size = w->config.main_size };
  int err;

  make_main (w);
  w->mem = memdev_new (SPARE_ROOM);
  w->seed = 1;
  if (!setup->blank) {
    w->map = map_new ();
    if (w->map == NULL)
      bug ("out of memory");
    err = spare_format (&w->mem->dev, SPARE_SIZE, true, &id, &w->env, w->map,
                        &w->spare, &w->message);
    if (err)
      bug ("format: %s", w->message.text);
    fill_spare (w);
    world_close (w, true);
  }
  device_flush (&w->mem->dev);
  memdev_freeze (w->main);
  memdev_freeze (w->mem);
  set_hooks (w);
  return w;
}

struct world *
world_clone (struct world *from)
{
  struct world *w = new_world (from->setup);

  w->main = memdev_clone (from->main);
  w->mem = memdev_clone (from->mem);
  set_hooks (w);
  return w;
}

void
world_free (struct world *w)
{
  world_close (w, false);
  memdev_free (w->main);
  memdev_free (w->mem);
  if (w->config.events)
    events_free (w->config.events);
  free (w->snapshot);
  free (w);
}

void
world_hear (struct world *w)
{
  struct event e;

  while (w->config.events &&
         events_next (w->config.events, w->next_event, &e)) {
    w->may_differ |= e.kind == EVENT_SPARE_WARNING &&
      strstr (e.text, "by which the spare recognises it") != NULL;
    w->next_event = e.number + 1;
  }
}

void
world_rewind (struct world *w, uint64_t seed)
{
  world_close (w, false);
  memdev_rewind (w->main);
  memdev_rewind (w->mem);
  w->clock = 0;
  w->nsnapshots = 0;
  w->seed = seed;
  w->watch = false;
  w->now_ms = 1000000;
  w->owner.self.pid = seed;
}

/* Another disk: none of its bytes is main's. */
static int
foreign_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  const struct memdev *main = ctx;
  uint8_t *p = buf;

  for (uint32_t i = 0; i < count; i++)
    p[i] = ~main->data[offset + i];
  return 0;
}

/* The right main must be recognised, and another one must not be (promise 20).
 */
static int
recognise_main (struct world *w, struct recognition *found, bool *was_gone)
{
  static const struct device_ops foreign_ops = { .pread = foreign_pread };
  const struct device foreign = { &foreign_ops, w->main };
  struct main_reader main = {
    .dev = &w->main->dev, .size = w->config.main_size,
    .block = w->config.main_block, .now_ms = engine_now, .opaque = w,
    .was_gone = was_gone,
  };
  struct recognition other;

  if (recognise (w->spare, w->map, &main, found) != 0)
    return ENOMEM;
  main.dev = &foreign;
  if (recognise (w->spare, w->map, &main, &other) != 0)
    return ENOMEM;
  world_hear (w);
  if ((found->different > 0 && !w->may_differ) ||
      other.different < found->compared)
    message_set (&w->message, found->different > 0
                 ? "main is taken for another disk, byte %" PRIu64
                 : "another disk is taken for main", found->where);
  return w->message.text[0] ? EINVAL : 0;
}

/* As the filter does it. */
static int
start_with_samples (struct world *w)
{
  struct recognition found;
  bool was_gone = false;
  int err = recognise_main (w, &found, &was_gone);

  if (err == 0)
    err = spare_start (w->spare, &w->message);
  if (err == 0)
    err = found.different > 0 ? recognise_forget_all (w->spare)
      : recognise_forget (w->spare, found.key, found.failed);
  if (err == 0) {
    w->config.main_flushed = device_flush (&w->main->dev) == 0 && !was_gone;
    w->config.main_flush_failed = !w->config.main_flushed;
  }
  return err;
}

static int
open_spare (struct world *w, bool may_format)
{
  enum spare_content content = SPARE_VALID;
  struct spare_identity id;
  int err;

  if (may_format) {
    err = spare_probe (&w->mem->dev, SPARE_SIZE, NULL, &content, &id,
                       &w->message);
    if (err)
      return err;
    if (content == SPARE_FOREIGN) {
      message_set (&w->message, "the spare looks foreign");
      return EINVAL;
    }
  }
  if (content != SPARE_VALID) {
    id = (struct spare_identity) { .main_size = w->config.main_size };
    return spare_format (&w->mem->dev, SPARE_SIZE, true, &id, &w->env,
                         w->map, &w->spare, &w->message);
  }
  err = spare_load (&w->mem->dev, w->mem->size, false, &w->env, w->map,
                    &w->spare, &w->message);
  if (err == 0 && w->setup->samples)
    return start_with_samples (w);
  return err ? err : spare_start (w->spare, &w->message);
}

static int
open_all (struct world *w, bool may_format)
{
  int err;

  w->map = map_new ();
  err = w->map == NULL ? ENOMEM : open_spare (w, may_format);
  if (err == 0) {
    w->e = engine_new (&w->config, w->map, w->spare);
    if (w->e == NULL)
      err = errno;
  }
  return err;
}

int
world_open (struct world *w, bool may_format)
{
  bool watch = w->watch;
  int err;

  w->message.text[0] = '\0';
  w->watch = false;
  w->mem->reopened = true;
  w->owner.self.pid++;
  if (w->failing)
    w->failing (true);
  err = open_all (w, may_format);
  if (w->failing)
    w->failing (false);
  if (err) {
    world_close (w, false);
    return err;
  }
  if (w->setup->piece > 0) {
    w->spare->piece = w->setup->piece;
    w->spare->due_after = 0;
  }
  engine_conn_init (&w->conn, w->e, &w->main->dev);
  w->watch = watch;
  if (watch)
    world_look (w);
  return 0;
}

void
world_close (struct world *w, bool clean)
{
  engine_free (w->e);
  if (w->spare) {
    if (!clean)
      spare_set_failed (w->spare);
    spare_close (w->spare);
  }
  map_free (w->map);
  w->e = NULL;
  w->spare = NULL;
  w->map = NULL;
}

bool
world_is_owner (struct world *w)
{
  struct owner owner;
  uint64_t renewed;

  return !w->setup->stamps ||
    (spare_read_stamp (&w->mem->dev, &owner, &renewed) == SPARE_HELD &&
     owner.pid == w->owner.self.pid);
}

uint64_t
world_digest (struct world *w)
{
  struct spare_status st;
  struct run run;
  uint64_t h = 0, i;

  for (i = 0; map_next (w->map, i, &run); i = run.start + run.count)
    h = mix (mix (h, run.start << 3 | run.state), mix (run.count, run.slot));
  for (i = 0; map_next (w->spare->retired, i, &run);
       i = run.start + run.count)
    h = mix (mix (h, run.start), run.count);
  spare_get_status (w->spare, &st);
  for (i = 0; i < NR_SPARE_COUNTERS; i++)
    h = mix (h, st.counters[i]);
  return mix (h, st.slots_total);
}

uint64_t
sector_state_of (struct world *w, unsigned s)
{
  struct run run = map_lookup (w->map, s, 1);

  return run.state | (run.state == REMAPPED ? run.slot << 3 : 0);
}

void
world_look (struct world *w)
{
  const uint64_t digest = world_digest (w);
  struct snapshot *snap;

  if (w->nsnapshots > 0 &&
      w->snapshot[w->nsnapshots-1].digest == digest)
    return;
  if (w->nsnapshots == MAX_SNAPSHOTS)
    bug ("too many snapshots");
  snap = &w->snapshot[w->nsnapshots++];
  snap->clock = w->clock;
  snap->step = w->active_step;
  snap->digest = digest;
  for (unsigned s = 0; s < w->nsectors; s++)
    snap->state[s] = sector_state_of (w, s);
}

static uint64_t
slot_offset (struct world *w, uint64_t slot)
{
  const struct geometry *g = spare_geometry (w->spare);
  unsigned i = 0;

  while (slot - g->segment[i].first >= g->segment[i].nslots)
    i++;
  return g->segment[i].offset + (slot - g->segment[i].first) * SECTOR_SIZE;
}

const uint8_t *
world_peek (struct world *w, unsigned s)
{
  static const uint8_t zeroes[SECTOR_SIZE];
  uint64_t v = sector_state_of (w, s);

  switch (STATE_OF (v)) {
  case DIRECT: return w->main->data + SEC (s);
  case REMAPPED: return w->mem->data + slot_offset (w, SLOT_OF (v));
  case ZERO: return zeroes;
  default: return NULL;
  }
}

static bool
block_has (const struct world *w, unsigned s, const char *letters)
{
  const unsigned n = w->setup->block / SECTOR_SIZE;

  for (unsigned i = s / n * n; i < s / n * n + n && i < w->nsectors; i++)
    if (strchr (letters, sector_letter (w, i)))
      return true;
  return false;
}

bool
block_unreadable (const struct world *w, unsigned s)
{
  return block_has (w, s, "rAQ");
}

bool
block_weak (const struct world *w, unsigned s)
{
  return block_has (w, s, "w");
}

bool
block_mixed (struct world *w, unsigned s)
{
  const unsigned n = w->setup->block / SECTOR_SIZE;
  unsigned direct = 0, all = 0;

  for (unsigned i = s / n * n; i < s / n * n + n && i < w->nsectors; i++) {
    direct += STATE_OF (sector_state_of (w, i)) == DIRECT;
    all++;
  }
  return direct > 0 && direct < all;
}

bool
sector_writable (const struct world *w, unsigned s)
{
  char c = sector_letter (w, s);

  return strchr ("BAQT", c) == NULL;
}
