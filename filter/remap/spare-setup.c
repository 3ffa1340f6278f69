/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What can be known without main's size is checked before the server goes
 * into the background: the spare is opened, locked, looked at, and if it
 * holds anything, checked and replayed whole.  Main's size is known only
 * after that: then the spare's identity is compared, or a blank one is
 * formatted.  Nothing is written to a spare whose identity was not found to
 * be right (promise 20 of remap-promises(7)).
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <pthread.h>
#include <unistd.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <nbdkit-filter.h>

#include "base/bytes.h"
#include "host/spare-place.h"
#include "host/sparefile.h"
#include "host/this-process.h"
#include "engine/spare-dev.h"
#include "main-identity.h"
#include "main-lock.h"
#include "placement.h"
#include "spare-enlarge.h"
#include "spare-growth.h"
#include "spare-setup.h"
#include "spare-state.h"
#include "startup.h"

struct spare_setup {
  const struct remap_config *config;
  const char *label;            /* as given, or DISK_LABEL */
  char disk_label[SPARE_LABEL_MAX + 1];
  struct events *events;
  bool started;                 /* what is wrong from now on is an event */
  struct spare_state *state;    /* NULL: none is kept */
  struct spare_file file;       /* fd -1: not open */
  struct owner_env owner;       /* of this process */
  int main_fd;                  /* keeps the lock of an image file, or -1 */
  struct spare_dev device;      /* over FILE's */
  enum spare_content content;
  struct spare_identity identity;
  struct map *map;
  struct spare *spare;          /* NULL: it isn't one yet */
  uint64_t grow_to;             /* bytes, found to be possible; 0: not */
  pthread_mutex_t grow_mutex;   /* one growth at a time */
  struct growth *growth;        /* NULL: doesn't grow by itself */
  void (*grown) (void *opaque);
  void *grown_opaque;
};

/* Whoever starts the server sees what is wrong at once; later the thread that
 * has found it doesn't wait for the log.
 */
static void
warn (void *opaque, const char *text)
{
  struct spare_setup *s = opaque;

  if (s->started)
    events_tell (s->events, EVENT_SPARE_WARNING, "%s", text);
  else
    nbdkit_error ("remap: warning: %s", text);
}

static void
note_low (void *opaque)
{
  struct spare_setup *s = opaque;

  if (s->growth != NULL)
    growth_wake (s->growth);
}

static struct spare_env
env_of (struct spare_setup *s)
{
  return (struct spare_env) {
    .warn = warn, .low = note_low, .owner = &s->owner, .opaque = s
  };
}

static void waits (void *opaque, const struct owner *other, unsigned ms);

/* nbdkit may go into the background between looking at the stamp and taking it:
 * so this is called for both.
 */
static void
learn_who_we_are (struct spare_setup *s)
{
  this_process_init (&s->owner, spare_file_is_local (&s->file));
  s->owner.waits = waits;
}

static void
waits (void *opaque, const struct owner *other, unsigned ms)
{
  startup_say ("the spare was in use by process %" PRIu64 " of the host "
               "\"%s\", which did not give it back: waiting up to %u seconds "
               "to see if it still is", other->pid, other->host, ms / 1000);
}

static int
fail (const struct message *message)
{
  startup_refuse ("remap: %s", message->text);
  return -1;
}

/* A spare that exists is looked at before it is opened: a plugin that holds
 * main exclusively would make that fail for a reason that says less.
 */
static int
open_spare (struct spare_setup *s)
{
  struct message message;
  struct stat st;
  int err;

  if (stat (s->config->spare_path, &st) == 0 &&
      placement_check (s->config, &st) == -1)
    return -1;
  err = spare_file_open (&s->file, s->config->spare_path,
                         s->config->spare_offset, s->config->spare_create,
                         false, &message);
  if (err == ENOENT && !s->config->spare_create) {
    startup_refuse ("remap: %s: is its filesystem mounted? (With "
                    "spare-create=no none is created)", message.text);
    return -1;
  }
  if (err)
    return fail (&message);
  if (fstat (s->file.fd, &st) == -1) {
    startup_refuse ("remap: spare %s: stat: %m", s->config->spare_path);
    return -1;
  }
  if (placement_check (s->config, &st) == -1)
    return -1;
  placement_warn (s->config, s->file.fd, &st);
  return 0;
}

