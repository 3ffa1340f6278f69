/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What can be refused is refused before nbdkit goes into the background, in
 * get_ready: whoever started it sees the message and the exit status then.
 * Main can be looked at only after that, in after_fork: nbdkit opens no
 * connection before.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>

#include "engine/engine.h"
#include "host/refused.h"
#include "clients.h"
#include "command-line.h"
#include "control/control.h"
#include "copier.h"
#include "copy-setup.h"
#include "listeners.h"
#include "next.h"
#include "own-connection.h"
#include "server.h"
#include "spare-setup.h"
#include "startup.h"
#include "spare-watch.h"
#include "ticker.h"

static void
log_engine (void *opaque, const char *text)
{
  if (remap_debug_verbose)
    nbdkit_debug ("remap: %s", text);
}

/* ---- what requests at the control socket act upon ---------------------- */

static int
get_main (void *opaque, bool write, struct engine_conn **conn,
          struct message *message)
{
  const struct remap *remap = opaque;

  return own_get_main (remap->own, write, conn, message);
}

static void
put_main (void *opaque)
{
  const struct remap *remap = opaque;

  own_put_main (remap->own);
}

static bool
main_is_wanted (void *opaque)
{
  const struct remap *remap = opaque;

  return own_main_is_wanted (remap->own);
}

static bool
is_read_only (void *opaque)
{
  const struct remap *remap = opaque;

  return own_is_read_only (remap->own);
}

static int
grow (void *opaque, uint64_t size, struct message *message)
{
  const struct remap *remap = opaque;

  return spare_setup_grow (remap->spare, size, message);
}

static unsigned
get_clients (void *opaque, struct control_client *v, unsigned max)
{
  return clients_list (v, max);
}

/* nbdkit doesn't let anybody sleep once it was told to end.  It logs that as
 * an error: so it is asked no more after that.  Called by one thread.
 */
static bool
is_stopping (void *opaque)
{
  static bool stopping;

  if (!stopping)
    stopping = nbdkit_nanosleep (0, 0) == -1;
  return stopping;
}

static void
get_room (void *opaque, uint64_t *free, uint64_t *promised)
{
  const struct remap *remap = opaque;

  spare_setup_get_room (remap->spare, free, promised);
}

static void
grown (void *opaque)
{
  const struct remap *remap = opaque;

  engine_spare_grown (remap->engine);
}

static void
copy_range (void *opaque, sector_t start, uint64_t count)
{
  const struct remap *remap = opaque;

  copier_copy (remap->copier, start, count);
}

static void
copy_pause (void *opaque, bool pause)
{
  const struct remap *remap = opaque;

  copier_pause (remap->copier, pause);
}

static void
get_copier (void *opaque, struct control_copier *copier)
{
  const struct remap *remap = opaque;

  copier_get_status (remap->copier, copier);
}

static bool
background_is_held (void *opaque)
{
  const struct remap *remap = opaque;

  return remap->control && control_background_held (remap->control);
}

/* Whoever steers it needs a control socket. */
static int
start_copier (struct remap *remap)
{
  if (remap->copy == NULL || remap->control == NULL)
    return 0;
  remap->copier = copier_start (remap->engine, remap->own,
                                remap->config.rescue_rate, background_is_held,
                                remap);
  return remap->copier ? 0 : -1;
}

static int
start_control (struct remap *remap, const struct main_facts *facts)
{
  const struct control_target target = {
    .engine = remap->engine, .spare = spare_setup_spare (remap->spare),
    .map = spare_setup_map (remap->spare),
    .events = ticker_events (remap->ticker), .version = PACKAGE_VERSION,
    .spare_path = remap->config.spare_path,
    .preferred = facts->preferred, .maximum = facts->maximum,
    .lost_zero = remap->config.lost_zero,
    .get_main = get_main, .put_main = put_main,
    .main_is_wanted = main_is_wanted, .grow = grow, .get_room = get_room,
    .grows = spare_setup_grows (remap->spare),
    .copy_path = remap->config.rescue_path, .copy_range = copy_range,
    .copy_pause = copy_pause, .get_copier = get_copier,
    .get_clients = get_clients, .is_stopping = is_stopping,
    .is_read_only = is_read_only, .opaque = remap,
  };
  struct message message;

  if (remap->control == NULL)
    return 0;
  if (control_start (remap->control, &target, &message)) {
    startup_refuse ("%s", message.text);
    return -1;
  }
  return 0;
}

