/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Operations: made at random, sent through libnbd's asynchronous calls on
 * several connections, several in flight on each.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libnbd.h>

#include "model.h"

/* Nothing was answered for so long: the server hangs. */
#define HANG_SECONDS 300

const char *const kind_names[] = {
  "read", "write", "zero", "trim", "flush", "cache", "block status"
};

struct op ops[MAX_OPS];
uint64_t now = 1;
unsigned nr_conns = 3, depth = 4;

static struct nbd_handle *conns[MAX_CONNS];

/* Random operations, and those that verify, whose number depends on what
 * the server answers: so they have numbers of their own.
 */
#define FIRST_CHECK (UINT64_C (1) << 31)
static uint64_t next_id, next_check_id;

void
pattern (uint64_t id, uint64_t offset, uint8_t *buf, uint64_t n)
{
  for (uint64_t pos = offset; pos < offset + n;) {
    uint64_t word = id << 32 | ((pos / 8) & UINT32_MAX);
    uint64_t skip = pos % 8, len = 8 - skip;

    if (len > offset + n - pos)
      len = offset + n - pos;
    memcpy (buf + (pos - offset), (uint8_t *) &word + skip, len);
    pos += len;
  }
}

void
op_describe (const struct op *op, char *text, size_t size)
{
  snprintf (text, size, "operation %" PRIu64 " (%s%s, offset %" PRIu64
            ", %" PRIu32 " bytes)", op->id, kind_names[op->kind],
            op->fua ? " FUA" : "", op->offset, op->count);
}

void
ops_init (void)
{
  for (unsigned i = 0; i < MAX_OPS; i++) {
    ops[i].slot = i;
    if (ops[i].buf == NULL)
      ops[i].buf = malloc (MAX_COUNT);
    if (ops[i].buf == NULL)
      trouble ("out of memory");
  }
  now = 1;
  next_id = 2;
  next_check_id = FIRST_CHECK;
}

void
ops_connect (void)
{
  for (unsigned i = 0; i < nr_conns; i++) {
    struct timespec pause = { .tv_nsec = 1000000 };
    unsigned tries = 0;

    conns[i] = nbd_create ();
    if (conns[i] == NULL ||
        nbd_add_meta_context (conns[i], LIBNBD_CONTEXT_BASE_ALLOCATION) == -1)
      trouble ("libnbd: %s", nbd_get_error ());
    while (nbd_connect_unix (conns[i], server_socket ()) == -1) {
      if (server_died ())
        violation ("the server refused to start or died: see server.log");
      if (++tries > HANG_SECONDS * 1000)
        violation ("can't connect: %s", nbd_get_error ());
      nanosleep (&pause, NULL);
      nbd_close (conns[i]);
      conns[i] = nbd_create ();
      if (conns[i] == NULL ||
          nbd_add_meta_context (conns[i],
                                LIBNBD_CONTEXT_BASE_ALLOCATION) == -1)
        trouble ("libnbd: %s", nbd_get_error ());
    }
    if (nbd_get_size (conns[i]) != (int64_t) mode->size)
      violation ("the disk has %" PRIi64 " bytes, and main has %" PRIu64,
                 nbd_get_size (conns[i]), mode->size);
  }
}

void
ops_disconnect (bool politely)
{
  for (unsigned i = 0; i < nr_conns; i++) {
    if (politely)
      nbd_shutdown (conns[i], 0);
    nbd_close (conns[i]);
    conns[i] = NULL;
  }
}

/* libnbd's callbacks. */

static int
completed (void *opaque, int *error)
{
  struct op *op = opaque;

  op->error = *error;
  /* A connection that broke: ops_killed says what that means. */
  if (op->in_flight && *error != ENOTCONN)
    judge (op, *error);
  return 1;
}

static int
add_extents (void *opaque, const char *context, uint64_t offset,
             uint32_t *entries, size_t n, int *error)
{
  struct op *op = opaque;

  if (!op->in_flight || strcmp (context, LIBNBD_CONTEXT_BASE_ALLOCATION) != 0)
    return 0;
  for (size_t i = 0; i + 1 < n; i += 2) {
    struct extent e = { .offset = offset, .count = entries[i],
                        .reads_zero = entries[i + 1] & LIBNBD_STATE_ZERO };

    offset += e.count;
    if (e.offset >= op->offset + op->count)
      continue;
    if (e.offset + e.count > op->offset + op->count)
      e.count = op->offset + op->count - e.offset;
    if (op->nr_extents == op->max_extents) {
      op->max_extents = op->max_extents ? op->max_extents * 2 : 16;
      op->extents = realloc (op->extents,
                             op->max_extents * sizeof *op->extents);
      if (op->extents == NULL)
        trouble ("out of memory");
    }
    op->extents[op->nr_extents++] = e;
  }
  return 0;
}

