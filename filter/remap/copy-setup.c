/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <nbdkit-filter.h>

#include "base/bytes.h"
#include "host/blockdev.h"
#include "host/file-stamp.h"
#include "host/sparefile.h"
#include "spare/copy-id.h"
#include "copy-setup.h"
#include "placement.h"
#include "thread.h"

/* At both ends of a device so much is to be zero, if it is to be a new copy:
 * tables of partitions, superblocks and the like are there.
 */
#define LOOK_BYTES (UINT64_C (1) << 20)

struct copy_setup {
  const struct remap_config *config;
  struct spare_file file;       /* fd -1: not open */
  struct copy_id id;            /* what the spare knew of its copy */
  bool known;                   /* it is the copy that the spare knows */
  bool no_stamp;                /* a device, or there are no attributes */
  char label[SPARE_LABEL_MAX + 1];
  bool attached, ended;
  struct spare *spare;
  const struct map *map;
  struct engine_conn conn;      /* the keeper's */
  pthread_t keeper;
};

/* ---- which copy it is -------------------------------------------------- */

static uint64_t
rescued (const struct map *map)
{
  struct map_totals totals;

  map_get_totals (map, &totals);
  return totals.kept + totals.written;
}

static int
refuse_other (const struct copy_setup *c, const char *why,
              struct message *message)
{
  message_set (message, "copy %.100s: isn't the one to which %" PRIu64
               " sectors were rescued (%.100s): %s.  Give the server that one, "
               "or give up what is in it: remapctl rescue abandon %.100s",
               c->file.path, rescued (c->map), c->id.path, why,
               c->config->spare_path);
  return EINVAL;
}

/* Is it the one that ID describes?  NULL: yes; else why not. */
static const char *
find_difference (struct copy_setup *c)
{
  const struct copy_id *id = &c->id;
  uint8_t stamp[COPY_STAMP];
  int err;

  if (id->is_device != c->file.is_block)
    return id->is_device ? "that was a device" : "that was a file";
  if (strcmp (id->label, c->label) != 0)
    return "it has another serial number";
  if (id->is_device && id->size != c->file.size)
    return "it has another size";
  if (!id->stamped && !id->has_next)
    return NULL;
  err = file_stamp_get (c->file.fd, stamp);
  if (err == ENODATA)
    return "it has no stamp, as after it was copied";
  if (err)
    return "its stamp can't be read";
  if ((id->stamped && memcmp (stamp, id->stamp, COPY_STAMP) == 0) ||
      (id->has_next && memcmp (stamp, id->next, COPY_STAMP) == 0))
    return NULL;
  return "it has another stamp: it, or the spare, is an older copy, as from a "
    "backup";
}

/* All of a place lives in the copy. */
static bool
is_in_copy (const struct map *map, uint64_t offset)
{
  uint64_t n = 0;
  struct run run;

  for (; n < SAMPLE_SIZE / SECTOR_SIZE; n += run.count) {
    run = map_lookup (map, offset / SECTOR_SIZE + n,
                      SAMPLE_SIZE / SECTOR_SIZE - n);
    if (!state_is_rescued (run.state))
      return false;
  }
  return true;
}

static int
compare_samples (struct copy_setup *c, struct message *message)
{
  const uint8_t *uuid = spare_get_identity (c->spare)->uuid;
  struct sample v[COPY_SAMPLES_MAX];
  uint8_t hash[SAMPLE_HASH], data[SAMPLE_SIZE];
  unsigned n;
  int err = copy_samples_read (c->spare, v, &n);

  if (err) {
    message_set (message, "spare %s: its samples of the copy make no sense",
                 c->config->spare_path);
    return err;
  }
  for (unsigned i = 0; i < n; i++) {
    /* What can't be read says nothing. */
    if (!is_in_copy (c->map, v[i].offset) ||
        device_pread (&c->file.device, data, sizeof data, v[i].offset) != 0)
      continue;
    sample_hash (uuid, data, hash);
    if (memcmp (hash, v[i].hash, sizeof hash) != 0)
      return refuse_other (c, "it doesn't hold what it held when the last "
                           "server ended", message);
  }
  return 0;
}

/* Does it hold nothing, as far as one looks? */
static int
check_unused (struct copy_setup *c, struct message *message)
{
  const uint64_t size = c->file.size;
  const uint64_t n = min_u64 (size, LOOK_BYTES);
  int err;

  if (c->config->rescue_overwrite || n == 0)
    return 0;
  err = spare_file_is_blank (&c->file, 0, n);
  if (err == 0)
    err = spare_file_is_blank (&c->file, round_down (size - n, 4096), size);
  if (err == EEXIST)
    message_set (message, "copy %s: holds something: its first or its last "
                 "MiB isn't zero.  If that may be overwritten say "
                 "rescue-overwrite=yes", c->file.path);
  else if (err)
    message_set (message, "copy %s: can't be read: %s", c->file.path,
                 strerror (err));
  return err;
}

