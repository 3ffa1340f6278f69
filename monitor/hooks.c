/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "ctl/numbers.h"
#include "ctl/text.h"
#include "hooks.h"
#include "log.h"
#include "supervise.h"

#define MAX_HOOKS 32
#define MAX_HOOK_NAME 64

/* A program that was never there in two days isn't asked any more. */
#define MAX_TRIES 50

/* A delivery that is under way. */
struct running {
  int64_t alert;
  char *hook;                           /* NULL: this place is free */
  struct supervised process;            /* pidfd is -1: an earlier monitor's */
  int marker;                           /* and then, that is open */
  unsigned tries;
};

struct hooks {
  const struct settings *set;
  struct store *store;
  char *dir;                            /* of the markers */
  struct running v[MAX_HOOKS_RUNNING];
};

/* As run-parts(8) has it: no backups, nothing that a package has left. */
static bool
is_hook_name (const char *name)
{
  const size_t n = strlen (name);

  for (size_t i = 0; i < n; i++)
    if (!isascii ((unsigned char) name[i]) ||
        (!isalnum ((unsigned char) name[i]) && name[i] != '_' &&
         name[i] != '-'))
      return false;
  return n > 0 && n <= MAX_HOOK_NAME;
}

/* A program that only root or the monitor's user can change. */
static bool
is_program (const char *path)
{
  struct stat st;

  if (stat (path, &st) == -1 || !S_ISREG (st.st_mode) ||
      access (path, X_OK) == -1)
    return false;
  if ((st.st_uid == 0 || st.st_uid == geteuid ()) &&
      (st.st_mode & (S_IWGRP | S_IWOTH)) == 0)
    return true;
  log_line (LOG_IS_WARNING, "%s is not run: others can change it", path);
  return false;
}

static char *
hook_path (const struct settings *set, const char *name)
{
  return text_of ("%s/events.d/%s", set->config, name);
}

static char *
marker_path (const struct hooks *h, int64_t alert, const char *hook)
{
  return text_of ("%s/%" PRId64 ".%s", h->dir, alert, hook);
}

