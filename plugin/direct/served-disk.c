/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The disk that is served: one descriptor for all connections.
 *
 * A drive that drops off its bus is a new device when it comes back, often
 * with another name.  It is recognised by the WWN or serial number that it
 * had at the start (with the number of the partition, if it is one), and by
 * its size and sector size.  As long as it isn't found everything fails with
 * ENODEV.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <pthread.h>
#include <string.h>
#include <sys/sysmacros.h>

#include <nbdkit-plugin.h>

#include "base/clock.h"
#include "host/blockdev.h"
#include "parameters.h"
#include "request.h"
#include "served-disk.h"

#define MIN_INTERVAL_MS 250
#define MAX_INTERVAL_MS 4000

static struct {
  /* Constant after the start. */
  struct target start;
  char label[256];                      /* "": not known */

  pthread_mutex_t mutex;                /* guards what follows */
  struct target *target;                /* NULL: lost */
  bool looking;                         /* a thread is, without the mutex */
  uint64_t next_look;                   /* clock_now */
  unsigned interval_ms;
  char why[512];                        /* logged last: why it isn't there */

  /* Written, and not flushed since. */
  atomic_bool dirty;
  atomic_uint failures;
} disk = { .mutex = PTHREAD_MUTEX_INITIALIZER };

static int
open_as_before (dev_t dev, struct target **result, struct message *message)
{
  struct target *t;
  char path[512];
  int err;

  if (!disk_node (dev, path, sizeof path)) {
    message_set (message, "block device %u:%u is it, but has no name in "
                 "/dev", major (dev), minor (dev));
    return ENODEV;
  }
  err = target_open (path, &t, message);
  if (err)
    return err;
  if (t->dev != dev)
    message_set (message, "%s: changed while it was opened", path);
  else if (t->size != disk.start.size)
    message_set (message, "%s: has %" PRIu64 " bytes, and had %" PRIu64,
                 path, t->size, disk.start.size);
  else if (t->logical != disk.start.logical)
    message_set (message, "%s: has sectors of %" PRIu32 " bytes, and had %"
                 PRIu32, path, t->logical, disk.start.logical);
  else {
    message_set (message, "%s", path);
    *result = t;
    return 0;
  }
  target_unref (t);
  return ENODEV;
}

/* Returns 0, the disk and its name in MESSAGE; else an errno, and MESSAGE says
 * why it wasn't found.
 */
static int
look_for (struct target **t, struct message *message)
{
  dev_t dev;

  if (disk.label[0] == '\0') {
    message_set (message, "it has neither a WWN nor a serial number by which "
                 "it could be recognised: restart the server when it is back");
    return ENODEV;
  }
  switch (disk_find (disk.label, &dev)) {
  case 0:
    message_set (message, "no device is \"%s\"", disk.label);
    return ENODEV;
  case 1:
    return open_as_before (dev, t, message);
  default:
    message_set (message, "several devices are \"%s\"", disk.label);
    return ENODEV;
  }
}

/* The mutex is held, and released while it looks. */
static void
look_again (void)
{
  struct target *t = NULL;
  struct message message;
  bool news = false;

  disk.looking = true;
  pthread_mutex_unlock (&disk.mutex);
  look_for (&t, &message);
  pthread_mutex_lock (&disk.mutex);
  disk.looking = false;
  if (t) {
    disk.target = t;
    disk.why[0] = '\0';
    nbdkit_error ("direct: %s: is back, as %s", config.device, message.text);
    return;
  }
  disk.interval_ms = disk.interval_ms * 2 < MAX_INTERVAL_MS ?
    disk.interval_ms * 2 : MAX_INTERVAL_MS;
  disk.next_look = clock_now_ns () + disk.interval_ms * UINT64_C (1000000);
  news = strcmp (disk.why, message.text) != 0;
  if (news) {
    snprintf (disk.why, sizeof disk.why, "%s", message.text);
    nbdkit_error ("direct: %s: is still lost: %s", config.device,
                  message.text);
  }
}

/* The interval begins short only if the disk was there for a minute: one that
 * comes and goes all the time isn't looked for all the time.
 */