static int
check_identity (struct copy_setup *c, struct message *message)
{
  const char *why = "the spare knows of no copy";
  bool there = false;
  int err = 0;

  if (c->spare)
    err = copy_id_read (c->spare, &c->id, &there);
  if (err) {
    message_set (message, "spare %s: what it says of its copy makes no sense: "
                 "%s", c->config->spare_path, strerror (err));
    return err;
  }
  if (there)
    why = find_difference (c);
  if (why && c->spare && rescued (c->map) > 0)
    return refuse_other (c, why, message);
  c->known = why == NULL;
  return c->known ? compare_samples (c, message) : check_unused (c, message);
}

/* ---- opening ----------------------------------------------------------- */

static int
open_copy (struct copy_setup *c, const char *path, struct message *message)
{
  const bool is_new = c->spare == NULL || rescued (c->map) == 0;
  struct stat st;
  int err;

  /* As for the spare: a better message, if it is main that is in use. */
  if (stat (path, &st) == 0 &&
      (err = placement_check_copy (c->config, path, &st, message)) != 0)
    return err;
  err = spare_file_open_copy (&c->file, path, is_new, message);
  if (err == ENOENT && !is_new)
    message_set (message, "copy %s: isn't there, and %" PRIu64 " sectors were "
                 "rescued to it: is its filesystem mounted, its disk plugged "
                 "in?", path, rescued (c->map));
  if (err)
    return err;
  if (fstat (c->file.fd, &st) == -1)
    return errno;
  err = placement_check_copy (c->config, path, &st, message);
  if (err == 0)
    err = spare_file_drop_cache (&c->file, message);
  if (err == 0 && c->file.is_block)
    disk_label (c->file.dev, c->label, sizeof c->label);
  return err;
}

int
copy_setup_open (struct copy_setup **made, const struct remap_config *config,
                 const char *path, struct spare *spare, const struct map *map,
                 struct message *message)
{
  struct copy_setup *c = calloc (1, sizeof *c);
  int err;

  if (c == NULL) {
    message_set (message, "copy %s: %s", path, strerror (ENOMEM));
    return ENOMEM;
  }
  c->config = config;
  c->spare = spare;
  c->map = map;
  c->file.fd = -1;
  err = strlen (path) >= COPY_PATH_MAX ? ENAMETOOLONG : 0;
  if (err)
    message_set (message, "copy: its path is longer than %u bytes",
                 COPY_PATH_MAX - 1);
  if (err == 0)
    err = open_copy (c, path, message);
  if (err == 0)
    err = check_identity (c, message);
  if (err)
    copy_setup_free (c);
  else
    *made = c;
  return err;
}

int
copy_setup_check_none (const struct remap_config *config, struct spare *spare,
                       const struct map *map, struct message *message)
{
  struct map_totals totals;
  struct copy_id id;
  bool there;

  map_get_totals (map, &totals);
  if (totals.kept + totals.written == 0)
    return 0;
  if (copy_id_read (spare, &id, &there) != 0)
    there = false;
  message_set (message, "spare %.100s: %" PRIu64 " sectors were rescued to a "
               "copy of main, %.150s, and %" PRIu64 " of them are nowhere "
               "else: start with rescue=PATH; or give up what is in it: "
               "remapctl rescue abandon %.100s", config->spare_path,
               totals.kept + totals.written,
               there ? id.path : "of which the spare has no path",
               totals.written, config->spare_path);
  return EINVAL;
}

int
copy_setup_check_size (struct copy_setup *c, uint64_t main_size,
                       struct message *message)
{
  if (!c->file.is_block && c->file.size == 0)
    return spare_file_extend (&c->file, main_size, message);
  if (c->file.size >= main_size)
    return 0;
  message_set (message, "copy %s: has %" PRIu64 " bytes, and main has %" PRIu64
               ": it must be at least as large", c->file.path, c->file.size,
               main_size);
  return ENOSPC;
}

uint32_t
copy_setup_block (const struct copy_setup *c)
{
  return c->file.sector ? c->file.sector : SECTOR_SIZE;
}

/* ---- beginning and end ------------------------------------------------- */

/* The spare notes the next stamp, the copy gets it, the spare confirms it. */
static int
renew_stamp (struct copy_setup *c, struct copy_id *id)
{
  int err;

  if (getrandom (id->next, sizeof id->next, 0) != sizeof id->next)
    return EIO;
  id->has_next = !c->no_stamp;
  err = copy_id_write (c->spare, id);
  if (err || c->no_stamp)
    return err;
  err = file_stamp_set (c->file.fd, id->next);
  if (err == ENOTSUP || err == EPERM) {
    c->no_stamp = true;
    id->has_next = id->stamped = false;
    return copy_id_write (c->spare, id);
  }
  if (err)
    return err;
  id->stamped = true;
  id->has_next = false;
  memcpy (id->stamp, id->next, sizeof id->stamp);
  return copy_id_write (c->spare, id);
}