/* Sends OP, which is filled in. */
static void
issue (struct op *op)
{
  struct nbd_handle *h = conns[op->conn];
  nbd_completion_callback done = { .callback = completed, .user_data = op };
  nbd_extent_callback extents = { .callback = add_extents, .user_data = op };
  uint32_t flags = op->flags | (op->fua ? LIBNBD_CMD_FLAG_FUA : 0);
  int64_t r = -1;

  if (op->kind == WRITE)
    pattern (op->id, op->offset, op->buf, op->count);
  else if (op->kind == READ)
    memset (op->buf, 0xa5, op->count);
  op->nr_extents = 0;
  server_scan_log ();
  op->list_changes = list_changes;
  op->main_lost = main_lost_events;
  op->was_lost = main_lost_now;
  state_begin (op);
  if (verbose) {
    char what[128];

    op_describe (op, what, sizeof what);
    note ("%" PRIu64 ": connection %u: %s", now, op->conn, what);
  }

  switch (op->kind) {
  case READ:
    r = nbd_aio_pread (h, op->buf, op->count, op->offset, done, 0);
    break;
  case WRITE:
    r = nbd_aio_pwrite (h, op->buf, op->count, op->offset, done, flags);
    break;
  case ZERO:
    r = nbd_aio_zero (h, op->count, op->offset, done, flags);
    break;
  case TRIM:
    r = nbd_aio_trim (h, op->count, op->offset, done, flags);
    break;
  case FLUSH:
    r = nbd_aio_flush (h, done, 0);
    break;
  case CACHE:
    r = nbd_aio_cache (h, op->count, op->offset, done, 0);
    break;
  case EXTENTS:
    r = nbd_aio_block_status (h, op->count, op->offset, extents, done, flags);
    break;
  }
  if (r == -1 && !nbd_aio_is_dead (h) && !nbd_aio_is_closed (h))
    trouble ("libnbd: %s", nbd_get_error ());
}

/* Receives answers, waiting for MS.  False if a connection is gone. */
static bool
receive (int ms)
{
  struct pollfd fds[MAX_CONNS];
  bool ok = true;

  for (unsigned i = 0; i < nr_conns; i++) {
    unsigned dir = nbd_aio_get_direction (conns[i]);
    bool gone = nbd_aio_is_dead (conns[i]) || nbd_aio_is_closed (conns[i]);

    fds[i].fd = gone ? -1 : nbd_aio_get_fd (conns[i]);
    fds[i].events = (dir & LIBNBD_AIO_DIRECTION_READ ? POLLIN : 0) |
      (dir & LIBNBD_AIO_DIRECTION_WRITE ? POLLOUT : 0);
    fds[i].revents = 0;
    ok &= !gone;
  }
  if (poll (fds, nr_conns, ms) > 0)
    for (unsigned i = 0; i < nr_conns; i++) {
      unsigned dir;

      if (fds[i].fd == -1 || fds[i].revents == 0)
        continue;
      dir = nbd_aio_get_direction (conns[i]);
      if ((fds[i].revents & (POLLIN | POLLHUP | POLLERR)) &&
          (dir & LIBNBD_AIO_DIRECTION_READ))
        nbd_aio_notify_read (conns[i]);
      else if ((fds[i].revents & POLLOUT) &&
               (dir & LIBNBD_AIO_DIRECTION_WRITE))
        nbd_aio_notify_write (conns[i]);
    }
  return ok;
}

bool
op_in_flight (void)
{
  for (unsigned i = 0; i < MAX_OPS; i++)
    if (ops[i].in_flight)
      return true;
  return false;
}

static void
wait_for_answers (void)
{
  static struct timespec last_progress;
  static uint64_t last_now;
  struct timespec t;

  if (!receive (1000) || server_died ())
    violation ("the server died or closed a connection by itself: see "
               "server.log");
  clock_gettime (CLOCK_MONOTONIC, &t);
  if (now != last_now) {
    last_now = now;
    last_progress = t;
  }
  else if (t.tv_sec - last_progress.tv_sec > HANG_SECONDS)
    violation ("no answer for %d seconds: the server hangs", HANG_SECONDS);
}

void
ops_drain (void)
{
  while (op_in_flight ())
    wait_for_answers ();
}

