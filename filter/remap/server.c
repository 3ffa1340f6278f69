/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Start and end of a server.
 *
 * What can be known without main's size is checked before the server goes
 * into the background (get_ready): the spare is opened, locked, looked at,
 * and if it holds anything, checked and replayed whole.  Main's size is
 * known only after that (after_fork): then the spare's identity is
 * compared, a blank one is formatted, and the engine is made.  Nothing is
 * written to a spare whose identity was not found to be right.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/random.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "host/blockdev.h"
#include "control/control.h"
#include "remap.h"

struct engine *engine;

static struct spare_file file = { .fd = -1 };
static struct map *map;
static struct spare *spare;
static enum spare_content content;
static struct spare_identity identity;

static struct control *control;

/* Main's block sizes as it says them, for those who ask. */
static uint32_t preferred_block, maximum_block;

/* One growth at a time. */
static pthread_mutex_t grow_mutex = PTHREAD_MUTEX_INITIALIZER;

static void
warn (void *opaque, const char *text)
{
  nbdkit_error ("remap: warning: %s", text);
}

static const struct spare_env env = { .warn = warn };

static void
log_engine (void *opaque, enum engine_log_level level, const char *text)
{
  if (level == ENGINE_LOG_WARNING)
    nbdkit_error ("remap: %s", text);
  else if (remap_debug_verbose)
    nbdkit_debug ("remap: %s", text);
}

/* Things that are said once, on the terminal that the server is started
 * from.
 */
static void __attribute__ ((format (printf, 1, 2)))
say (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  fprintf (stderr, "nbdkit: remap: ");
  vfprintf (stderr, fs, args);
  fprintf (stderr, "\n");
  va_end (args);
}

static int
fail (const struct message *message)
{
  nbdkit_error ("remap: %s", message->text);
  return -1;
}

/* What main's path leads to; false if it isn't known, or not there. */
static bool
stat_main (struct stat *st)
{
  return config.main_path != NULL && stat (config.main_path, st) == 0;
}