static int
compare (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

static struct running *
free_place (struct hooks *h)
{
  for (int i = 0; i < MAX_HOOKS_RUNNING; i++)
    if (h->v[i].hook == NULL)
      return &h->v[i];
  return NULL;
}

/* Later, the more often it has failed: a minute, five, a quarter of an hour,
 * then each hour.
 */
static uint64_t
wait_after (unsigned tries)
{
  static const unsigned minutes[] = { 1, 5, 15 };

  return UINT64_C (60) * (tries < 3 ? minutes[tries] : 60);
}

static void
settle (struct hooks *h, int64_t alert, const char *hook, unsigned tries,
        bool ok)
{
  char *path = marker_path (h, alert, hook);

  /* If it can't be noted the file stays, and says so to the next monitor. */
  if (ok && !store_delivered (h->store, alert, hook))
    goto out;
  if (!ok && tries >= MAX_TRIES) {
    log_line (LOG_IS_ERROR, "events.d/%s has failed %u times: message %" PRId64
              " is not given to it any more", hook, tries, alert);
    store_delivered (h->store, alert, hook);
  }
  else if (!ok)
    store_postpone (h->store, alert, hook, time (NULL) + wait_after (tries));
  unlink (path);
 out:
  free (path);
}

static void
leave (struct running *r)
{
  if (r->process.pidfd != -1)
    close (r->process.pidfd);
  if (r->marker != -1)
    close (r->marker);
  free (r->hook);
  r->hook = NULL;
}

static bool
says_done (int fd)
{
  char text[sizeof SUPERVISE_DONE];

  return pread (fd, text, sizeof text, 0) == sizeof text - 1 &&
    memcmp (text, SUPERVISE_DONE, sizeof text - 1) == 0;
}

/* One that an earlier monitor has begun: the lock ends with it.  What was not
 * done is due as it was.
 */
static void
look_at_earlier (struct hooks *h, struct running *r)
{
  char *path;

  if (flock (r->marker, LOCK_EX | LOCK_NB) == -1 && errno == EWOULDBLOCK)
    return;
  if (says_done (r->marker))
    settle (h, r->alert, r->hook, 0, true);
  else {
    path = marker_path (h, r->alert, r->hook);
    unlink (path);
    free (path);
  }
  leave (r);
}

/* A marker is called ALERT.HOOK. */
static void
take_over (struct hooks *h, const char *file)
{
  const char *dot = strchr (file, '.');
  struct running *r = free_place (h);
  char *number, *path;
  uint64_t alert;
  int fd;

  if (r == NULL || dot == NULL || !is_hook_name (dot + 1))
    return;
  number = text_of ("%.*s", (int) (dot - file), file);
  path = text_of ("%s/%s", h->dir, file);
  fd = open (path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
  if (fd != -1 && parse_number (number, &alert) && alert < INT64_MAX) {
    *r = (struct running) { .alert = alert, .hook = copy_text (dot + 1),
                            .marker = fd, .process.pidfd = -1 };
    look_at_earlier (h, r);
  }
  else if (fd != -1)
    close (fd);
  free (path);
  free (number);
}

static void
take_over_all (struct hooks *h)
{
  DIR *d;
  struct dirent *e;

  if (mkdir (h->dir, 0700) == -1 && errno != EEXIST)
    log_line (LOG_IS_ERROR, "%s: %s", h->dir, strerror (errno));
  d = opendir (h->dir);
  while (d != NULL && (e = readdir (d)) != NULL)
    take_over (h, e->d_name);
  if (d != NULL)
    closedir (d);
}

/* The file that a program's process notes its success in; locked.  -1: it
 * can't be, and the message is told all the same.
 */
static int
make_marker (const struct hooks *h, int64_t alert, const char *hook)
{
  char *path = marker_path (h, alert, hook);
  int fd = open (path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW,
                 0600);

  if (fd != -1 && flock (fd, LOCK_EX | LOCK_NB) == -1) {
    close (fd);
    fd = -1;
  }
  if (fd == -1)
    log_line (LOG_IS_WARNING, "%s: %s", path, strerror (errno));
  free (path);
  return fd;
}

static void
start (struct hooks *h, struct running *r, const struct stored_delivery *d)
{
  char *path = hook_path (h->set, d->hook);
  int marker;

  if (!is_program (path)) {
    log_line (LOG_IS_WARNING, "%s isn't there any more, or can't be run: "
              "message %" PRId64 " is not given to it", path, d->alert.id);
    store_delivered (h->store, d->alert.id, d->hook);
    free (path);
    return;
  }
  marker = make_marker (h, d->alert.id, d->hook);
  if (supervise_start (path, &d->alert, h->set->hook_timeout, marker,
                       &r->process)) {
    r->alert = d->alert.id;
    r->hook = copy_text (d->hook);
    r->tries = d->tries;
    r->marker = -1;
  }
  else
    settle (h, d->alert.id, d->hook, d->tries, false);
  if (marker != -1)
    close (marker);                     /* the lock is the process's now */
  free (path);
}

static void
start_all (struct hooks *h)
{
  const char *busy[MAX_HOOKS_RUNNING];
  struct stored_delivery d;
  struct running *r;
  size_t n = 0;

  for (int i = 0; i < MAX_HOOKS_RUNNING; i++)
    if (h->v[i].hook)
      busy[n++] = h->v[i].hook;
  while ((r = free_place (h)) != NULL &&
         store_due (h->store, time (NULL), busy, n, &d)) {
    start (h, r, &d);
    store_free_delivery (&d);
    if (r->hook)
      busy[n++] = r->hook;
  }
}

/* Has one ended? */
static void
look_at (struct hooks *h, struct running *r)
{
  struct pollfd p = { .fd = r->process.pidfd, .events = POLLIN };
  const char *why;
  bool ok;

  if (r->process.pidfd == -1) {
    look_at_earlier (h, r);
    return;
  }
  if (poll (&p, 1, 0) != 1)
    return;
  ok = supervise_end (&r->process, &why);
  if (!ok)
    log_line (LOG_IS_ERROR, "events.d/%s has failed: %s", r->hook, why);
  settle (h, r->alert, r->hook, r->tries, ok);
  leave (r);
}

struct hooks *
hooks_new (const struct settings *set, struct store *store)
{
  struct hooks *h = allocate (1, sizeof *h);

  h->set = set;
  h->store = store;
  h->dir = text_of ("%s/hooks", set->state);
  for (int i = 0; i < MAX_HOOKS_RUNNING; i++)
    h->v[i].marker = h->v[i].process.pidfd = -1;
  take_over_all (h);
  return h;
}

void
hooks_free (struct hooks *h)
{
  for (int i = 0; i < MAX_HOOKS_RUNNING; i++)
    if (h->v[i].hook)
      leave (&h->v[i]);
  free (h->dir);
  free (h);
}

char **
hooks_names (const struct settings *set, size_t *n)
{
  char **names = allocate (MAX_HOOKS + 1, sizeof *names);
  char *dir = text_of ("%s/events.d", set->config);
  DIR *d = opendir (dir);
  struct dirent *e;

  *n = 0;
  while (d != NULL && *n < MAX_HOOKS && (e = readdir (d)) != NULL) {
    char *path = is_hook_name (e->d_name) ? hook_path (set, e->d_name) : NULL;

    if (path && is_program (path))
      names[(*n)++] = copy_text (e->d_name);
    free (path);
  }
  if (d != NULL)
    closedir (d);
  free (dir);
  qsort (names, *n, sizeof *names, compare);
  return names;
}

void
hooks_free_names (char **names)
{
  for (size_t i = 0; names[i]; i++)
    free (names[i]);
  free (names);
}

unsigned
hooks_fds (const struct hooks *h, struct pollfd *p)
{
  unsigned n = 0;

  for (int i = 0; i < MAX_HOOKS_RUNNING; i++)
    if (h->v[i].hook && h->v[i].process.pidfd != -1)
      p[n++] = (struct pollfd) { .fd = h->v[i].process.pidfd,
                                 .events = POLLIN };
  return n;
}

uint64_t
hooks_run (struct hooks *h, uint64_t now)
{
  const uint64_t unix_now = time (NULL);
  uint64_t due, next = UINT64_MAX;

  for (int i = 0; i < MAX_HOOKS_RUNNING; i++)
    if (h->v[i].hook)
      look_at (h, &h->v[i]);
  due = store_next_due (h->store);
  if (due <= unix_now)
    start_all (h);
  for (int i = 0; i < MAX_HOOKS_RUNNING; i++)
    if (h->v[i].hook && h->v[i].process.pidfd == -1)
      next = now + 1000;                /* of an earlier monitor */
  if (due == UINT64_MAX)
    return next;
  /* What is due may wait for another one of the same program. */
  return min_u64 (next, now + 1000 * min_u64 (60, max_u64 (due, unix_now + 1) -
                                              unix_now));
}

bool
hooks_test (const struct settings *set, const struct stored_alert *a)
{
  size_t n;
  char **names = hooks_names (set, &n);
  bool ok = n > 0;

  if (n == 0)
    printf ("there is no program in %s/events.d\n", set->config);
  for (size_t i = 0; i < n; i++) {
    char *path = hook_path (set, names[i]);
    const char *why = "it can't be run";
    struct supervised p;
    const bool done = supervise_start (path, a, set->hook_timeout, -1, &p) &&
      supervise_end (&p, &why);

    printf ("%s: %s%s\n", path, done ? "done" : "failed: ", done ? "" : why);
    ok = ok && done;
    free (path);
  }
  hooks_free_names (names);
  return ok;
}