static int
check_label (const struct spare_setup *s)
{
  if (strcmp (s->identity.label, s->label) == 0)
    return 0;
  startup_refuse ("remap: spare %s belongs to the disk labelled \"%s\", but "
                  "main is \"%s\": give it the right disk, or, if this is a "
                  "copy that takes its place: remapctl relabel %s '%s'",
                  s->config->spare_path, s->identity.label, s->label,
                  s->config->spare_path, s->label);
  return -1;
}

static int
prepare_new (struct spare_setup *s)
{
  struct message message;
  char uuid[SPARE_UUID_TEXT];

  if (spare_state_check_new (s->state) == -1)
    return -1;
  if (!s->config->spare_create) {
    startup_refuse ("remap: spare %s: is missing or blank, and "
                    "spare-create=no: is its filesystem mounted?",
                    s->config->spare_path);
    return -1;
  }
  if (!s->file.is_block && s->file.size > 0 && s->file.size < SPARE_MIN_SIZE &&
      s->config->spare_size < (int64_t) SPARE_MIN_SIZE) {
    startup_refuse ("remap: spare %s: has %" PRIu64 " bytes, a spare needs at "
                    "least %" PRIu64, s->config->spare_path, s->file.size,
                    SPARE_MIN_SIZE);
    return -1;
  }
  if (s->config->spare_size != -1 &&
      spare_file_extend (&s->file, s->config->spare_size, &message))
    return fail (&message);
  if (s->file.is_block && s->file.size < SPARE_MIN_SIZE) {
    startup_refuse ("remap: spare %s: has %" PRIu64 " bytes, a spare needs at "
                    "least %" PRIu64, s->config->spare_path, s->file.size,
                    SPARE_MIN_SIZE);
    return -1;
  }
  if (s->content != SPARE_UNFINISHED &&
      getrandom (s->identity.uuid, sizeof s->identity.uuid, 0) !=
      sizeof s->identity.uuid) {
    startup_refuse ("remap: getrandom: %m");
    return -1;
  }
  spare_uuid_set_version (s->identity.uuid);
  spare_uuid_text (s->identity.uuid, uuid);
  startup_say ("warning: creating a new spare: %s, UUID %s: if this disk has "
               "had another one, stop this server: without it the disk's old "
               "data is read where sectors were remapped",
               s->config->spare_path, uuid);
  return 0;
}

/* Is there a spare on it, or nothing, or something else (promise 21)? */
static int
look_at_spare (struct spare_setup *s)
{
  struct message message;
  uint64_t size = s->file.size;

  /* Beyond the size that is asked for, a new spare touches nothing: so
   * something else may be there.
   */
  if (s->config->spare_size != -1 && (uint64_t) s->config->spare_size < size)
    size = s->config->spare_size;
  if (spare_file_drop_cache (&s->file, &message))
    return fail (&message);
  if (spare_probe (&s->file.device, size, spare_file_next_data,
                   &s->content, &s->identity, &message)) {
    startup_refuse ("remap: spare %s: %s", s->config->spare_path, message.text);
    return -1;
  }
  if (s->content == SPARE_FOREIGN) {
    startup_refuse ("remap: spare %s: is neither blank nor a spare: it holds "
                    "something else and is left alone; erase it first if it "
                    "is to be a spare", s->config->spare_path);
    return -1;
  }
  return 0;
}

/* The size that an existing spare is to have: more than it has if that is
 * asked for, or if it is the whole of a file that has grown.
 */
static uint64_t
size_to_be (const struct spare_setup *s, const struct spare_status *st)
{
  uint64_t size = st->size;

  if (s->config->spare_size != -1 && (uint64_t) s->config->spare_size > size)
    size = s->config->spare_size;
  else if (st->whole && s->file.size > size)
    size = s->file.size;
  return max_u64 (round_down (size, 4096), st->size);
}

/* A growth that is asked for must be possible, or the server doesn't start;
 * one that offers itself needn't be.
 */
