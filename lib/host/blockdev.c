/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The layout of /sys/dev/block is documented in Linux's
 * Documentation/ABI: MAJOR:MINOR/partition, slaves/, loop/backing_file,
 * uevent, queue/, device/state, and what disk_identity reads.
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "host/blockdev.h"

const char *disk_sysfs = "/sys/dev/block";

/* Devices can be stacked; nobody stacks them deeper. */
#define MAX_DEPTH 8

/* Disks that one device lies on (a RAID has several). */
#define MAX_DISKS 32

struct disks {
  dev_t dev[MAX_DISKS];
  unsigned n;
};

static void
trim_blanks (char *text)
{
  size_t len = strlen (text);

  while (len > 0 && isspace ((unsigned char) text[len - 1]))
    len--;
  text[len] = '\0';
  len = strspn (text, " \t");
  memmove (text, text + len, strlen (text + len) + 1);
}

/* Reads the first line of an attribute, without spaces at its ends. */
static bool
read_attribute (dev_t dev, const char *name, char *buf, size_t size)
{
  char path[PATH_MAX];
  FILE *fp;

  snprintf (path, sizeof path, "%s/%u:%u/%s", disk_sysfs, major (dev),
            minor (dev), name);
  fp = fopen (path, "re");
  if (fp == NULL)
    return false;
  if (fgets (buf, size, fp) == NULL)
    buf[0] = '\0';
  fclose (fp);

  buf[strcspn (buf, "\n")] = '\0';
  trim_blanks (buf);
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

/* A partition's directory lies in that of its disk.  PARTITION is its number,
 * and empty for a whole disk.
 */
static dev_t
find_disk (dev_t dev, char partition[16])
{
  dev_t disk;

  if (read_attribute (dev, "partition", partition, 16) &&
      read_dev (dev, "../dev", &disk))
    return disk;
  partition[0] = '\0';
  return dev;
}

static dev_t
whole_disk (dev_t dev)
{
  char partition[16];

  return find_disk (dev, partition);
}

/* SCSI's page of the unit's serial number: a header of 4 bytes, whose last
 * two are the length of the text that follows.
 */
static bool
read_vpd_serial (dev_t dev, char *buf, size_t size)
{
  unsigned char page[256];
  char path[PATH_MAX];
  size_t n, len;
  FILE *fp;

  snprintf (path, sizeof path, "%s/%u:%u/device/vpd_pg80", disk_sysfs,
            major (dev), minor (dev));
  fp = fopen (path, "re");
  if (fp == NULL)
    return false;
  n = fread (page, 1, sizeof page, fp);
  fclose (fp);
  if (n < 4 || page[1] != 0x80)
    return false;
  len = page[2] << 8 | page[3];
  if (len > n - 4)
    len = n - 4;
  if (len > size - 1)
    len = size - 1;
  memcpy (buf, page + 4, len);
  buf[len] = '\0';
  trim_blanks (buf);
  return buf[0] != '\0';
}

/* The USB device that a disk hangs on is a few levels above it. */
static bool
read_usb_serial (dev_t dev, char *buf, size_t size)
{
  char name[64] = "device", attribute[96], vendor[16];

  for (unsigned i = 0; i < MAX_DEPTH; i++) {
    strcat (name, "/..");
    snprintf (attribute, sizeof attribute, "%s/idVendor", name);
    if (read_attribute (dev, attribute, vendor, sizeof vendor)) {
      snprintf (attribute, sizeof attribute, "%s/serial", name);
      return read_attribute (dev, attribute, buf, size);
    }
  }
  return false;
}

/* Drives that have no number say so with zeroes, or bad bytes. */
static bool
is_telling (const char *id)
{
  return id[strspn (id, "0 \xff")] != '\0';
}

/* What identifies a whole disk: the best first.  A USB bridge's own number
 * is the last resort: it stays when the disk behind it is another.
 */
static bool
disk_identity (dev_t disk, char *id, size_t size)
{
  static const char *const names[] = {
    "wwid", "device/wwid", "device/cid", "serial", "device/serial",
  };

  for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
    if (read_attribute (disk, names[i], id, size) && is_telling (id))
      return true;
  return (read_vpd_serial (disk, id, size) && is_telling (id)) ||
    (read_usb_serial (disk, id, size) && is_telling (id)) ||
    read_attribute (disk, "dm/uuid", id, size) ||
    read_attribute (disk, "md/uuid", id, size);
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
disk_backing_file (dev_t dev, char *path, size_t size)
{
  return read_attribute (dev, "loop/backing_file", path, size) &&
    path[0] == '/';
}

bool
disk_label (dev_t dev, char *label, size_t size)
{
  char partition[16], id[160];
  dev_t disk = find_disk (dev, partition);

  label[0] = '\0';
  if (!disk_identity (disk, id, sizeof id))
    return false;
  /* Whatever a drive calls itself, it goes into messages. */
  for (char *p = id; *p; p++)
    if (!isgraph ((unsigned char) *p))
      *p = '_';
  if (partition[0] != '\0')
    snprintf (label, size, "%s-part%s", id, partition);
  else
    snprintf (label, size, "%s", id);
  return true;
}

unsigned
disk_find (const char *label, dev_t *dev)
{
  unsigned maj, min, found = 0;
  struct dirent *d;
  char other[256];
  DIR *dir;

  if (*label == '\0')
    return 0;
  dir = opendir (disk_sysfs);
  if (dir == NULL)
    return 0;
  while ((d = readdir (dir)) != NULL)
    if (sscanf (d->d_name, "%u:%u", &maj, &min) == 2 &&
        disk_label (makedev (maj, min), other, sizeof other) &&
        strcmp (label, other) == 0 && found++ == 0)
      *dev = makedev (maj, min);
  closedir (dir);
  return found;
}

bool
disk_node (dev_t dev, char *path, size_t size)
{
  char uevent[PATH_MAX], line[256];
  bool found = false;
  FILE *fp;

  snprintf (uevent, sizeof uevent, "%s/%u:%u/uevent", disk_sysfs, major (dev),
            minor (dev));
  fp = fopen (uevent, "re");
  if (fp == NULL)
    return false;
  while (!found && fgets (line, sizeof line, fp) != NULL) {
    line[strcspn (line, "\n")] = '\0';
    if (strncmp (line, "DEVNAME=", 8) == 0)
      found = snprintf (path, size, "/dev/%s", line + 8) < (int) size;
  }
  fclose (fp);
  return found;
}

bool
disk_is_gone (dev_t dev)
{
  static const char *const states[] = {
    "offline", "transport-offline", "cancel", "deleted",        /* SCSI */
    "dead", "deleting", "deleting (no IO)",                     /* NVMe */
  };
  char path[PATH_MAX], state[32];
  struct stat st;

  if (stat (disk_sysfs, &st) == -1)
    return false;
  snprintf (path, sizeof path, "%s/%u:%u", disk_sysfs, major (dev),
            minor (dev));
  if (stat (path, &st) == -1)
    return true;
  if (!read_attribute (whole_disk (dev), "device/state", state,
                       sizeof state))
    return false;
  for (size_t i = 0; i < sizeof states / sizeof states[0]; i++)
    if (strcmp (state, states[i]) == 0)
      return true;
  return false;
}

bool
disk_number (dev_t dev, const char *name, uint64_t *value)
{
  char text[32], *end;

  if (!read_attribute (whole_disk (dev), name, text, sizeof text))
    return false;
  *value = strtoull (text, &end, 0);
  return *end == '\0';
}

/* A number of sectors of 512 bytes that the kernel shows, in bytes. */
static bool
read_sectors (dev_t dev, const char *directory, const char *name,
              uint64_t *bytes)
{
  char path[NAME_MAX + 32], text[32], *end;
  uint64_t n;

  snprintf (path, sizeof path, "%s/%s", directory, name);
  if (!read_attribute (dev, path, text, sizeof text))
    return false;
  n = strtoull (text, &end, 10);
  return *end == '\0' &&
    !__builtin_mul_overflow (n, (uint64_t) SECTOR_SIZE, bytes);
}

unsigned
disk_partitions (dev_t disk, struct disk_partition *v, unsigned max)
{
  char path[PATH_MAX];
  struct dirent *d;
  unsigned n = 0;
  DIR *dir;

  snprintf (path, sizeof path, "%s/%u:%u", disk_sysfs, major (disk),
            minor (disk));
  dir = opendir (path);
  if (dir == NULL)
    return 0;
  while (n < max && (d = readdir (dir)) != NULL)
    if (strlen (d->d_name) < sizeof v[n].name &&
        read_sectors (disk, d->d_name, "start", &v[n].start) &&
        read_sectors (disk, d->d_name, "size", &v[n].size)) {
      strcpy (v[n].name, d->d_name);
      n++;
    }
  closedir (dir);
  return n;
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