void
ops_killed (void)
{
  while (receive (1000) && op_in_flight ())
    ;
  /* The others may still have answers in their sockets. */
  for (int i = 0; i < 20 && op_in_flight (); i++)
    receive (0);
  for (unsigned i = 0; i < MAX_OPS; i++)
    if (ops[i].in_flight) {
      now++;
      state_end (&ops[i], MAYBE_DONE);
    }
}

/* ---- random operations -------------------------------------------------- */

static uint32_t
random_count (void)
{
  unsigned n = random_below (100);

  if (n < 25)
    return 1 + random_below (SECTOR);
  if (mode->contended)
    return n < 60 ? SECTOR * (1 + random_below (8)) : n < 80 ? 4096
      : 1 + random_below (8192);
  if (n < 55)
    return SECTOR * (1 + random_below (16));
  if (n < 70)
    return 4096 * (1 + random_below (16));
  if (n < 85)
    return 1 + random_below (16384);
  if (n < 97)
    return 1 + random_below (131072);
  return 1 + random_below (MAX_COUNT);
}

/* Bytes where many operations meet. */
#define HOT 262144

static uint64_t
random_offset (uint32_t count)
{
  uint64_t room = mode->size - count, offset, sector;
  unsigned n = random_below (100);

  if (n < 3)
    return 0;
  if (n < 6)
    return room;
  if (n < (mode->contended ? 75 : 30) && bad_random (&sector)) {
    /* Around a bad sector. */
    offset = sector * SECTOR;
    offset -= offset < count ? offset : random_below (count + 1);
    if (percent (50))
      offset = offset / SECTOR * SECTOR;
    return offset < room ? offset : room;
  }
  if (n < 55)
    offset = random_below (HOT) + mode->size / 3;
  else
    offset = random_below (room + 1);
  n = random_below (4);
  offset = n == 0 ? offset : n == 1 ? offset / 4096 * 4096
    : offset / SECTOR * SECTOR;
  return offset < room ? offset : room;
}

static enum kind
random_kind (void)
{
  unsigned n = random_below (100);

  if (variant.read_only || variant.lost_zero)
    return n < 80 ? READ : n < 90 ? CACHE : EXTENTS;
  return n < 37 ? READ : n < 76 ? WRITE : n < 84 ? ZERO : n < 88 ? TRIM
    : n < 92 ? FLUSH : n < 96 ? CACHE : EXTENTS;
}

static void
make_random (struct op *op)
{
  op->id = next_id++;
  op->kind = random_kind ();
  op->count = random_count ();
  if (op->count > mode->size)
    op->count = mode->size;
  op->offset = random_offset (op->count);
  op->fua = percent (20) &&
    (op->kind == WRITE || op->kind == ZERO || op->kind == TRIM);
  op->flags = 0;
  if (op->kind == ZERO && percent (50))
    op->flags = LIBNBD_CMD_FLAG_NO_HOLE;
  if (op->kind == EXTENTS && percent (30))
    op->flags = LIBNBD_CMD_FLAG_REQ_ONE;
  if (op->kind == FLUSH) {
    op->offset = 0;
    op->count = 0;
  }
}

static unsigned
in_flight_on (unsigned conn)
{
  unsigned n = 0;

  for (unsigned i = 0; i < MAX_OPS; i++)
    n += ops[i].in_flight && ops[i].conn == conn;
  return n;
}

static struct op *
free_op (void)
{
  for (unsigned i = 0; i < MAX_OPS; i++)
    if (!ops[i].in_flight)
      return &ops[i];
  return NULL;
}

/* Sends one more random operation, if a connection has room for it. */
static bool
issue_random (void)
{
  unsigned best = 0, least = UINT32_MAX;
  struct op *op = free_op ();

  for (unsigned i = 0; i < nr_conns; i++)
    if (in_flight_on (i) < least) {
      best = i;
      least = in_flight_on (i);
    }
  if (least >= depth || op == NULL)
    return false;
  op->conn = best;
  op->is_check = false;
  make_random (op);
  issue (op);
  return true;
}

void
ops_run (uint64_t n)
{
  while (n > 0) {
    while (n > 0 && issue_random ())
      n--;
    if (n > 0)
      wait_for_answers ();
  }
}

int
ops_one (unsigned conn, enum kind kind, uint64_t offset, uint32_t count,
         bool fua)
{
  struct op *op = free_op ();

  op->conn = conn;
  op->is_check = true;
  op->id = next_check_id++;
  op->kind = kind;
  op->offset = offset;
  op->count = count;
  op->fua = fua;
  op->flags = 0;
  issue (op);
  while (op->in_flight)
    wait_for_answers ();
  return op->error;
}
