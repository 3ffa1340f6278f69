/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The number of a spare's last commit is what its age is known by.  Writes to
 * slots don't raise it; so there is a commit at each start, and a copy that was
 * made before that is an older one, whatever has changed since.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <nbdkit-filter.h>

#include "host/state.h"
#include "spare-state.h"
#include "startup.h"
#include "thread.h"

#define NOTE_SECONDS 60

struct spare_state {
  const struct remap_config *config;
  char name[STATE_NAME];        /* of the disk */
  bool is_known;                /* it has a spare, as the file says */
  struct message damage;        /* "", or what is wrong with that file */
  struct disk_state known;      /* as the file has it, or should */

  struct spare *spare;          /* NULL: not begun */
  const struct map *map;
  pthread_t thread;
  pthread_mutex_t mutex;        /* guards STOP */
  pthread_cond_t cond;          /* of CLOCK_MONOTONIC */
  bool stop;
  bool told;                    /* that it can't be written */
};

/* Each part of a disk has a spare of its own. */
static int
name_main (const struct remap_config *config, const char *disk_label,
           char name[STATE_NAME])
{
  int n, err = state_name (disk_label, config->main_path, config->label, name);

  if (err || !config->main_is_part)
    return err;
  n = strlen (name);
  if (config->main_partition)
    n += snprintf (name + n, STATE_NAME - n, " partition=%d",
                   config->main_partition);
  else
    n += snprintf (name + n, STATE_NAME - n, " offset=%" PRIi64,
                   config->main_offset);
  return n < STATE_NAME ? 0 : EINVAL;
}

int
spare_state_open (const struct remap_config *config, const char *disk_label,
                  struct spare_state **state)
{
  struct spare_state *s;
  pthread_condattr_t attr;
  int err;

  *state = NULL;
  if (config->state_folder == NULL)
    return 0;
  s = calloc (1, sizeof *s);
  if (s == NULL) {
    nbdkit_error ("remap: calloc: %m");
    return -1;
  }
  s->config = config;
  if (name_main (config, disk_label, s->name)) {
    nbdkit_error ("remap: spare-state: nothing tells this disk from others: "
                  "give it a name with remap-label=TEXT");
    free (s);
    return -1;
  }
  err = state_read (config->state_folder, s->name, &s->known, &s->damage);
  s->is_known = err == 0;
  if (err == ENOENT)
    s->damage.text[0] = '\0';
  pthread_mutex_init (&s->mutex, NULL);
  pthread_condattr_init (&attr);
  pthread_condattr_setclock (&attr, CLOCK_MONOTONIC);
  pthread_cond_init (&s->cond, &attr);
  pthread_condattr_destroy (&attr);
  *state = s;
  return 0;
}

int
spare_state_check_new (const struct spare_state *s)
{
  if (s == NULL || s->config->spare_new)
    return 0;
  if (*s->damage.text) {
    nbdkit_error ("remap: spare %s: is missing or blank, and nobody knows "
                  "whether this disk has another one: %s; spare-new=yes makes "
                  "a new spare", s->config->spare_path, s->damage.text);
    return -1;
  }
  if (!s->is_known)
    return 0;
  nbdkit_error ("remap: spare %s: is missing or blank, but the disk %s has a "
                "spare: UUID %s, last seen as %s.  %" PRIu64 " remapped, %"
                PRIu64 " LOST and %" PRIu64 " zeroed sectors were in it, if "
                "not more: with a new spare they read as the disk has them: "
                "old data, and nobody notices.  Is its filesystem mounted?  "
                "If it is lost for good: spare-new=yes (remapctl create "
                "new-spare=yes)", s->config->spare_path, s->name,
                s->known.uuid, *s->known.spare ? s->known.spare : "(unknown)",
                s->known.remapped, s->known.lost, s->known.zero);
  return -1;
}

