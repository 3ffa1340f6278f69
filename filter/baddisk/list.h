/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A list of areas in a file, which is read again when the file changes.
 */

#ifndef BADDISK_LIST_H
#define BADDISK_LIST_H

#include <pthread.h>
#include <sys/types.h>
#include <time.h>

#include "base/areas.h"
#include "base/message.h"

/* What tells one version of a file from another. */
struct file_key {
  int error;                    /* of stat; the rest is 0 then */
  dev_t dev;
  ino_t ino;
  off_t size;
  struct timespec mtime, ctime;

  /* Changed so recently that another change might have left the same
   * times: not to be relied upon.
   */
  bool recent;
};

struct list_file {
  /* Set before list_load, read-only from then on. */
  const char *path;             /* absolute, not owned; NULL: no list */
  const char *parameter;        /* that named it, for messages */
  const char *kind;             /* of areas: "bad", for messages */
  uint32_t block;               /* of a badblocks list, bytes */
  pthread_mutex_t *lock;        /* the owner's */

  /* Called after the areas have changed, under lock; or NULL. */
  void (*changed) (void *owner);
  void *owner;

  /* Under *lock.  Whole sectors: a sector is in the list if any byte of it
   * is.
   */
  struct area_list areas;
  struct file_key key;          /* of what was read */

  /* Held while the file is read, so that an operation that began after the
   * file had changed waits for the new list.  Taken before *lock.
   */
  pthread_mutex_t reload_lock;
  bool complained;              /* about the version of complained_key */
  struct file_key complained_key;
};

/* Reads it for the first time.  Returns 0, or -1 after an error, which has
 * been reported.
 */
extern int list_load (struct list_file *list);

/* Reads it again if the file has changed.  One that can't be read, or
 * understood, changes nothing and is reported once.  Any thread, without
 * locks.
 */
extern void list_follow (struct list_file *list);

/* Does nothing to a struct of zeroes. */
extern void list_free (struct list_file *list);

#endif /* BADDISK_LIST_H */
