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

#include "engine/engine.h"
#include "extents.h"
#include "main-plugin.h"
#include "next.h"
#include "own-connection.h"
#include "parameters.h"
#include "remap.h"
#include "server.h"

static struct remap remap = {
  .config = PARAMETERS_DEFAULT,
  .all_requests_mutex = PTHREAD_MUTEX_INITIALIZER,
};

NBDKIT_DLL_PUBLIC int remap_debug_verbose;

static void
remap_unload (void)
{
  server_stop (&remap);
  parameters_free (&remap.config);
}

static int
remap_config (nbdkit_next_config *next, nbdkit_backend *nxdata,
              const char *key, const char *value)
{
  if (parameters_has (key))
    return parameters_set (&remap.config, key, value);
  if (next (nxdata, key, value) == -1)
    return -1;
  parameters_note (&remap.config, key, value);
  return 0;
}

static int
remap_config_complete (nbdkit_next_config_complete *next,
                       nbdkit_backend *nxdata)
{
  if (parameters_complete (&remap.config) == -1 ||
      main_plugin_check (&remap.config) == -1)
    return -1;
  return next (nxdata);
}

static int
remap_get_ready (int thread_model)
{
  return server_get_ready (&remap, thread_model);
}

static int
remap_after_fork (nbdkit_backend *backend)
{
  return server_after_fork (&remap, backend);
}

static void
remap_cleanup (nbdkit_backend *backend)
{
  server_cleanup (&remap);
}

/* There is one disk: its default export (promise 19 of remap-promises(7)). */
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
  own_client_comes (remap.own, readonly || remap.config.lost_zero);
  lock_below (remap.all_requests_lock);
  /* With a copy main isn't written: promise 25. */
  r = next (context, readonly || remap.config.lost_zero || remap.copy != NULL,
            "");
  unlock_below (remap.all_requests_lock);
  if (r == -1) {
    own_client_went (remap.own);
    free (c);
    return NULL;
  }
  if (remap.config.control_path)
    clients_note (&c->note);
  c->context = context;
  connection_init (c, &remap, nbdkit_context_get_backend (context),
                   remap.all_requests_lock);
  return c;
}

/* If the plugin serves one connection at a time, requests at the control
 * socket wait until the client's one is closed.  nbdkit closes it only after
 * remap_close, where nobody could tell them any more: so it is closed here.
 */
static int
remap_finalize (nbdkit_next *next, void *handle)
{
  struct connection *c = handle;
  int r;

  /* remap_close isn't called any more once the server was told to end. */
  clients_forget (&c->note);
  if (!remap.one_connection_only || remap.config.control_path == NULL)
    return 0;
  nbdkit_context_set_next (c->context, NULL);
  r = next->finalize (next);
  nbdkit_next_context_close (next);
  own_client_went (remap.own);
  c->context = NULL;
  return r;
}

static void
remap_close (void *handle)
{
  struct connection *c = handle;

  clients_forget (&c->note);
  if (c->context)
    own_client_went (remap.own);
  free (c);
}

static int
prepare (nbdkit_next *next, struct connection *c, int readonly)
{
  uint64_t expected = engine_main_size (remap.engine);
  int64_t size = next->get_size (next);

  if (size == -1)
    return -1;
  if ((uint64_t) size != expected) {
    nbdkit_error ("remap: main has %" PRIi64 " bytes now, and had %" PRIu64
                  " when the server started: refusing to serve it", size,
                  expected);
    return -1;
  }
  readonly = readonly || remap.config.lost_zero;
  if (connection_prepare (c, next, readonly || remap.copy != NULL) == -1)
    return -1;
  if (!readonly)
    own_note_can_write (remap.own, c->can_write || remap.copy != NULL);
  return 0;
}

static int
remap_prepare (nbdkit_next *next, void *handle, int readonly)
{
  int r;

  lock_below (remap.all_requests_lock);
  r = prepare (next, handle, readonly);
  unlock_below (remap.all_requests_lock);
  return r;
}

static int64_t
remap_get_size (nbdkit_next *next, void *handle)
{
  return next->get_size (next);
}

/* The engine cuts and completes requests: so there is no minimum. */
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

/* Where LOST sectors read as zeroes nothing is written (promise 7). */
static int
remap_can_write (nbdkit_next *next, void *handle)
{
  if (remap.config.lost_zero)
    return 0;
  return remap.copy ? 1 : next->can_write (next);
}

static int
remap_can_trim (nbdkit_next *next, void *handle)
{
  return remap.copy ? 1 : next->can_trim (next);
}

static int
remap_can_fast_zero (nbdkit_next *next, void *handle)
{
  return remap.copy ? 1 : next->can_fast_zero (next);
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

/* What a callback returns.  The filter above may not want to know the error:
 * then ERR is NULL.
 */
static int
result (int error, int *err)
{
  if (error && err)
    *err = error;
  return error ? -1 : 0;
}

static int
remap_pread (nbdkit_next *next, void *handle, void *buf, uint32_t count,
             uint64_t offset, uint32_t flags, int *err)
{
  struct connection *c = handle;

  return result (engine_pread (&c->conn, buf, count, offset), err);
}

static int
remap_pwrite (nbdkit_next *next, void *handle, const void *buf,
              uint32_t count, uint64_t offset, uint32_t flags, int *err)
{
  struct connection *c = handle;

  return result (engine_pwrite (&c->conn, buf, count, offset,
                                flags & NBDKIT_FLAG_FUA), err);
}

static int
remap_flush (nbdkit_next *next, void *handle, uint32_t flags, int *err)
{
  struct connection *c = handle;

  return result (engine_flush (&c->conn), err);
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
  return result (engine_zero (&c->conn, count, offset, f,
                              flags & NBDKIT_FLAG_FUA), err);
}

static int
remap_trim (nbdkit_next *next, void *handle, uint32_t count, uint64_t offset,
            uint32_t flags, int *err)
{
  struct connection *c = handle;

  return result (engine_trim (&c->conn, count, offset,
                              flags & NBDKIT_FLAG_FUA), err);
}

/* A caller that passes NULL for ERR doesn't look at what is returned either,
 * but nbdkit does, and looks for the error of a call that failed: so it
 * mustn't have failed.  Nothing is lost, as filling a cache is a hint.
 */
static int
remap_cache (nbdkit_next *next, void *handle, uint32_t count,
             uint64_t offset, uint32_t flags, int *err)
{
  struct connection *c = handle;
  const int error = engine_cache (&c->conn, count, offset, next_cache);

  return err ? result (error, err) : 0;
}

static int
remap_extents (nbdkit_next *next, void *handle, uint32_t count,
               uint64_t offset, uint32_t flags,
               struct nbdkit_extents *extents, int *err)
{
  return extents_get (&remap, next, count, offset, flags, extents, err);
}

static struct nbdkit_filter filter = {
  .name              = "remap",
  .longname          = "nbdkit remap filter",
  .description       = "remap bad sectors of a failing disk to a spare",
  .unload            = remap_unload,
  .config            = remap_config,
  .config_complete   = remap_config_complete,
  .config_help       = PARAMETERS_HELP,
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
  .can_fast_zero     = remap_can_fast_zero,
  .can_trim          = remap_can_trim,
  .pread             = remap_pread,
  .pwrite            = remap_pwrite,
  .flush             = remap_flush,
  .zero              = remap_zero,
  .trim              = remap_trim,
  .cache             = remap_cache,
  .extents           = remap_extents,
};

NBDKIT_REGISTER_FILTER (filter)