int
spare_state_check (const struct spare_state *s, struct spare *spare)
{
  char uuid[SPARE_UUID_TEXT];
  struct spare_status st;

  if (s == NULL)
    return 0;
  if (*s->damage.text)
    nbdkit_error ("remap: warning: %s: it is written anew", s->damage.text);
  if (!s->is_known)
    return 0;
  spare_uuid_text (spare_get_identity (spare)->uuid, uuid);
  spare_get_status (spare, &st);
  if (strcmp (uuid, s->known.uuid) != 0) {
    if (s->config->spare_new)
      return 0;
    nbdkit_error ("remap: spare %s: has the UUID %s, but the disk %s has "
                  "another spare: UUID %s, last seen as %s, with %" PRIu64
                  " remapped sectors: with this one they read as something "
                  "older.  If it is the right one all the same: spare-new=yes "
                  "(remapctl create new-spare=yes)", s->config->spare_path,
                  uuid, s->name, s->known.uuid,
                  *s->known.spare ? s->known.spare : "(unknown)",
                  s->known.remapped);
    return -1;
  }
  if (st.commit_number >= s->known.commit || s->config->spare_older)
    return 0;
  nbdkit_error ("remap: spare %s: is an older copy of the disk's spare: its "
                "last commit is %" PRIu64 ", but the spare had reached %"
                PRIu64 ": sectors that were moved or written since then read "
                "as something older.  Look for the right one; if it is lost: "
                "spare-older=yes", s->config->spare_path, st.commit_number,
                s->known.commit);
  return -1;
}

/* What has been published is durable: the number is never too high.  Where the
 * folder can't be written the disk is served all the same.
 */
static void
note (struct spare_state *s, bool always)
{
  struct disk_state new = s->known;
  struct spare_status st;
  struct map_totals totals;
  struct message message;

  spare_get_status (s->spare, &st);
  if (!always && st.commit_number == new.commit)
    return;
  map_get_totals (s->map, &totals);
  new.commit = st.commit_number;
  new.remapped = totals.remapped;
  new.lost = totals.lost;
  new.zero = totals.zero;
  if (state_write (s->config->state_folder, s->name, &new, &message) == 0) {
    s->known = new;
    s->told = false;
  }
  else if (!s->told) {
    nbdkit_error ("remap: warning: %s: a missing or older spare may go "
                  "unnoticed", message.text);
    s->told = true;
  }
}

static void *
run (void *opaque)
{
  struct spare_state *s = opaque;
  struct timespec t;

  pthread_mutex_lock (&s->mutex);
  while (!s->stop) {
    clock_gettime (CLOCK_MONOTONIC, &t);
    t.tv_sec += NOTE_SECONDS;
    if (pthread_cond_timedwait (&s->cond, &s->mutex, &t) != ETIMEDOUT)
      continue;
    pthread_mutex_unlock (&s->mutex);
    note (s, false);
    pthread_mutex_lock (&s->mutex);
  }
  pthread_mutex_unlock (&s->mutex);
  return NULL;
}

int
spare_state_begin (struct spare_state *s, struct spare *spare,
                   const struct map *map, uint64_t main_size)
{
  struct spare_status st;
  int err;

  if (s == NULL)
    return 0;
  spare_uuid_text (spare_get_identity (spare)->uuid, s->known.uuid);
  snprintf (s->known.spare, sizeof s->known.spare, "%s",
            s->config->spare_path);
  s->known.size = main_size;
  if (spare_advance (spare) != 0)
    nbdkit_debug ("remap: the log has no room to say that it was begun");
  s->spare = spare;
  s->map = map;
  note (s, true);
  spare_get_status (spare, &st);
  startup_say ("spare %s: UUID %s, commit %" PRIu64, s->config->spare_path,
               s->known.uuid, st.commit_number);
  err = thread_start (&s->thread, run, s);
  if (err) {
    nbdkit_error ("remap: pthread_create: %s", strerror (err));
    s->spare = NULL;
    return -1;
  }
  return 0;
}

void
spare_state_free (struct spare_state *s)
{
  if (s == NULL)
    return;
  if (s->spare != NULL) {
    pthread_mutex_lock (&s->mutex);
    s->stop = true;
    pthread_cond_signal (&s->cond);
    pthread_mutex_unlock (&s->mutex);
    pthread_join (s->thread, NULL);
    note (s, true);
  }
  pthread_mutex_destroy (&s->mutex);
  pthread_cond_destroy (&s->cond);
  free (s);
}
