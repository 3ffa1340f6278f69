/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <sys/stat.h>

#include <nbdkit-filter.h>

#include "host/blockdev.h"
#include "host/filesystem.h"
#include "placement.h"
#include "startup.h"

/* What main's path leads to; false if it isn't known, or not there. */
static bool
stat_main (const struct remap_config *config, struct stat *st)
{
  return config->main_path != NULL && stat (config->main_path, st) == 0;
}

static bool
is_same_object (const struct stat *a, const struct stat *b)
{
  if (S_ISBLK (a->st_mode) || S_ISBLK (b->st_mode))
    return S_ISBLK (a->st_mode) && S_ISBLK (b->st_mode) &&
      a->st_rdev == b->st_rdev;
  return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

int
placement_check (const struct remap_config *config,
                 const struct stat *spare_st)
{
  struct stat st;

  if (!stat_main (config, &st))
    return 0;
  if (is_same_object (&st, spare_st)) {
    startup_refuse ("remap: spare %s: is main itself (%s): a disk can't be "
                    "its own spare", config->spare_path, config->main_path);
    return -1;
  }
  if (S_ISBLK (st.st_mode) && !config->spare_same_disk &&
      disk_is_same (st.st_rdev, S_ISBLK (spare_st->st_mode) ?
                    spare_st->st_rdev : spare_st->st_dev)) {
    startup_refuse ("remap: spare %s: lies on the disk that main (%s) is on: "
                    "put it on another one, or say spare-same-disk=yes if you "
                    "must", config->spare_path, config->main_path);
    return -1;
  }
  return 0;
}

int
placement_check_copy (const struct remap_config *config, const char *path,
                      const struct stat *copy_st, struct message *message)
{
  struct stat st;

  if (stat (config->spare_path, &st) == 0 && is_same_object (&st, copy_st)) {
    message_set (message, "copy %.200s: is the spare: give the copy a file or "
                 "device of its own", path);
    return EINVAL;
  }
  if (!stat_main (config, &st))
    return 0;
  if (is_same_object (&st, copy_st)) {
    message_set (message, "copy %.200s: is main itself (%.200s): give it "
                 "another disk, or a file on one", path, config->main_path);
    return EINVAL;
  }
  if (S_ISBLK (st.st_mode) &&
      disk_is_same (st.st_rdev, S_ISBLK (copy_st->st_mode) ?
                    copy_st->st_rdev : copy_st->st_dev)) {
    message_set (message, "copy %.200s: lies on the disk that main (%.200s) is "
                 "on: nothing would be rescued: put it on another one", path,
                 config->main_path);
    return EINVAL;
  }
  return 0;
}

void
placement_warn (const struct remap_config *config, int fd,
                const struct stat *spare_st)
{
  struct stat st;

  if (filesystem_is_memory (fd))
    startup_say ("warning: spare %s: is in memory, and is gone at the next "
                 "power cut, with all that was moved there: put it on a disk",
                 config->spare_path);
  else if (S_ISREG (spare_st->st_mode) && stat_main (config, &st) &&
           S_ISREG (st.st_mode) && st.st_dev == spare_st->st_dev)
    startup_say ("warning: spare %s: lies on the filesystem that main (%s) is "
                 "on: if its disk fails, both may be lost: put the spare on "
                 "another disk", config->spare_path, config->main_path);
}

void
placement_main_label (const struct remap_config *config, char *label,
                      size_t size)
{
  struct stat st;

  if (!stat_main (config, &st) || !S_ISBLK (st.st_mode))
    return;
  disk_label (st.st_rdev, label, size);
  if (!config->main_is_direct)
    startup_say ("warning: main (%s) is a block device behind the page cache: "
                 "bad sectors that are written go unnoticed until the next "
                 "flush, and reads fail for 4 KiB around each.  Use the direct "
                 "plugin: nbdkit --filter=remap direct %s ...",
                 config->main_path, config->main_path);
}
