/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A plugin that serves a block device, or a file, with O_DIRECT: each
 * error is reported by the request that it belongs to, with the kernel's
 * number, and for exactly the sectors that are bad.
 *
 * This file has nbdkit's callbacks.  What they use, from the top down (each
 * unit uses only units below it):
 *
 *   served-disk   the one disk that is served: lost, and found again
 *   request       requests of any alignment, cut into operations
 *   extents       where a file has data
 *   lane          operations that may never end: timeouts
 *   lane-thread   a lane that is a thread
 *   lane-uring    a lane that is an io_uring
 *   operation     one operation of the kernel
 *   target        a device or file that is open: checks, sizes, alignments
 *   parameters    of the command line
 *   clock         the clock for deadlines
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

#include "host/blockdev.h"
#include "extents.h"
#include "failures.h"
#include "lane.h"
#include "parameters.h"
#include "request.h"
#include "served-disk.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define MAX_REQUEST (UINT32_C (32) << 20)

static atomic_uint nr_connections;

/* A connection. */
struct handle {
  /* As many of served_disk_failures as its client was told of. */
  atomic_uint failures;
};

/* nbdkit may end while requests are under way (a second signal, or a client
 * that doesn't go away): then nothing is freed, since they still use it.
 */
static void
direct_unload (void)
{
  if (atomic_load (&nr_connections) > 0)
    return;
  lanes_stop ();
  served_disk_stop ();
  requests_stop ();
  failures_end ();
  parameters_free ();
}

static void
direct_dump_plugin (void)
{
  int err = lanes_probe_uring ();

  printf ("direct_io_uring=%s\n", err ? strerror (err) : "yes");
}

/* nbdkit hasn't gone into the background yet, so whoever starts it sees the
 * errors.  The descriptor stays open across the fork; threads and rings would
 * not, and are made later.
 */
static int
direct_get_ready (void)
{
  struct target *t;
  int r;

  if (served_disk_start () == -1)
    return -1;
  t = served_disk_get ();
  r = requests_start (t) == -1 || lanes_start (t->is_block) == -1 ?
    -1 : 0;
  target_unref (t);
  nbdkit_debug ("direct: timeout %u s, method %s", config.timeout,
                lanes_method ());
  return r;
}

/* The disk as it is now, or an error to return. */
static struct target *
get_disk (void)
{
  struct target *t = served_disk_get ();

  if (t == NULL) {
    nbdkit_error ("direct: %s: is gone", config.device);
    nbdkit_set_error (ENODEV);
  }
  return t;
}

/* A client that connects asks whether the disk is there, so it is looked at
 * even if no request has failed yet.
 */
static void *
direct_open (int readonly)
{
  struct handle *h;
  struct target *t = get_disk ();

  if (t && t->is_block && disk_is_gone (t->dev)) {
    served_disk_failed (t, ENODEV);
    target_unref (t);
    t = get_disk ();
  }
  if (t == NULL)
    return NULL;
  target_unref (t);
  h = malloc (sizeof *h);
  if (h == NULL) {
    nbdkit_error ("malloc: %m");
    return NULL;
  }
  atomic_init (&h->failures, served_disk_failures ());
  atomic_fetch_add (&nr_connections, 1);
  return h;
}

static void
direct_close (void *handle)
{
  free (handle);
  atomic_fetch_sub (&nr_connections, 1);
}

static int64_t
direct_get_size (void *handle)
{
  return served_disk_at_start ()->size;
}

/* Requests of any alignment are served.  The minimum tells filters what fails
 * as a whole: a sector.  Clients that keep to it could not ask for a file's
 * tail, so a file that has one advertises 1.
 */
static int
direct_block_size (void *handle, uint32_t *minimum, uint32_t *preferred,
                   uint32_t *maximum)
{
  const struct target *t = served_disk_at_start ();

  *minimum = t->size % t->logical == 0 ? t->logical : 1;
  *preferred = t->preferred;
  *maximum = MAX_REQUEST;
  return 0;
}

static int
direct_can_write (void *handle)
{
  return served_disk_at_start ()->can_write;
}

static int
direct_can_flush (void *handle)
{
  return 1;
}

static int
direct_can_fua (void *handle)
{
  return NBDKIT_FUA_NATIVE;
}

static int
direct_can_trim (void *handle)
{
  return config.trim;
}

static int
direct_can_zero (void *handle)
{
  return 1;
}

static int
direct_can_multi_conn (void *handle)
{
  return 1;
}

static int
direct_can_extents (void *handle)
{
  return !served_disk_at_start ()->is_block;
}

static int
direct_can_cache (void *handle)
{
  return NBDKIT_CACHE_NONE;
}

static int
direct_is_rotational (void *handle)
{
  const struct target *t = served_disk_at_start ();
  uint64_t value;

  return t->is_block && disk_number (t->dev, "queue/rotational", &value) &&
    value != 0;
}