static bool
is_same_object (const struct stat *a, const struct stat *b)
{
  if (S_ISBLK (a->st_mode) || S_ISBLK (b->st_mode))
    return S_ISBLK (a->st_mode) && S_ISBLK (b->st_mode) &&
      a->st_rdev == b->st_rdev;
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The spare isn't main, nor shares a disk with it, as far as can be seen. */
static int
check_spare_place (const struct stat *spare_st)
{
  struct stat st;

  if (!stat_main (&st))
    return 0;
  if (is_same_object (&st, spare_st)) {
    nbdkit_error ("remap: spare %s: is main itself (%s): a disk can't be "
                  "its own spare", config.spare_path, config.main_path);
    return -1;
  }
  if (S_ISBLK (st.st_mode) && !config.spare_same_disk &&
      disk_is_same (st.st_rdev, S_ISBLK (spare_st->st_mode) ?
                    spare_st->st_rdev : spare_st->st_dev)) {
    nbdkit_error ("remap: spare %s: lies on the disk that main (%s) is on: "
                  "put it on another one, or say spare-same-disk=yes if you "
                  "must", config.spare_path, config.main_path);
    return -1;
  }
  return 0;
}

/* A spare that exists is looked at before it is opened: a plugin that holds
 * main exclusively would make that fail for a reason that says less.
 */
static int
open_spare (void)
{
  struct message message;
  struct stat st;

  if (stat (config.spare_path, &st) == 0 && check_spare_place (&st) == -1)
    return -1;
  if (spare_file_open (&file, config.spare_path, config.spare_offset,
                       config.spare_create, false, &message))
    return fail (&message);
  if (fstat (file.fd, &st) == -1) {
    nbdkit_error ("remap: spare %s: stat: %m", config.spare_path);
    return -1;
  }
  return check_spare_place (&st);
}

/* Which disk main is. */
static void
look_at_main_path (char *label, size_t label_size)
{
  struct stat st;

  label[0] = '\0';
  if (!stat_main (&st) || !S_ISBLK (st.st_mode))
    return;
  disk_label (st.st_rdev, label, label_size);
  if (!config.main_is_direct)
    say ("warning: main (%s) is a block device behind the page cache: bad "
         "sectors that are written go unnoticed until the next flush, and "
         "reads fail for 4 KiB around each.  Use the direct plugin: nbdkit "
         "--filter=remap direct %s ...", config.main_path,
         config.main_path);
}

static int
check_label (void)
{
  if (strcmp (identity.label, config.label) == 0)
    return 0;
  nbdkit_error ("remap: spare %s belongs to the disk labelled \"%s\", but "
                "main is \"%s\": give it the right disk, or, if this is a "
                "copy that takes its place: remapctl relabel %s '%s'",
                config.spare_path, identity.label, config.label,
                config.spare_path, config.label);
  return -1;
}

static int
prepare_new (void)
{
  struct message message;
  char uuid[SPARE_UUID_TEXT];

  if (!config.spare_create) {
    nbdkit_error ("remap: spare %s: is missing or blank, and "
                  "spare-create=no: is its filesystem mounted?",
                  config.spare_path);
    return -1;
  }
  if (!file.is_block && file.size > 0 && file.size < SPARE_MIN_SIZE &&
      config.spare_size < (int64_t) SPARE_MIN_SIZE) {
    nbdkit_error ("remap: spare %s: has %" PRIu64 " bytes, a spare needs at "
                  "least %" PRIu64, config.spare_path, file.size,
                  SPARE_MIN_SIZE);
    return -1;
  }
  if (config.spare_size != -1 &&
      spare_file_extend (&file, config.spare_size, &message))
    return fail (&message);
  if (file.is_block && file.size < SPARE_MIN_SIZE) {
    nbdkit_error ("remap: spare %s: has %" PRIu64 " bytes, a spare needs at "
                  "least %" PRIu64, config.spare_path, file.size,
                  SPARE_MIN_SIZE);
    return -1;
  }
  if (content != SPARE_UNFINISHED &&
      getrandom (identity.uuid, sizeof identity.uuid, 0) !=
      sizeof identity.uuid) {
    nbdkit_error ("remap: getrandom: %m");
    return -1;
  }
  /* RFC 4122, version 4: random. */
  identity.uuid[6] = (identity.uuid[6] & 0x0f) | 0x40;
  identity.uuid[8] = (identity.uuid[8] & 0x3f) | 0x80;
  spare_uuid_text (identity.uuid, uuid);
  say ("creating a new spare: %s, UUID %s", config.spare_path, uuid);
  return 0;
}

/* What is on it. */
static int
look_at_spare (void)
{
  struct message message;
  uint64_t size = file.size;

  /* What lies behind a new spare is none of its business. */
  if (config.spare_size != -1 && (uint64_t) config.spare_size < size)
    size = config.spare_size;
  if (spare_file_drop_cache (&file, &message))
    return fail (&message);
  if (spare_probe (&file.device, size, spare_file_next_data,
                   &content, &identity, &message)) {
    nbdkit_error ("remap: spare %s: %s", config.spare_path, message.text);
    return -1;
  }
  if (content == SPARE_FOREIGN) {
    nbdkit_error ("remap: spare %s: is neither blank nor a spare: it holds "
                  "something else and is left alone; erase it first if it "
                  "is to be a spare", config.spare_path);
    return -1;
  }
  return 0;
}

static int
prepare_spare (void)
{
  static char label[SPARE_LABEL_MAX + 1];
  struct message message;

  if (open_spare () == -1 || look_at_spare () == -1)
    goto error;
  look_at_main_path (label, sizeof label);
  if (config.label == NULL)
    config.label = label;

  map = map_new ();
  if (map == NULL) {
    nbdkit_error ("remap: malloc: %m");
    goto error;
  }
  if (content != SPARE_VALID) {
    if (prepare_new () == -1)
      goto error;
    return 0;
  }
  if (check_label () == -1)
    goto error;
  if (spare_load (&file.device, file.size, false, &env, map, &spare,
                  &message)) {
    nbdkit_error ("remap: spare %s: %s", config.spare_path, message.text);
    goto error;
  }
  return 0;

 error:
  if (file.fd != -1)
    spare_file_close (&file, true);
  return -1;
}

static void
close_control (void)
{
  if (control)
    control_close (control);
  control = NULL;
}

int
server_get_ready (int thread_model)
{
  struct message message;

  /* Where a limit (ulimit -f) keeps the spare from growing, that is an error
   * of one write, EFBIG, and not the end of the server.
   */
  signal (SIGXFSZ, SIG_IGN);

  one_connection_only =
    thread_model == NBDKIT_THREAD_MODEL_SERIALIZE_CONNECTIONS;

  if (config.control_path &&
      control_open (&control, config.control_path, &message)) {
    nbdkit_error ("%s", message.text);
    return -1;
  }
  if (prepare_spare () == -1) {
    close_control ();
    return -1;
  }
  return 0;
}

/* Main's size and block size, from a connection of our own. */
static int
look_at_main (nbdkit_backend *backend, struct engine_config *ec)
{
  uint32_t minimum, preferred, maximum;
  nbdkit_next *next;
  int64_t size;
  int r = -1;

  next = nbdkit_next_context_open (backend, 1, "", 1);
  if (next == NULL)
    return -1;
  if (next->prepare (next) == -1)
    goto out;
  size = next->get_size (next);
  if (size != -1 &&
      next->block_size (next, &minimum, &preferred, &maximum) == 0)
    r = 0;
  if (next->finalize (next) == -1)
    r = -1;
  if (r == -1)
    goto out;

  ec->main_size = size;
  ec->main_block = minimum > SECTOR_SIZE ? minimum : SECTOR_SIZE;
  ec->main_max = maximum == UINT32_MAX ? 0 : maximum;
  preferred_block = preferred;
  maximum_block = ec->main_max;
  if (size == 0) {
    nbdkit_error ("remap: main has a size of 0 bytes: there is nothing to "
                  "serve");
    r = -1;
  }

 out:
  nbdkit_next_context_close (next);
  return r;
}

static int
format_spare (uint64_t main_size)
{
  struct message message;
  uint64_t size = config.spare_size;
  bool whole;
  int err;

  if (config.spare_size == -1) {
    size = file.size;
    if (size == 0)
      size = round_up (spare_default_size (main_size), 4096);
  }
  if (spare_file_extend (&file, size, &message))
    return fail (&message);
  whole = round_down (size, 4096) == round_down (file.size, 4096);

  identity.main_size = main_size;
  snprintf (identity.label, sizeof identity.label, "%s", config.label);
  err = spare_format (&file.device, size, whole, &identity, &env, map,
                      &spare, &message);
  if (err) {
    nbdkit_error ("remap: spare %s: can't be created: %s",
                  config.spare_path, message.text);
    return -1;
  }
  return 0;
}

/* Makes the spare SIZE bytes large, which it wasn't before.  ST: how it is
 * now.
 */
static int
grow_to (const struct spare_status *st, uint64_t size,
         struct message *message)
{
  uint64_t end = size < file.size ? size : file.size;
  int err;

  /* What a growth that was interrupted has left is the spare's own.  The
   * file is lengthened only when all that it has was found to be blank.
   */
  err = st->claimed < end ? spare_file_is_blank (&file, st->claimed, end) : 0;
  if (err) {
    message_set (message, "%s", err == EEXIST ?
                 "what follows the spare is not blank" : strerror (err));
    return err;
  }
  err = spare_file_extend (&file, size, message);
  return err ? err : spare_grow (spare, size, message);
}

/* An existing spare has more room than before, or is to have it. */
static int
grow_spare (void)
{
  struct spare_status st;
  struct message message;
  uint64_t size;
  int err;

  spare_get_status (spare, &st);
  size = st.size;
  if (config.spare_size != -1 && (uint64_t) config.spare_size > size)
    size = config.spare_size;
  else if (st.whole && file.size > size)
    size = file.size;
  size = round_down (size, 4096);
  if (size <= st.size)
    return 0;

  err = grow_to (&st, size, &message);
  if (err && config.spare_size != -1) {
    nbdkit_error ("remap: spare %s: can't be enlarged from %" PRIu64 " to %"
                  PRIu64 " bytes: %s", config.spare_path, st.size, size,
                  message.text);
    return -1;
  }
  if (err)
    nbdkit_error ("remap: warning: spare %s: stays at %" PRIu64 " bytes: %s",
                  config.spare_path, st.size, message.text);
  return 0;
}

int
server_grow (uint64_t wanted, struct message *message)
{
  const uint64_t size = round_down (wanted, 4096);
  struct spare_status st;
  struct message why;
  int err;

  pthread_mutex_lock (&grow_mutex);
  spare_get_status (spare, &st);
  if (size <= st.size) {
    message_set (&why, "that isn't more");
    err = EINVAL;
  }
  else {
    err = spare_file_find_size (&file, &why);
    if (err == 0)
      err = grow_to (&st, size, &why);
  }
  pthread_mutex_unlock (&grow_mutex);
  if (err)
    message_set (message, "the spare can't be enlarged from %" PRIu64 " to %"
                 PRIu64 " bytes: %.300s", st.size, wanted, why.text);
  return err;
}

static int
check_size (uint64_t main_size)
{
  if (identity.main_size == main_size)
    return 0;
  nbdkit_error ("remap: spare %s belongs to a disk of %" PRIu64 " bytes, but "
                "main has %" PRIu64 " bytes: this is another disk, or it "
                "has shrunk or grown", config.spare_path,
                identity.main_size, main_size);
  return -1;
}

static int
start_spare (uint64_t main_size)
{
  struct message message;

  if (content != SPARE_VALID)
    return format_spare (main_size);
  if (check_size (main_size) == -1)
    return -1;
  if (spare_start (spare, &message)) {
    nbdkit_error ("remap: spare %s: %s", config.spare_path, message.text);
    return -1;
  }
  return grow_spare ();
}

static int
grow_online (void *opaque, uint64_t size, struct message *message)
{
  return server_grow (size, message);
}

static int
start_control (void)
{
  const struct control_target target = {
    .engine = engine, .spare = spare, .map = map,
    .version = PACKAGE_VERSION, .spare_path = config.spare_path,
    .preferred = preferred_block, .maximum = maximum_block,
    .lost_zero = config.lost_zero,
    .get_main = background_get_main, .put_main = background_put_main,
    .main_is_wanted = background_main_is_wanted, .grow = grow_online,
  };
  struct message message;

  if (control == NULL)
    return 0;
  if (control_start (control, &target, &message)) {
    nbdkit_error ("%s", message.text);
    return -1;
  }
  return 0;
}

int
server_after_fork (nbdkit_backend *backend)
{
  struct engine_config ec = {
    .retries = config.retries, .auto_remap = config.auto_remap,
    .lost_zero = config.lost_zero, .log = log_engine
  };
  char uuid[SPARE_UUID_TEXT];

  if (look_at_main (backend, &ec) == -1 || start_spare (ec.main_size) == -1) {
    server_stop ();
    return -1;
  }
  engine = engine_new (&ec, map, spare);
  if (engine == NULL) {
    nbdkit_error ("remap: malloc: %m");
    server_stop ();
    return -1;
  }
  spare_uuid_text (identity.uuid, uuid);
  nbdkit_debug ("remap: main %" PRIu64 " bytes, block %" PRIu32 ", spare %s, "
                "UUID %s", ec.main_size, ec.main_block, config.spare_path,
                uuid);
  if (start_control () == -1) {
    server_stop ();
    return -1;
  }
  return 0;
}

void
server_cleanup (void)
{
  close_control ();
  background_stop ();
}

/* A file that was created and never became a spare is removed again. */
void
server_stop (void)
{
  bool unused = spare == NULL;

  close_control ();
  engine_free (engine);
  engine = NULL;
  if (spare)
    spare_close (spare);
  spare = NULL;
  if (map)
    map_free (map);
  map = NULL;
  if (file.fd != -1)
    spare_file_close (&file, unused);
}
