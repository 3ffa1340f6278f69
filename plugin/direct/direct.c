/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A plugin that serves a block device, or a file, with O_DIRECT: each
 * error is reported by the request that it belongs to, with the kernel's
 * number, and for exactly the sectors that are bad.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/blockdev.h"
#include "direct.h"
#include "lane.h"

#define THREAD_MODEL NBDKIT_THREAD_MODEL_PARALLEL

#define MAX_REQUEST (UINT32_C (32) << 20)

struct direct_config config = { .timeout = 30 };

static atomic_uint nr_connections;

/* A connection. */
struct handle {
  atomic_uint failures;                 /* disk_failures that it was told of */
};

/* nbdkit may end while requests are under way (a second signal, a client
 * that doesn't go away): what they use stays, too.
 */
static void
direct_unload (void)
{
  if (atomic_load (&nr_connections) > 0)
    return;
  lanes_stop ();
  disk_stop ();
  requests_stop ();
  free (config.device);
}

static int
parse_method (const char *value)
{
  if (strcmp (value, "auto") == 0)
    config.method = METHOD_AUTO;
  else if (strcmp (value, "uring") == 0)
    config.method = METHOD_URING;
  else if (strcmp (value, "threads") == 0)
    config.method = METHOD_THREADS;
  else {
    nbdkit_error ("direct-io=%s: must be 'auto', 'uring' or 'threads'",
                  value);
    return -1;
  }
  return 0;
}

static int
parse_bool (bool *b, const char *value)
{
  int r = nbdkit_parse_bool (value);

  if (r == -1)
    return -1;
  *b = r;
  return 0;
}

static int
direct_config (const char *key, const char *value)
{
  if (strcmp (key, "device") == 0) {
    if (config.device) {
      nbdkit_error ("direct: device=%s: another one was given before",
                    value);
      return -1;
    }
    if (*value == '\0') {
      nbdkit_error ("direct: device=: a path is needed");
      return -1;
    }
    config.device = nbdkit_absolute_path (value);
    return config.device ? 0 : -1;
  }
  else if (strcmp (key, "direct-trim") == 0)
    return parse_bool (&config.trim, value);
  else if (strcmp (key, "direct-force") == 0)
    return parse_bool (&config.force, value);
  else if (strcmp (key, "direct-timeout") == 0)
    return nbdkit_parse_unsigned ("direct-timeout", value, &config.timeout);
  else if (strcmp (key, "direct-io") == 0)
    return parse_method (value);

  nbdkit_error ("direct: there is no parameter '%s'", key);
  return -1;
}

static int
direct_config_complete (void)
{
  if (config.device == NULL) {
    nbdkit_error ("direct: device=PATH is required: the block device or "
                  "file to serve");
    return -1;
  }
  return 0;
}

#define direct_config_help \
  "device=PATH          (required) block device or file to serve\n" \
  "direct-trim=BOOL     pass trims on to the device (default: off)\n" \
  "direct-force=BOOL    serve a device that is in use (default: off)\n" \
  "direct-timeout=SECONDS\n" \
  "                     how long the drive may take for a request\n" \
  "                     (default: 30; 0: for ever)\n" \
  "direct-io=auto|uring|threads\n" \
  "                     how requests are waited for (default: auto)"

static void
direct_dump_plugin (void)
{
  int err = ring_probe ();

  printf ("direct_io_uring=%s\n", err ? strerror (err) : "yes");
}

/* Before nbdkit goes into the background, so that errors are seen.  The
 * descriptor stays open across the fork; threads and rings would not.
 */
static int
direct_get_ready (void)
{
  struct target *t;
  int r;

  if (disk_start () == -1)
    return -1;
  t = disk_get ();
  r = requests_start (t->logical) == -1 || lanes_start (t->is_block) == -1 ?
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
  struct target *t = disk_get ();

  if (t == NULL) {
    nbdkit_error ("direct: %s: is gone", config.device);
    nbdkit_set_error (ENODEV);
  }
  return t;
}

/* Opening a connection is how one asks whether the disk is there. */
static void *
direct_open (int readonly)
{
  struct handle *h;
  struct target *t = get_disk ();

  if (t && t->is_block && disk_is_gone (t->dev)) {
    disk_failed (t, ENODEV);
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
  atomic_init (&h->failures, disk_failures ());
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
  return disk_at_start ()->size;
}

/* Requests of any alignment are served; but a bad sector makes all of it
 * fail, and that is what the filters have to know.
 */
static int
direct_block_size (void *handle, uint32_t *minimum, uint32_t *preferred,
                   uint32_t *maximum)
{
  *minimum = disk_at_start ()->logical;
  *preferred = disk_at_start ()->preferred;
  *maximum = MAX_REQUEST;
  return 0;
}

static int
direct_can_write (void *handle)
{
  return disk_at_start ()->can_write;
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
  return !disk_at_start ()->is_block;
}

static int
direct_can_cache (void *handle)
{
  return NBDKIT_CACHE_NONE;
}

static int
direct_is_rotational (void *handle)
{
  const struct target *t = disk_at_start ();
  uint64_t value;

  return t->is_block && disk_number (t->dev, "queue/rotational", &value) &&
    value != 0;
}

/* What a request returns, and its message. */
static int
finish (int err, const char *what, uint32_t count, uint64_t offset)
{
  if (err == 0)
    return 0;
  nbdkit_error ("direct: %s: %s of %" PRIu32 " bytes at %" PRIu64 ": %s",
                config.device, what, count, offset, strerror (err));
  nbdkit_set_error (err);
  return -1;
}

static int
done (struct target *t, int err, const char *what, uint32_t count,
      uint64_t offset)
{
  if (err)
    err = disk_failed (t, err);
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

/* Noted before, so that a disk that goes away meanwhile is known to have
 * lost something, and after, since a flush may have begun in between.
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
    disk_wrote ();
  err = request_write (t, buf, count, offset, fua);
  if (!fua)
    disk_wrote ();
  return done (t, err, "write", count, offset);
}

/* Zeroes and trims have no FUA of their own. */
static int
flush_after (struct target *t, int err, uint32_t flags)
{
  disk_wrote ();
  if (err == 0 && (flags & NBDKIT_FLAG_FUA))
    err = disk_flush (t);
  return err;
}

/* EOPNOTSUPP is the answer to a question, not an error. */
static int
direct_zero (void *handle, uint32_t count, uint64_t offset, uint32_t flags)
{
  struct target *t = get_disk ();
  int err;

  if (t == NULL)
    return -1;
  disk_wrote ();
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
  disk_wrote ();
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
  err = disk_flush (t);
  if (err)
    err = disk_failed (t, err);
  target_unref (t);
  failures = disk_failures ();
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
  .config = direct_config,
  .config_complete = direct_config_complete,
  .config_help = direct_config_help,
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