static int
note_identity (struct copy_setup *c, uint64_t main_size,
               struct message *message)
{
  struct copy_id id = { 0 };
  int err;

  if (c->known)
    id = c->id;
  id.is_device = c->no_stamp = c->file.is_block;
  id.size = c->file.is_block ? c->file.size : main_size;
  snprintf (id.label, sizeof id.label, "%s", c->label);
  snprintf (id.path, sizeof id.path, "%s", c->file.path);
  err = renew_stamp (c, &id);
  if (err == 0)
    err = copy_samples_write (c->spare, NULL, 0);
  if (err)
    message_set (message, "copy %s: which one it is can't be noted, in the "
                 "spare or in it: %s", c->file.path, strerror (err));
  return err;
}

/* The keeper reads and writes the copy alone, and never asks main. */
static int
no_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  return ESHUTDOWN;
}

static int
no_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  return ESHUTDOWN;
}

static int
no_flush (void *ctx)
{
  return ESHUTDOWN;
}

static const struct device_ops no_ops = {
  .pread = no_pread, .pwrite = no_pwrite, .flush = no_flush,
};

static void *
run_keeper (void *arg)
{
  struct copy_setup *c = arg;

  engine_keeper (&c->conn);
  return NULL;
}

static const char *
why_not_attached (int err)
{
  switch (err) {
  case EIO:
    return "main can't be flushed, and what was written to it would be lost";
  case EINVAL:
    return "it is too small, or its blocks are too large, or what the spare "
      "says of it makes no sense";
  default:
    return strerror (err);
  }
}

int
copy_setup_attach (struct copy_setup *c, struct spare *spare,
                   const struct map *map, struct engine_conn *main_conn,
                   struct message *message)
{
  struct engine *e = main_conn->engine;
  const struct device no_main = { .ops = &no_ops };
  const struct rescue_config rc = {
    .dev = c->file.device, .block = copy_setup_block (c),
    .size = c->file.size, .ignore_trim = c->config->rescue_ignore_trim,
  };
  int err;

  c->spare = spare;
  c->map = map;
  engine_conn_init (&c->conn, e, &no_main);
  err = note_identity (c, engine_main_size (e), message);
  if (err)
    return err;
  err = engine_attach_copy (main_conn, &rc);
  if (err) {
    message_set (message, "copy %s: %s", c->file.path, why_not_attached (err));
    return err;
  }
  err = thread_start (&c->keeper, run_keeper, c);
  c->attached = true;
  c->ended = err != 0;
  if (err)
    message_set (message, "pthread_create: %s", strerror (err));
  return err;
}

/* So many places, evenly spread over what is in the copy. */
static void
take_samples (struct copy_setup *c)
{
  const uint8_t *uuid = spare_get_identity (c->spare)->uuid;
  const uint64_t places = c->file.size / SAMPLE_SIZE;
  const uint64_t step = max_u64 (places / COPY_SAMPLES_MAX, 1);
  struct sample v[COPY_SAMPLES_MAX];
  uint8_t data[SAMPLE_SIZE];
  unsigned n = 0;
  struct run run;
  uint64_t at, offset;

  for (at = 0; n < COPY_SAMPLES_MAX &&
       map_next (c->map, at * (SAMPLE_SIZE / SECTOR_SIZE), &run); at += step) {
    at = max_u64 (at, div_up (run.start, SAMPLE_SIZE / SECTOR_SIZE));
    offset = at * SAMPLE_SIZE;
    if (offset + SAMPLE_SIZE > c->file.size || !is_in_copy (c->map, offset) ||
        device_pread (&c->file.device, data, sizeof data, offset) != 0 ||
        sample_is_blank (data))
      continue;
    v[n] = (struct sample) { .key = n, .offset = offset };
    sample_hash (uuid, data, v[n++].hash);
  }
  if (n > 0)
    copy_samples_write (c->spare, v, n);
}

void
copy_setup_end (struct copy_setup *c)
{
  int err;

  if (c == NULL || !c->attached || c->ended)
    return;
  c->ended = true;
  engine_stop_keeper (c->conn.engine);
  pthread_join (c->keeper, NULL);
  err = engine_end_copy (&c->conn);
  if (err)
    nbdkit_error ("remap: warning: copy %s: not all that was written or kept "
                  "is recorded: %s", c->file.path, strerror (err));
  else if (c->no_stamp)
    take_samples (c);
}

void
copy_setup_free (struct copy_setup *c)
{
  if (c == NULL)
    return;
  if (c->file.fd != -1)
    spare_file_close (&c->file, !c->attached);
  free (c);
}