/* What no request has to do with: how full the spare's filesystem is. */
static void
look (void *opaque)
{
  const struct remap *remap = opaque;
  uint64_t free, promised;

  spare_setup_get_room (remap->spare, &free, &promised);
  engine_note_room (remap->engine, free, promised);
}

/* There are new events. */
static void
news (void *opaque)
{
  const struct remap *remap = opaque;

  if (remap->control)
    control_news (remap->control);
}

/* The copier asks the control socket who holds it up, and is steered there: so
 * its thread ends first, and it is freed last.
 */
static void
close_control (struct remap *remap)
{
  copier_stop (remap->copier);
  if (remap->control)
    control_close (remap->control);
  remap->control = NULL;
  copier_free (remap->copier);
  remap->copier = NULL;
}

static void
stop_watching (struct remap *remap)
{
  spare_watch_stop (remap->watch);
  remap->watch = NULL;
}

/* ---- start and end ----------------------------------------------------- */

static void
note_thread_model (struct remap *remap, int thread_model)
{
  remap->one_connection_only =
    thread_model == NBDKIT_THREAD_MODEL_SERIALIZE_CONNECTIONS;
  if (remap->config.control_path &&
      thread_model == NBDKIT_THREAD_MODEL_SERIALIZE_ALL_REQUESTS)
    remap->all_requests_lock = &remap->all_requests_mutex;
}

/* For whoever looks for it where servers are listed. */
static void
note_refusal (const struct remap *remap)
{
  const char *control = remap->config.control_path
    ? remap->config.control_path : remap->config.status_path;
  const char *why = startup_why ();

  if (control && why)
    refused_note (control, strncmp (why, "remap: ", 7) == 0 ? why + 7 : why);
}

/* The copy, or none if that is possible. */
static int
open_copy (struct remap *remap)
{
  struct spare *spare = spare_setup_loaded (remap->spare);
  const struct map *map = spare_setup_map (remap->spare);
  struct message message;
  int err = 0;

  if (remap->config.rescue_path)
    err = copy_setup_open (&remap->copy, &remap->config,
                           remap->config.rescue_path, spare, map, &message);
  else if (spare)
    err = copy_setup_check_none (&remap->config, spare, map, &message);
  if (err)
    startup_refuse ("remap: %s", message.text);
  return err ? -1 : 0;
}

static int
get_ready (struct remap *remap, int thread_model)
{
  const struct control_places places = {
    .control = remap->config.control_path,
    .status = remap->config.status_path, .group = remap->config.status_group,
  };
  struct message message;
  int err = 0;

  remap->ticker = ticker_new ();
  if (remap->ticker == NULL)
    return -1;
  remap->own = own_new (remap, thread_model < NBDKIT_THREAD_MODEL_PARALLEL);
  if (remap->own == NULL)
    return -1;
  if (places.control || places.status)
    err = control_open (&remap->control, &places, &message);
  if (err) {
    /* Of the server that listens there it says nothing. */
    if (err == EADDRINUSE)
      nbdkit_error ("%s", message.text);
    else
      startup_refuse ("%s", message.text);
    return -1;
  }
  remap->spare = spare_setup_open (&remap->config,
                                   ticker_events (remap->ticker));
  return remap->spare ? open_copy (remap) : -1;
}

/* The direct plugin reads past the page cache, and all others that are given a
 * block device read through it.  What is behind a file isn't known.
 */
static enum main_cache
main_cache (const struct remap_config *config)
{
  return config->main_is_direct ? MAIN_UNCACHED
    : config->main_is_block ? MAIN_CACHED : MAIN_CACHE_UNKNOWN;
}

