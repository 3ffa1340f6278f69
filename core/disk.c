/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The layout of /sys/dev/block is documented in Linux's
 * Documentation/ABI: MAJOR:MINOR/partition, slaves/, loop/backing_file,
 * wwid, device/wwid, serial, device/serial, dm/uuid.
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "disk.h"

const char *disk_sysfs = "/sys/dev/block";

/* Devices can be stacked; nobody stacks them deeper. */
#define MAX_DEPTH 8

/* Disks that one device lies on (a RAID has several). */
#define MAX_DISKS 32

struct disks {
  dev_t dev[MAX_DISKS];
  unsigned n;
};

/* Reads the first line of an attribute, without spaces at its ends. */
static bool
read_attribute (dev_t dev, const char *name, char *buf, size_t size)
{
  char path[PATH_MAX];
  size_t len;
  FILE *fp;

  snprintf (path, sizeof path, "%s/%u:%u/%s", disk_sysfs, major (dev),
            minor (dev), name);
  fp = fopen (path, "re");
  if (fp == NULL)
    return false;
  if (fgets (buf, size, fp) == NULL)
    buf[0] = '\0';
  fclose (fp);

  len = strcspn (buf, "\n");
  while (len > 0 && isspace ((unsigned char) buf[len - 1]))
    len--;
  buf[len] = '\0';
  len = strspn (buf, " \t");
  memmove (buf, buf + len, strlen (buf + len) + 1);
  return buf[0] != '\0';
}

static bool
read_dev (dev_t dev, const char *name, dev_t *result)
{
  unsigned maj, min;
  char value[64];

  if (!read_attribute (dev, name, value, sizeof value) ||
      sscanf (value, "%u:%u", &maj, &min) != 2)
    return false;
  *result = makedev (maj, min);
  return true;
}

/* A partition's directory lies in that of its disk. */
static dev_t
whole_disk (dev_t dev)
{
  char partition[16];
  dev_t disk;

  if (read_attribute (dev, "partition", partition, sizeof partition) &&
      read_dev (dev, "../dev", &disk))
    return disk;
  return dev;
}

bool
disk_label (dev_t dev, char *label, size_t size)
{
  static const char *const names[] = {
    "wwid", "device/wwid", "serial", "device/serial", "dm/uuid",
  };
  dev_t disk = whole_disk (dev);
  char partition[16];
  char id[160];

  label[0] = '\0';
  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (read_attribute (disk, names[i], id, sizeof id)) {
      /* Whatever a drive calls itself, it goes into messages. */
      for (char *p = id; *p; p++)
        if (!isgraph ((unsigned char) *p))
          *p = '_';
      if (disk != dev &&
          read_attribute (dev, "partition", partition, sizeof partition))
        snprintf (label, size, "%s-part%s", id, partition);
      else
        snprintf (label, size, "%s", id);
      return true;
    }
  return false;
}

static void
add_disk (struct disks *disks, dev_t dev)
{
  for (unsigned i = 0; i < disks->n; i++)
    if (disks->dev[i] == dev)
      return;
  if (disks->n < MAX_DISKS)
    disks->dev[disks->n++] = dev;
}

static void
collect (struct disks *disks, dev_t dev, unsigned depth)
{
  char path[PATH_MAX], attribute[NAME_MAX + 16], value[PATH_MAX];
  struct dirent *d;
  struct stat st;
  dev_t below;
  DIR *dir;

  dev = whole_disk (dev);
  add_disk (disks, dev);
  if (depth == MAX_DEPTH)
    return;

  if (read_attribute (dev, "loop/backing_file", value, sizeof value) &&
      stat (value, &st) == 0)
    collect (disks, S_ISBLK (st.st_mode) ? st.st_rdev : st.st_dev,
             depth + 1);

  snprintf (path, sizeof path, "%s/%u:%u/slaves", disk_sysfs, major (dev),
            minor (dev));
  dir = opendir (path);
  if (dir == NULL)
    return;
  while ((d = readdir (dir)) != NULL) {
    if (d->d_name[0] == '.')
      continue;
    snprintf (attribute, sizeof attribute, "slaves/%s/dev", d->d_name);
    if (read_dev (dev, attribute, &below))
      collect (disks, below, depth + 1);
  }
  closedir (dir);
}

bool
disk_is_same (dev_t a, dev_t b)
{
  struct disks da = { .n = 0 }, db = { .n = 0 };

  collect (&da, a, 0);
  collect (&db, b, 0);
  for (unsigned i = 0; i < da.n; i++)
    for (unsigned j = 0; j < db.n; j++)
      if (da.dev[i] == db.dev[j])
        return true;
  return false;
}