static int
growth_failed (const struct spare_setup *s, const struct spare_status *st,
               uint64_t size, const struct message *why)
{
  if (s->config->spare_size != -1) {
    startup_refuse ("remap: spare %s: can't be enlarged from %" PRIu64 " to %"
                    PRIu64 " bytes: %s", s->config->spare_path, st->size, size,
                    why->text);
    return -1;
  }
  nbdkit_error ("remap: warning: spare %s: stays at %" PRIu64 " bytes: %s",
                s->config->spare_path, st->size, why->text);
  return 0;
}

static int
check_growth (struct spare_setup *s)
{
  struct spare_status st;
  struct message why;
  uint64_t size;

  spare_get_status (s->spare, &st);
  size = size_to_be (s, &st);
  if (size == st.size)
    return 0;
  if (spare_enlarge_check (&s->file, &st, size, &why))
    return growth_failed (s, &st, size, &why);
  s->grow_to = size;
  return 0;
}

static int
prepare (struct spare_setup *s)
{
  const struct spare_env env = env_of (s);
  struct message message;

  if (open_spare (s) == -1 || main_lock (s->config, &s->main_fd) == -1 ||
      look_at_spare (s) == -1)
    return -1;
  learn_who_we_are (s);
  placement_main_label (s->config, s->disk_label, sizeof s->disk_label);
  if (s->label == NULL)
    s->label = s->disk_label;

  if (spare_state_open (s->config, s->disk_label, &s->state) == -1)
    return -1;

  s->map = map_new ();
  if (s->map == NULL) {
    startup_refuse ("remap: malloc: %m");
    return -1;
  }
  if (s->content != SPARE_VALID)
    return prepare_new (s);
  if (check_label (s) == -1)
    return -1;
  if (spare_load (&s->device.device, s->file.size, false, &env, s->map,
                  &s->spare, &message)) {
    startup_refuse ("remap: spare %s: %s", s->config->spare_path, message.text);
    return -1;
  }
  if (spare_state_check (s->state, s->spare) == -1)
    return -1;
  return check_growth (s);
}

static int
format_spare (struct spare_setup *s, uint64_t main_size)
{
  const struct spare_env env = env_of (s);
  struct message message;
  uint64_t size = s->config->spare_size;
  bool whole;
  int err;

  if (s->config->spare_size == -1) {
    size = s->file.size;
    s->identity.grows = size == 0;
    if (size == 0)
      size = round_up (spare_default_size (main_size), 4096);
  }
  if (spare_file_extend (&s->file, size, &message))
    return fail (&message);
  whole = round_down (size, 4096) == round_down (s->file.size, 4096);

  s->identity.main_size = main_size;
  snprintf (s->identity.label, sizeof s->identity.label, "%s", s->label);
  err = spare_format (&s->device.device, size, whole, &s->identity, &env,
                      s->map, &s->spare, &message);
  if (err) {
    startup_refuse ("remap: spare %s: can't be created: %s",
                    s->config->spare_path, message.text);
    return -1;
  }
  return 0;
}

static int
start (struct spare_setup *s, const struct main_reader *main, bool writable)
{
  struct main_identity identity = {
    .config = s->config, .spare = s->spare, .map = s->map,
    .writable = writable,
  };
  struct spare_status st;
  struct message message;

  learn_who_we_are (s);
  if (s->content != SPARE_VALID)
    return format_spare (s, main->size);
  if (main_identity_check (&identity, main) == -1)
    return -1;
  if (spare_start (s->spare, &message)) {
    startup_refuse ("remap: spare %s: %s", s->config->spare_path, message.text);
    return -1;
  }
  if (main_identity_settle (&identity, main) == -1)
    return -1;
  if (s->grow_to == 0)
    return 0;
  spare_get_status (s->spare, &st);
  if (spare_enlarge_to (&s->file, s->spare, s->grow_to, &message))
    return growth_failed (s, &st, s->grow_to, &message);
  return 0;
}