/* nbdkit ends this when the client has gone or the server is to end. */
static bool
sleep_ms (void *opaque, unsigned ms)
{
  return nbdkit_nanosleep (ms / 1000, ms % 1000 * 1000000) == 0;
}

/* A server that was killed may have left writes in a cache.  If they are lost
 * here nobody else would be told: main tells of a failure once.
 */
static void
flush_first (struct engine_config *ec, const struct device *main_dev,
             bool was_gone)
{
  ec->main_flushed = device_flush (main_dev) == 0 && !was_gone;
  ec->main_flush_failed = !ec->main_flushed;
  if (ec->main_flush_failed)
    startup_say ("warning: main can't be flushed, or was gone for a moment: "
                 "what clients of the server before this one wrote since "
                 "their last flush may be lost, and their next flushes say "
                 "so");
}

static int
attach_copy (struct remap *remap, const struct device *main_dev)
{
  struct engine_conn conn;
  struct message message;

  engine_conn_init (&conn, remap->engine, main_dev);
  if (copy_setup_attach (remap->copy, spare_setup_spare (remap->spare),
                         spare_setup_map (remap->spare), &conn,
                         &message) == 0)
    return 0;
  startup_refuse ("remap: %s", message.text);
  return -1;
}

/* Main, the spare and the engine, which is told what main's blocks are: a bad
 * sector costs one of them (promise 2 of remap-promises(7)).
 */
static int
start_engine (struct remap *remap, const struct main_facts *facts,
              const struct device *main_dev)
{
  const bool writable =
    !remap->config.lost_zero && command_line_is_read_only () == 0;
  struct engine_config ec = {
    .main_size = facts->size,
    .main_block = facts->minimum > SECTOR_SIZE ? facts->minimum : SECTOR_SIZE,
    .main_max = facts->maximum,
    .retries = remap->config.retries, .auto_remap = remap->config.auto_remap,
    .lost_zero = remap->config.lost_zero,
    .readonly_to_spare = remap->config.readonly_to_spare,
    .main_cache = main_cache (&remap->config),
    .lost_wait_ms = remap->config.lost_wait * UINT64_C (1000),
    .vanish_max = remap->config.vanish_max,
    .sleep_ms = sleep_ms, .log = log_engine,
    .events = ticker_events (remap->ticker),
  };
  bool was_gone = false;
  const struct main_reader main = {
    .dev = main_dev, .size = ec.main_size, .block = ec.main_block,
    .was_gone = &was_gone,
  };
  struct message message;
  struct spare *spare;
  char uuid[SPARE_UUID_TEXT];

  if (remap->copy) {
    ec.copy_block = copy_setup_block (remap->copy);
    if (copy_setup_check_size (remap->copy, facts->size, &message)) {
      startup_refuse ("remap: %s", message.text);
      return -1;
    }
  }
  if (facts->size == 0) {
    startup_refuse ("remap: main has a size of 0 bytes: there is nothing to "
                    "serve");
    return -1;
  }
  if (spare_setup_start (remap->spare, &main, writable) == -1)
    return -1;
  spare = spare_setup_spare (remap->spare);
  /* With a copy main is flushed once, when that is attached. */
  ec.new_samples = writable && remap->copy == NULL &&
    spare_get_identity (spare)->label[0] == '\0';
  if (ec.new_samples)
    flush_first (&ec, main_dev, was_gone);
  remap->engine = engine_new (&ec, spare_setup_map (remap->spare), spare);
  if (remap->engine == NULL) {
    startup_refuse ("remap: malloc: %m");
    return -1;
  }
  if (remap->copy && attach_copy (remap, main_dev) == -1)
    return -1;
  spare_uuid_text (spare_get_identity (spare)->uuid, uuid);
  nbdkit_debug ("remap: main %" PRIu64 " bytes, block %" PRIu32 ", spare %s, "
                "UUID %s", ec.main_size, ec.main_block,
                remap->config.spare_path, uuid);
  return 0;
}