static void
lost (struct target *t, int err)
{
  static uint64_t last_loss;
  const uint64_t now = clock_now_ns ();
  bool news;

  pthread_mutex_lock (&disk.mutex);
  news = disk.target == t;
  if (news) {
    disk.target = NULL;
    if (now - last_loss > UINT64_C (60000000000))
      disk.interval_ms = MIN_INTERVAL_MS;
    last_loss = now;
    disk.next_look = now + disk.interval_ms * UINT64_C (1000000);
    if (atomic_exchange (&disk.dirty, false))
      atomic_fetch_add (&disk.failures, 1);
  }
  pthread_mutex_unlock (&disk.mutex);
  if (news) {
    nbdkit_error ("direct: %s: is gone (%s): it is used again when it is "
                  "back", config.device, strerror (err));
    target_unref (t);
  }
}

int
served_disk_start (void)
{
  struct message message;
  struct target *t;

  if (target_open (config.device, &t, &message)) {
    nbdkit_error ("direct: %s", message.text);
    return -1;
  }
  disk.target = t;
  disk.start = *t;
  disk.interval_ms = MIN_INTERVAL_MS;
  if (t->is_block)
    disk_label (t->dev, disk.label, sizeof disk.label);
  nbdkit_debug ("direct: %s: %" PRIu64 " bytes, sectors of %" PRIu32
                " bytes, memory aligned to %" PRIu32 ", %s, label \"%s\"",
                config.device, t->size, t->logical, t->memory,
                t->can_write ? "writable" : "read-only", disk.label);
  return 0;
}

void
served_disk_stop (void)
{
  if (disk.target)
    target_unref (disk.target);
  disk.target = NULL;
}

const struct target *
served_disk_at_start (void)
{
  return &disk.start;
}

struct target *
served_disk_get (void)
{
  struct target *t = NULL;

  pthread_mutex_lock (&disk.mutex);
  if (disk.target == NULL && !disk.looking && clock_now_ns () >= disk.next_look)
    look_again ();
  if (disk.target)
    t = target_ref (disk.target);
  pthread_mutex_unlock (&disk.mutex);
  return t;
}

int
served_disk_failed (struct target *t, int err)
{
  if (!t->is_block)
    return err;
  switch (err) {
  case ENODEV:
  case ENXIO:
  case ENOMEDIUM:
    break;
  case EIO:
  case ENODATA:
  case EREMOTEIO:
  case ETIMEDOUT:
  case ENOLINK:
  case EAGAIN:
  case EBUSY:                           /* all lanes are stuck */
    if (!disk_is_gone (t->dev))
      return err;
    break;
  default:
    return err;
  }
  lost (t, err);
  return ENODEV;
}

void
served_disk_wrote (void)
{
  if (!atomic_load_explicit (&disk.dirty, memory_order_relaxed))
    atomic_store (&disk.dirty, true);
}

unsigned
served_disk_failures (void)
{
  return atomic_load (&disk.failures);
}

/* The kernel tells of lost writes once, to whichever flush comes first.  So
 * the success of a flush that ran beside that one means nothing: it waits
 * until the failure has been counted, and its caller then sees it.
 */
int
served_disk_flush (struct target *t)
{
  /* Later flushes don't overtake one that waits at the end, for ever. */
  static pthread_rwlock_t flushing =
    PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP;
  static atomic_uint nr_flushing;
  bool dirty, alone;
  int err;

  atomic_fetch_add (&nr_flushing, 1);
  pthread_rwlock_rdlock (&flushing);
  dirty = atomic_exchange (&disk.dirty, false);
  err = request_flush (t);
  if (err) {
    if (dirty)
      atomic_store (&disk.dirty, true);
    atomic_fetch_add (&disk.failures, 1);
  }
  pthread_rwlock_unlock (&flushing);
  alone = atomic_fetch_sub (&nr_flushing, 1) == 1;
  if (err == 0 && !alone) {
    pthread_rwlock_wrlock (&flushing);
    pthread_rwlock_unlock (&flushing);
  }
  return err;
}
