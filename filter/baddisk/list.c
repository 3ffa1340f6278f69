/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Reading the list file, and noticing that it changed.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include <nbdkit-filter.h>

#include "base/bad-list.h"
#include "base/bytes.h"
#include "list.h"

#define MAX_FILE_SIZE (64U << 20)       /* bytes */

/* The times of a file have the granularity of the kernel's tick, which is
 * at most 10 ms: two changes within one tick look like one.
 */
#define RECENT_NS (50 * 1000000)

static struct file_key
make_key (const char *path)
{
  struct file_key key = { 0 };
  struct stat st;
  struct timespec now;

  if (stat (path, &st) == -1) {
    key.error = errno;
    return key;
  }
  key.dev = st.st_dev;
  key.ino = st.st_ino;
  key.size = st.st_size;
  key.mtime = st.st_mtim;
  key.ctime = st.st_ctim;
  clock_gettime (CLOCK_REALTIME, &now);
  const int64_t s = (int64_t) now.tv_sec - st.st_ctim.tv_sec;
  key.recent = s >= -1 && s <= 1 &&
    s * 1000000000 + now.tv_nsec - st.st_ctim.tv_nsec < RECENT_NS;
  return key;
}

static bool
same_time (const struct timespec *a, const struct timespec *b)
{
  return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

static bool
same_file (const struct file_key *a, const struct file_key *b)
{
  return a->error == b->error && a->dev == b->dev && a->ino == b->ino &&
    a->size == b->size && same_time (&a->mtime, &b->mtime) &&
    same_time (&a->ctime, &b->ctime);
}

/* All of a file into allocated memory. */
static int
read_all (int fd, char **text, size_t *len, struct message *message)
{
  size_t size = 65536;
  char *buf = NULL, *bigger;
  ssize_t r;

  *len = 0;
  do {
    if (buf == NULL || *len == size) {
      if (buf)
        size *= 2;
      if (size > 2 * (size_t) MAX_FILE_SIZE) {
        message_set (message, "is larger than 64 MiB");
        free (buf);
        return EFBIG;
      }
      bigger = realloc (buf, size);
      if (bigger == NULL) {
        message_set (message, "out of memory");
        free (buf);
        return ENOMEM;
      }
      buf = bigger;
    }
    r = read (fd, buf + *len, size - *len);
    if (r == -1 && errno != EINTR) {
      const int e = errno;

      message_set (message, "%s", strerror (e));
      free (buf);
      return e;
    }
    if (r > 0)
      *len += (size_t) r;
  } while (r != 0 && *len <= MAX_FILE_SIZE);

  if (*len > MAX_FILE_SIZE) {
    message_set (message, "is larger than 64 MiB");
    free (buf);
    return EFBIG;
  }
  *text = buf;
  return 0;
}

/* A sector is bad when any byte of it is.  Areas that share a sector, or
 * now touch, become one.
 */
static void
widen (struct area_list *list)
{
  const uint64_t last = round_down (UINT64_MAX, SECTOR_SIZE);
  size_t n = 0;

  for (size_t i = 0; i < list->n; i++) {
    const uint64_t start = round_down (list->v[i].offset, SECTOR_SIZE);
    uint64_t end = list->v[i].offset + list->v[i].count;

    end = end > last ? last : round_up (end, SECTOR_SIZE);
    if (start >= end)
      continue;
    if (n > 0 && list->v[n-1].offset + list->v[n-1].count >= start)
      list->v[n-1].count = end - list->v[n-1].offset;
    else
      list->v[n++] = (struct area) { .offset = start, .count = end - start };
  }
  list->n = n;
}

/* Reads PATH.  0 or an errno; MESSAGE is set. */
static int
read_list (const char *path, uint32_t block, struct area_list *list,
           struct message *message)
{
  const struct list_options options = { .block = block };
  struct list_about about;
  struct stat st;
  char *text = NULL;
  size_t len = 0;
  int fd, r;

  *list = (struct area_list) { 0 };

  /* A pipe would block all operations for as long as nobody writes. */
  fd = open (path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd == -1) {
    r = errno;
    message_set (message, "%s", strerror (r));
    return r;
  }
  if (fstat (fd, &st) == -1) {
    r = errno;
    message_set (message, "%s", strerror (r));
  }
  else if (!S_ISREG (st.st_mode)) {
    message_set (message, "is not a regular file");
    r = EINVAL;
  }
  else
    r = read_all (fd, &text, &len, message);
  close (fd);
  if (r != 0)
    return r;

  r = bad_list_parse (text, len, &options, list, &about, message);
  free (text);
  if (r == 0)
    widen (list);
  return r;
}

static bool
is_current (struct list_file *list, const struct file_key *key)
{
  bool r;

  pthread_mutex_lock (list->lock);
  r = same_file (key, &list->key) && !list->key.recent;
  pthread_mutex_unlock (list->lock);
  return r;
}

/* A new version that can't be used.  Under reload_lock. */
static void
keep_areas (struct list_file *list, const struct file_key *key,
            const struct message *message)
{
  if (!list->complained || !same_file (key, &list->complained_key))
    nbdkit_error ("%s=%s: %s; the %s areas stay as they were",
                  list->parameter, list->path, message->text, list->kind);
  list->complained = true;
  list->complained_key = *key;
  pthread_mutex_lock (list->lock);
  list->key = *key;
  pthread_mutex_unlock (list->lock);
}

/* Takes over NEW.  Under reload_lock. */
static void
replace_areas (struct list_file *list, const struct file_key *key,
               const struct area_list *new)
{
  struct area_list old;

  list->complained = false;
  pthread_mutex_lock (list->lock);
  old = list->areas;
  list->areas = *new;
  list->key = *key;
  if (list->changed)
    list->changed (list->owner);
  pthread_mutex_unlock (list->lock);
  area_list_free (&old);
  nbdkit_debug ("baddisk: %s changed: %zu %s areas", list->path, new->n,
                list->kind);
}

int
list_load (struct list_file *list)
{
  struct message message;

  pthread_mutex_init (&list->reload_lock, NULL);
  if (list->path == NULL)
    return 0;
  list->key = make_key (list->path);
  if (read_list (list->path, list->block, &list->areas, &message) != 0) {
    nbdkit_error ("%s=%s: %s", list->parameter, list->path, message.text);
    return -1;
  }
  nbdkit_debug ("baddisk: %zu %s areas in %s", list->areas.n, list->kind,
                list->path);
  return 0;
}

void
list_follow (struct list_file *list)
{
  struct file_key key;
  struct area_list new;
  struct message message;

  if (list->path == NULL)
    return;
  key = make_key (list->path);
  if (is_current (list, &key))
    return;

  pthread_mutex_lock (&list->reload_lock);
  key = make_key (list->path);
  if (!is_current (list, &key)) {
    if (read_list (list->path, list->block, &new, &message) == 0)
      replace_areas (list, &key, &new);
    else
      keep_areas (list, &key, &message);
  }
  pthread_mutex_unlock (&list->reload_lock);
}

void
list_free (struct list_file *list)
{
  area_list_free (&list->areas);
}
