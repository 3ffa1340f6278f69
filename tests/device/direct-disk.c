/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The direct plugin's disk that goes away and comes back as another device
 * (promise 12 of remap-promises(7)): direct-disk SYSFS LOOP1 LOOP2 LOOP3.
 * The devices are real, what the kernel shows of them is made up: LOOP2 has
 * the size of LOOP1, LOOP3 hasn't.
 */

#include <config.h>

#include <errno.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "host/blockdev.h"
#include "parameters.h"
#include "request.h"
#include "served-disk.h"

struct direct_config config = { .timeout = 30 };

static char messages[65536];

#define CHECK(x) check (x, #x, __LINE__)

static void
check (bool ok, const char *what, int line)
{
  if (ok)
    return;
  fprintf (stderr, "line %d: %s\n%s", line, what, messages);
  exit (1);
}

/* What the plugin has of nbdkit. */
void
nbdkit_error (const char *fs, ...)
{
  size_t len = strlen (messages);
  va_list args;

  va_start (args, fs);
  vsnprintf (messages + len, sizeof messages - len - 2, fs, args);
  va_end (args);
  strcat (messages, "\n");
}

void
nbdkit_debug (const char *fs, ...)
{
}

/* And what served-disk.c has of the rest of the plugin. */
static int flush_result;
static atomic_uint flushing;
static atomic_bool fail_first;          /* of two; the second is faster */

int
request_flush (struct target *t)
{
  const struct timespec pause = { .tv_nsec = 100000000 };

  if (!fail_first || atomic_fetch_add (&flushing, 1) > 0)
    return flush_result;
  do {
    nanosleep (&pause, NULL);
  } while (atomic_load (&flushing) < 2);
  return EIO;
}

static void *
flush_that_fails (void *t)
{
  CHECK (served_disk_flush (t) == EIO);
  return NULL;
}

static dev_t
device_number (const char *path)
{
  struct stat st;

  CHECK (stat (path, &st) == 0 && S_ISBLK (st.st_mode));
  return st.st_rdev;
}

static void
write_attribute (const char *dir, const char *name, const char *text)
{
  char path[1024];
  FILE *fp;

  snprintf (path, sizeof path, "%s/%s", dir, name);
  fp = fopen (path, "w");
  CHECK (fp != NULL);
  fputs (text, fp);
  fclose (fp);
}

/* The device appears, with this serial number. */
static void
appear (const char *device, const char *serial)
{
  dev_t dev = device_number (device);
  char dir[512], uevent[512];

  snprintf (dir, sizeof dir, "%s/%u:%u", disk_sysfs, major (dev),
            minor (dev));
  mkdir (dir, 0700);
  write_attribute (dir, "serial", serial);
  snprintf (uevent, sizeof uevent, "MAJOR=7\nDEVNAME=%s\n", device + 5);
  write_attribute (dir, "uevent", uevent);
}

static void
vanish (const char *device)
{
  dev_t dev = device_number (device);
  static unsigned n;
  char dir[512], gone[512];

  snprintf (dir, sizeof dir, "%s/%u:%u", disk_sysfs, major (dev),
            minor (dev));
  snprintf (gone, sizeof gone, "%s/gone-%u", disk_sysfs, n++);
  CHECK (rename (dir, gone) == 0);
}

/* Asks for the disk until the message was told, or it is there. */
static struct target *
ask (const char *message)
{
  const struct timespec pause = { .tv_nsec = 20000000 };
  struct target *t;

  for (unsigned i = 0; i < 15000; i++) {
    t = served_disk_get ();
    if (t || (message && strstr (messages, message)))
      return t;
    nanosleep (&pause, NULL);
  }
  CHECK (!"told, or found, within five minutes");
  return NULL;
}

static unsigned
count (const char *text)
{
  unsigned n = 0;

  for (const char *p = messages; (p = strstr (p, text)) != NULL; p++)
    n++;
  return n;
}

int
main (int argc, char *argv[])
{
  const struct timespec moment = { .tv_nsec = 1000000 };
  pthread_t thread;
  struct target *t;

  CHECK (argc == 5);
  disk_sysfs = argv[1];
  config.device = argv[2];
  appear (argv[2], "SERIAL1");
  CHECK (served_disk_start () == 0);
  t = served_disk_get ();
  CHECK (t != NULL && t->dev == device_number (argv[2]));

  /* Bad sectors are not a reason to look elsewhere. */
  CHECK (served_disk_failed (t, EIO) == EIO);
  CHECK (served_disk_failed (t, ENODATA) == ENODATA);
  CHECK (served_disk_failed (t, ENOSPC) == ENOSPC && messages[0] == '\0');

  /* Gone, with what was not flushed; all is told once. */
  CHECK (served_disk_flush (t) == 0 && served_disk_failures () == 0);
  served_disk_wrote ();
  vanish (argv[2]);
  CHECK (served_disk_failed (t, EIO) == ENODEV);
  CHECK (served_disk_failed (t, ENODEV) == ENODEV);
  target_unref (t);
  CHECK (served_disk_failures () == 1);
  CHECK (count ("is gone") == 1);
  CHECK (ask ("no device is \"SERIAL1\"") == NULL);

  /* Another disk, and one of that number that has another size. */
  appear (argv[2], "SERIAL2");
  appear (argv[4], "SERIAL1");
  CHECK (ask ("bytes, and had") == NULL);

  /* Two of that number. */
  appear (argv[3], "SERIAL1");
  CHECK (ask ("several devices are \"SERIAL1\"") == NULL);

  /* The one. */
  vanish (argv[4]);
  t = ask (NULL);
  CHECK (t != NULL && t->dev == device_number (argv[3]));
  CHECK (count ("is back, as") == 1 && count ("is gone") == 1);
  CHECK (count ("no device is") == 1 && count ("several devices") == 1);

  /* A failed flush is one more reason, for all connections. */
  flush_result = EIO;
  CHECK (served_disk_flush (t) == EIO && served_disk_failures () == 2);

  /* One beside it that succeeds knows of it when it ends. */
  flush_result = 0;
  fail_first = true;
  CHECK (pthread_create (&thread, NULL, flush_that_fails, t) == 0);
  while (atomic_load (&flushing) == 0)
    nanosleep (&moment, NULL);
  CHECK (served_disk_flush (t) == 0 && served_disk_failures () == 3);
  pthread_join (thread, NULL);
  target_unref (t);
  served_disk_stop ();
  return 0;
}