/* Logs the error of a request, if it has one, and passes it to nbdkit. */
static int
finish (int err, const char *what, uint32_t count, uint64_t offset)
{
  if (err == 0)
    return 0;
  failures_note (what, count, offset, err);
  nbdkit_set_error (err);
  return -1;
}

static int
done (struct target *t, int err, const char *what, uint32_t count,
      uint64_t offset)
{
  if (err)
    err = served_disk_failed (t, err);
  target_unref (t);
  return finish (err, what, count, offset);
}

static int
direct_pread (void *handle, void *buf, uint32_t count, uint64_t offset,
              uint32_t flags)
{
  struct target *t = get_disk ();

  if (t == NULL)
    return -1;
  return done (t, request_read (t, buf, count, offset), "read", count,
               offset);
}

/* A write is noted twice: before, so that a disk that goes away meanwhile is
 * known to have lost something, and after, since a flush may have begun in
 * between.
 */
static int
direct_pwrite (void *handle, const void *buf, uint32_t count,
               uint64_t offset, uint32_t flags)
{
  const bool fua = flags & NBDKIT_FLAG_FUA;
  struct target *t = get_disk ();
  int err;

  if (t == NULL)
    return -1;
  if (!fua)
    served_disk_wrote ();
  err = request_write (t, buf, count, offset, fua);
  if (!fua)
    served_disk_wrote ();
  return done (t, err, "write", count, offset);
}

/* The kernel's calls that zero and trim have no FUA. */
static int
flush_after (struct target *t, int err, uint32_t flags)
{
  served_disk_wrote ();
  if (err == 0 && (flags & NBDKIT_FLAG_FUA))
    err = served_disk_flush (t);
  return err;
}

/* EOPNOTSUPP only answers the question whether fast zeroes can be had: it is
 * not logged.
 */
static int
direct_zero (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct target *t = get_disk ();
  int err;

  if (t == NULL)
    return -1;
  served_disk_wrote ();
  err = request_zero (t, count, offset, flags & NBDKIT_FLAG_FAST_ZERO);
  if (err == EOPNOTSUPP) {
    target_unref (t);
    nbdkit_set_error (err);
    return -1;
  }
  return done (t, flush_after (t, err, flags), "zero", count, offset);
}

static int
direct_trim (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct target *t = get_disk ();
  int err;

  if (t == NULL)
    return -1;
  served_disk_wrote ();
  err = request_trim (t, count, offset);
  return done (t, flush_after (t, err, flags), "trim", count, offset);
}

/* A flush that failed, or writes that a lost disk took along, concern all
 * connections: each is told by its next flush.
 */
static int
direct_flush (void *handle, uint32_t flags)
{
  struct handle *h = handle;
  struct target *t = get_disk ();
  unsigned failures;
  int err;

  if (t == NULL)
    return -1;
  err = served_disk_flush (t);
  if (err)
    err = served_disk_failed (t, err);
  target_unref (t);
  failures = served_disk_failures ();
  if (atomic_exchange (&h->failures, failures) != failures && err == 0) {
    nbdkit_error ("direct: %s: writes from before may be lost: a flush "
                  "failed, or the disk was gone", config.device);
    nbdkit_set_error (EIO);
    return -1;
  }
  return finish (err, "flush", 0, 0);
}

static int
direct_extents (void *handle, uint32_t count, uint64_t offset,
                uint32_t flags, struct nbdkit_extents *extents)
{
  struct target *t = get_disk ();
  int err;

  if (t == NULL)
    return -1;
  err = file_extents (t, count, offset, flags & NBDKIT_FLAG_REQ_ONE,
                      extents);
  return done (t, err, "extents", count, offset);
}

static struct nbdkit_plugin plugin = {
  .name = "direct",
  .longname = "nbdkit direct plugin (O_DIRECT)",
  .version = PACKAGE_VERSION,
  .unload = direct_unload,
  .config = parameters_set,
  .config_complete = parameters_check,
  .config_help = PARAMETERS_HELP,
  .magic_config_key = "device",
  .dump_plugin = direct_dump_plugin,
  .get_ready = direct_get_ready,
  .open = direct_open,
  .close = direct_close,
  .get_size = direct_get_size,
  .block_size = direct_block_size,
  .can_write = direct_can_write,
  .can_flush = direct_can_flush,
  .can_fua = direct_can_fua,
  .can_trim = direct_can_trim,
  .can_zero = direct_can_zero,
  .can_fast_zero = direct_can_zero,
  .can_multi_conn = direct_can_multi_conn,
  .can_extents = direct_can_extents,
  .can_cache = direct_can_cache,
  .is_rotational = direct_is_rotational,
  .pread = direct_pread,
  .pwrite = direct_pwrite,
  .zero = direct_zero,
  .trim = direct_trim,
  .flush = direct_flush,
  .extents = direct_extents,
  .errno_is_preserved = 1,
};

NBDKIT_REGISTER_PLUGIN (plugin)