/* Main is open until the engine is there.  A disk that only root may write to,
 * or that is switched to read-only: whoever starts the server is told, and not
 * only its clients.
 */
static int
look_at_main (struct remap *remap, nbdkit_backend *backend,
              struct first_look *look)
{
  const bool write = own_may_write (remap->own) && remap->copy == NULL;
  int r;

  if (next_first_look (backend, !write, look) == -1) {
    startup_refused ("main can't be opened: nbdkit's messages say why");
    return -1;
  }
  if (write)
    own_note_can_write (remap->own, look->facts.can_write);
  if (write && !look->facts.can_write)
    nbdkit_error ("remap: warning: main can't be written (permissions, or a "
                  "read-only disk): it is served read-only");
  /* The engine's and status's word for no maximum is 0. */
  if (look->facts.maximum == UINT32_MAX)
    look->facts.maximum = 0;
  r = start_engine (remap, &look->facts, &look->main_dev);
  return next_look_ends (look) == -1 ? -1 : r;
}

/* The commit by which an older copy of the spare can be told from it. */
static void
tell_start (struct remap *remap)
{
  struct spare *spare = spare_setup_spare (remap->spare);
  char uuid[SPARE_UUID_TEXT];
  struct spare_status st;

  spare_get_status (spare, &st);
  spare_uuid_text (spare_get_identity (spare)->uuid, uuid);
  events_tell (ticker_events (remap->ticker), EVENT_START,
               "serving main with spare %s, UUID %s, commit %" PRIu64,
               remap->config.spare_path, uuid, st.commit_number);
}

int
server_get_ready (struct remap *remap, int thread_model)
{
  /* Where a limit (ulimit -f) keeps the spare from growing, that is an error
   * of one write, EFBIG, and not the end of the server.
   */
  signal (SIGXFSZ, SIG_IGN);

  note_thread_model (remap, thread_model);
  if (get_ready (remap, thread_model) == -1) {
    note_refusal (remap);
    server_stop (remap);
    return -1;
  }
  return 0;
}

int
server_after_fork (struct remap *remap, nbdkit_backend *backend)
{
  struct first_look first;

  own_start (remap->own, backend);
  if (look_at_main (remap, backend, &first) == -1 ||
      spare_setup_start_growing (remap->spare, grown, remap) == -1 ||
      start_copier (remap) == -1 ||
      start_control (remap, &first.facts) == -1)
    goto error;
  tell_start (remap);
  if (ticker_start (remap->ticker, remap->engine, look, news,
                    remap) == -1)
    goto error;
  remap->watch = spare_watch_start (remap->spare, remap->engine);
  if (remap->watch == NULL)
    goto error;
  return 0;

 error:
  note_refusal (remap);
  /* nbdkit's parent, which runs the client, has the socket too, and would let
   * it wait for ever.  (A service manager that has it must keep it: it
   * starts the server again for those who wait.)
   */
  if (command_line_has_run () == 1)
    listeners_close_for_all ();
  server_stop (remap);
  return -1;
}

void
server_cleanup (struct remap *remap)
{
  stop_watching (remap);
  ticker_stop (remap->ticker);
  events_tell (ticker_events (remap->ticker), EVENT_STOP, "the server ends");
  close_control (remap);
  own_stop (remap->own);
  copy_setup_end (remap->copy);
}

void
server_stop (struct remap *remap)
{
  stop_watching (remap);
  ticker_stop (remap->ticker);
  close_control (remap);
  if (remap->spare)
    spare_setup_stop_growing (remap->spare);
  copy_setup_end (remap->copy);
  if (remap->engine)
    engine_free (remap->engine);
  remap->engine = NULL;
  if (remap->spare)
    spare_setup_free (remap->spare);
  remap->spare = NULL;
  copy_setup_free (remap->copy);
  remap->copy = NULL;
  if (remap->own)
    own_free (remap->own);
  remap->own = NULL;
  ticker_free (remap->ticker);
  remap->ticker = NULL;
}