struct spare_setup *
spare_setup_open (const struct remap_config *config, struct events *events)
{
  struct spare_setup *s = calloc (1, sizeof *s);

  if (s == NULL) {
    startup_refuse ("calloc: %m");
    return NULL;
  }
  s->config = config;
  s->events = events;
  spare_dev_init (&s->device, &s->file.device, events);
  s->label = config->label;
  s->file.fd = s->main_fd = -1;
  pthread_mutex_init (&s->grow_mutex, NULL);
  if (prepare (s) == -1) {
    spare_setup_free (s);
    return NULL;
  }
  return s;
}

struct spare *
spare_setup_loaded (const struct spare_setup *s)
{
  return s->spare;
}

int
spare_setup_start (struct spare_setup *s, const struct main_reader *main,
                   bool writable)
{
  int r = start (s, main, writable);

  if (r == 0)
    r = spare_state_begin (s->state, s->spare, s->map, main->size);
  s->started = true;
  return r;
}

struct map *
spare_setup_map (const struct spare_setup *s)
{
  return s->map;
}

struct spare *
spare_setup_spare (const struct spare_setup *s)
{
  return s->spare;
}

int
spare_setup_grow (struct spare_setup *s, uint64_t wanted,
                  struct message *message)
{
  int err;

  pthread_mutex_lock (&s->grow_mutex);
  err = spare_enlarge (&s->file, s->spare, wanted, message);
  pthread_mutex_unlock (&s->grow_mutex);
  return err;
}

static int
grow_by_itself (void *opaque, uint64_t size, struct message *message)
{
  struct spare_setup *s = opaque;
  int err = spare_setup_grow (s, size, message);

  if (err == 0)
    s->grown (s->grown_opaque);
  return err;
}

bool
spare_setup_grows (const struct spare_setup *s)
{
  struct spare_status st;

  spare_get_status (s->spare, &st);
  return !s->file.is_block && st.whole &&
    (s->config->spare_grow == GROW_AUTO ||
     (s->config->spare_grow == GROW_AS_CREATED &&
      spare_get_identity (s->spare)->grows));
}

int
spare_setup_start_growing (struct spare_setup *s,
                           void (*grown) (void *opaque), void *opaque)
{
  s->grown = grown;
  s->grown_opaque = opaque;
  if (!spare_setup_grows (s))
    return 0;
  s->growth = growth_start (&s->file, s->spare,
                            s->config->spare_max == -1
                            ? 0 : s->config->spare_max, s->events,
                            grow_by_itself, s);
  return s->growth ? 0 : -1;
}

void
spare_setup_stop_growing (struct spare_setup *s)
{
  growth_stop (s->growth);
  s->growth = NULL;
}

void
spare_setup_get_room (const struct spare_setup *s, uint64_t *free,
                      uint64_t *promised)
{
  struct spare_status st;
  struct spare_room room;

  spare_get_status (s->spare, &st);
  *free = UINT64_MAX;
  *promised = 0;
  if (spare_file_room (&s->file, &room) != 0)
    return;
  *free = room.free;
  if (st.size > room.allocated)
    *promised = min_u64 (st.slots_free * SECTOR_SIZE,
                         st.size - room.allocated);
}

void
spare_setup_renew (struct spare_setup *s)
{
  spare_renew (s->spare);
}

/* What lies beyond the end of a file that was cut off fails to be read.  It
 * must stay so: a write there would fill what is before it with zeroes, which
 * nobody has written (promise 1).
 */
bool
spare_setup_is_in_place (struct spare_setup *s, struct message *message)
{
  struct spare_status st;
  enum spare_place place;

  spare_get_status (s->spare, &st);
  place = spare_place_look (&s->file, st.size, message);
  if (place == SPARE_CUT_OFF)
    spare_fail (s->spare);
  return place == SPARE_IN_PLACE;
}

void
spare_setup_free (struct spare_setup *s)
{
  const bool unused = s->spare == NULL;

  spare_state_free (s->state);
  if (s->spare)
    spare_close (s->spare);
  if (s->map)
    map_free (s->map);
  if (s->file.fd != -1)
    spare_file_close (&s->file, unused);
  if (s->main_fd != -1)
    close (s->main_fd);
  pthread_mutex_destroy (&s->grow_mutex);
  free (s);
}
