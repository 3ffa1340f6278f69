/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The remap filter: parameters and callbacks.  What the requests do is the
 * engine's business (lib/engine/engine.h); what they promise is
 * remap-promises(7).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "remap.h"

struct remap_config config = {
  .spare_size = -1,
  .spare_create = true,
  .auto_remap = true,
  .retries = 1,
};

NBDKIT_DLL_PUBLIC int remap_debug_verbose;

static void
remap_unload (void)
{
  server_stop ();
  free (config.control_path);
  free (config.spare_path);
  free (config.main_path);
  config.control_path = config.spare_path = config.main_path = NULL;
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
parse_size (int64_t *size, const char *key, const char *value, int64_t min)
{
  int64_t r = nbdkit_parse_size (value);

  if (r == -1)
    return -1;
  if (r < min) {
    nbdkit_error ("%s=%s: must be at least %" PRIi64 " bytes", key, value,
                  min);
    return -1;
  }
  *size = r;
  return 0;
}

static int
parse_lost (const char *value)
{
  if (strcmp (value, "error") == 0)
    config.lost_zero = false;
  else if (strcmp (value, "zero") == 0)
    config.lost_zero = true;
  else {
    nbdkit_error ("remap-lost=%s: must be 'error' or 'zero'", value);
    return -1;
  }
  return 0;
}

static int
parse_label (const char *value)
{
  if (strlen (value) > SPARE_LABEL_MAX) {
    nbdkit_error ("remap-label: is %zu bytes long, at most %d are allowed",
                  strlen (value), SPARE_LABEL_MAX);
    return -1;
  }
  config.label = value;
  return 0;
}

static int
parse_path (char **path, const char *key, const char *value)
{
  if (*value == '\0') {
    nbdkit_error ("%s=: a path is needed", key);
    return -1;
  }
  free (*path);
  *path = nbdkit_absolute_path (value);
  return *path ? 0 : -1;
}

/* The plugin's parameter that names main: passed on, but remembered.  It is
 * "file" of the file plugin, and "device" of the direct plugin.
 */
static void
note_main_path (const char *key, const char *value)
{
  struct stat st;

  if (stat (value, &st) == -1)
    return;
  free (config.main_path);
  config.main_path = nbdkit_realpath (value);
  config.main_is_direct = strcmp (key, "device") == 0;
}

static int
remap_config (nbdkit_next_config *next, nbdkit_backend *nxdata,
              const char *key, const char *value)
{
  int64_t size;

  if (strcmp (key, "spare") == 0)
    return parse_path (&config.spare_path, key, value);
  else if (strcmp (key, "spare-create") == 0)
    return parse_bool (&config.spare_create, value);
  else if (strcmp (key, "spare-size") == 0)
    return parse_size (&config.spare_size, key, value, SPARE_MIN_SIZE);
  else if (strcmp (key, "spare-offset") == 0) {
    if (parse_size (&size, key, value, 0) == -1)
      return -1;
    if (size % SECTOR_SIZE != 0) {
      nbdkit_error ("spare-offset=%s: must be a multiple of %u bytes", value,
                    SECTOR_SIZE);
      return -1;
    }
    config.spare_offset = size;
    return 0;
  }
  else if (strcmp (key, "spare-same-disk") == 0)
    return parse_bool (&config.spare_same_disk, value);
  else if (strcmp (key, "remap-auto") == 0)
    return parse_bool (&config.auto_remap, value);
  else if (strcmp (key, "remap-retries") == 0)
    return nbdkit_parse_unsigned ("remap-retries", value, &config.retries);
  else if (strcmp (key, "remap-lost") == 0)
    return parse_lost (value);
  else if (strcmp (key, "remap-label") == 0)
    return parse_label (value);
  else if (strcmp (key, "remap-control") == 0)
    return parse_path (&config.control_path, key, value);
  else if (strncmp (key, "remap-", 6) == 0 ||
           strncmp (key, "spare-", 6) == 0) {
    nbdkit_error ("%s: the remap filter has no such parameter", key);
    return -1;
  }

  if (strcmp (key, "file") == 0 || strcmp (key, "device") == 0)
    note_main_path (key, value);
  return next (nxdata, key, value);
}

static int
remap_config_complete (nbdkit_next_config_complete *next,
                       nbdkit_backend *nxdata)
{
  if (config.spare_path == NULL) {
    nbdkit_error ("remap: spare=PATH is required: the file or block device "
                  "that takes over bad sectors");
    return -1;
  }
  background_config_complete ();
  return next (nxdata);
}

#define remap_config_help \
  "spare=PATH           (required) file or block device for bad sectors\n" \
  "spare-create=BOOL    create or format a new spare (default: yes)\n" \
  "spare-size=SIZE      size of a new spare (default: 1/64 of the disk,\n" \
  "                     at least 64M)\n" \
  "spare-offset=SIZE    where the spare begins in PATH (default: 0)\n" \
  "spare-same-disk=BOOL the spare may be on the same disk (default: no)\n" \
  "remap-auto=BOOL      remap bad sectors automatically (default: on)\n" \
  "remap-retries=N      how often a bad block is read again (default: 1)\n" \
  "remap-lost=error|zero\n" \
  "                     what an unreadable sector reads as (default: error)\n" \
  "remap-label=TEXT     identity of the disk (default: its WWN or serial)\n" \
  "remap-control=SOCKET a Unix socket for status and commands"

static int
remap_get_ready (int thread_model)
{
  background_get_ready (thread_model);
  return server_get_ready (thread_model);
}

static int
remap_after_fork (nbdkit_backend *backend)
{
  background_start (backend);
  return server_after_fork (backend);
}

/* Before the layers below are closed: nothing asks them for anything more. */
static void
remap_cleanup (nbdkit_backend *backend)
{
  server_cleanup ();
}

/* There is one disk: its default export. */
static int
remap_list_exports (nbdkit_next_list_exports *next, nbdkit_backend *nxdata,
                    int readonly, int is_tls, struct nbdkit_exports *exports)
{
  return nbdkit_use_default_export (exports);
}

static const char *
remap_default_export (nbdkit_next_default_export *next,
                      nbdkit_backend *nxdata, int readonly, int is_tls)
{
  return "";
}

static void *
remap_open (nbdkit_next_open *next, nbdkit_context *context,
            int readonly, const char *exportname, int is_tls)
{
  struct connection *c;

  int r;

  c = calloc (1, sizeof *c);
  if (c == NULL) {
    nbdkit_error ("calloc: %m");
    return NULL;
  }
  background_client_comes (readonly || config.lost_zero);
  lock_below (all_requests_lock);
  r = next (context, readonly || config.lost_zero, "");
  unlock_below (all_requests_lock);
  if (r == -1) {
    background_client_went ();
    free (c);
    return NULL;
  }
  c->backend = nbdkit_context_get_backend (context);
  c->context = context;
  c->lock = all_requests_lock;
  connection_init (c);
  return c;
}

/* Where the plugin's only connection is to be used by others, it is closed
 * here, while we can still see it: after our own close would be too early to
 * say that it is free.
 */
static int
remap_finalize (nbdkit_next *next, void *handle)
{
  struct connection *c = handle;
  int r;

  if (!one_connection_only || config.control_path == NULL)
    return 0;
  nbdkit_context_set_next (c->context, NULL);
  r = next->finalize (next);
  nbdkit_next_context_close (next);
  background_client_went ();
  c->context = NULL;
  return r;
}

static void
remap_close (void *handle)
{
  struct connection *c = handle;

  if (c->context)
    background_client_went ();
  free (c);
}

static int
prepare (nbdkit_next *next, struct connection *c, int readonly)
{
  uint64_t expected = engine_main_size (engine);
  int64_t size = next->get_size (next);

  if (size == -1)
    return -1;
  if ((uint64_t) size != expected) {
    nbdkit_error ("remap: main has %" PRIi64 " bytes now, and had %" PRIu64
                  " when the server started: refusing to serve it", size,
                  expected);
    return -1;
  }
  return connection_prepare (c, next, readonly || config.lost_zero);
}

static int
remap_prepare (nbdkit_next *next, void *handle, int readonly)
{
  int r;

  lock_below (all_requests_lock);
  r = prepare (next, handle, readonly);
  unlock_below (all_requests_lock);
  return r;
}

static int64_t
remap_get_size (nbdkit_next *next, void *handle)
{
  return next->get_size (next);
}

/* Requests of any size and alignment are served. */
static int
remap_block_size (nbdkit_next *next, void *handle,
                  uint32_t *minimum, uint32_t *preferred, uint32_t *maximum)
{
  if (next->block_size (next, minimum, preferred, maximum) == -1)
    return -1;
  if (*minimum == 0) {
    *preferred = 4096;
    *maximum = UINT32_MAX;
  }
  *minimum = 1;
  return 0;
}

static int
remap_can_write (nbdkit_next *next, void *handle)
{
  return config.lost_zero ? 0 : next->can_write (next);
}

static int
remap_can_flush (nbdkit_next *next, void *handle)
{
  return 1;
}

static int
remap_can_fua (nbdkit_next *next, void *handle)
{
  return NBDKIT_FUA_NATIVE;
}

static int
remap_can_zero (nbdkit_next *next, void *handle)
{
  return NBDKIT_ZERO_NATIVE;
}

static int
remap_pread (nbdkit_next *next, void *handle, void *buf, uint32_t count,
             uint64_t offset, uint32_t flags, int *err)
{
  struct connection *c = handle;

  *err = engine_pread (&c->conn, buf, count, offset);
  return *err ? -1 : 0;
}

static int
remap_pwrite (nbdkit_next *next, void *handle, const void *buf,
              uint32_t count, uint64_t offset, uint32_t flags, int *err)
{
  struct connection *c = handle;

  *err = engine_pwrite (&c->conn, buf, count, offset,
                        flags & NBDKIT_FLAG_FUA);
  return *err ? -1 : 0;
}

static int
remap_flush (nbdkit_next *next, void *handle, uint32_t flags, int *err)
{
  struct connection *c = handle;

  *err = engine_flush (&c->conn);
  return *err ? -1 : 0;
}

static int
remap_zero (nbdkit_next *next, void *handle, uint32_t count, uint64_t offset,
            uint32_t flags, int *err)
{
  struct connection *c = handle;
  unsigned f = 0;

  if (flags & NBDKIT_FLAG_MAY_TRIM)
    f |= DEVICE_MAY_TRIM;
  if (flags & NBDKIT_FLAG_FAST_ZERO)
    f |= DEVICE_FAST_ZERO;
  *err = engine_zero (&c->conn, count, offset, f,
                      flags & NBDKIT_FLAG_FUA);
  return *err ? -1 : 0;
}

static int
remap_trim (nbdkit_next *next, void *handle, uint32_t count, uint64_t offset,
            uint32_t flags, int *err)
{
  struct connection *c = handle;

  *err = engine_trim (&c->conn, count, offset,
                      flags & NBDKIT_FLAG_FUA);
  return *err ? -1 : 0;
}

static int
remap_cache (nbdkit_next *next, void *handle, uint32_t count,
             uint64_t offset, uint32_t flags, int *err)
{
  struct connection *c = handle;

  *err = engine_cache (&c->conn, count, offset, next_cache);
  return *err ? -1 : 0;
}

static struct nbdkit_filter filter = {
  .name              = "remap",
  .longname          = "nbdkit remap filter",
  .description       = "remap bad sectors of a failing disk to a spare",
  .unload            = remap_unload,
  .config            = remap_config,
  .config_complete   = remap_config_complete,
  .config_help       = remap_config_help,
  .get_ready         = remap_get_ready,
  .after_fork        = remap_after_fork,
  .cleanup           = remap_cleanup,
  .list_exports      = remap_list_exports,
  .default_export    = remap_default_export,
  .open              = remap_open,
  .close             = remap_close,
  .prepare           = remap_prepare,
  .finalize          = remap_finalize,
  .get_size          = remap_get_size,
  .block_size        = remap_block_size,
  .can_write         = remap_can_write,
  .can_flush         = remap_can_flush,
  .can_fua           = remap_can_fua,
  .can_zero          = remap_can_zero,
  .pread             = remap_pread,
  .pwrite            = remap_pwrite,
  .flush             = remap_flush,
  .zero              = remap_zero,
  .trim              = remap_trim,
  .cache             = remap_cache,
  .extents           = remap_extents,
};

NBDKIT_REGISTER_FILTER (filter)
