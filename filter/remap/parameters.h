/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The filter's parameters, nbdkit-remap-filter(1).  They are set before
 * there are threads, and don't change from then on.  A wrong one is refused
 * with a message that names it (promise 23 of remap-promises(7)).
 */

#ifndef REMAP_PARAMETERS_H
#define REMAP_PARAMETERS_H

#include <stdbool.h>
#include <stdint.h>

struct remap_config {
  char *spare_path;                     /* absolute */
  int64_t spare_size;                   /* bytes, -1: not given */
  int64_t spare_max;                    /* bytes, -1: not given */
  enum { GROW_AS_CREATED, GROW_AUTO, GROW_OFF } spare_grow;
  uint64_t spare_offset;                /* bytes */
  bool spare_create;
  bool spare_same_disk;
  bool main_grown, main_changed;        /* the operator says so */
  char *state_folder;                   /* absolute; NULL: none */
  bool spare_new, spare_older;          /* whatever the folder says */
  char *rescue_path;                    /* absolute; NULL: no copy */
  bool rescue_trial;
  bool rescue_overwrite;
  bool rescue_ignore_trim;
  int64_t rescue_rate;                  /* bytes a second; 0: no limit */
  bool auto_remap;
  unsigned retries;                     /* of a main block */
  unsigned lost_wait;                   /* seconds */
  unsigned vanish_max;                  /* times, of a main block */
  bool readonly_to_spare;
  bool lost_zero;
  const char *label;                    /* NULL: not given; not owned */
  char *control_path, *status_path;     /* NULL: no such socket */
  unsigned status_group;                /* -1: none was given */

  /* What the plugin's parameters say of main's path. */
  char *main_path;                      /* NULL: nothing */
  bool main_is_direct;                  /* opened with O_DIRECT */
  bool main_is_block;                   /* a block device */
  bool main_is_part;                    /* main is only a part of it, */
  int64_t main_offset;                  /* from this byte on, */
  int main_partition;                   /* or this partition; 0: none */

  /* Of which disks there are (main-plugin.h). */
  const char *directory_key;            /* NULL: no directory is given */
  bool dynamic_export;
};

#define PARAMETERS_DEFAULT \
  { .spare_size = -1, .spare_max = -1, .spare_create = true, \
    .auto_remap = true, .retries = 1, .lost_wait = 30, .vanish_max = 2, \
    .status_group = -1 }

#define PARAMETERS_HELP \
  "spare=PATH           (required) file or block device for bad sectors\n" \
  "spare-create=BOOL    create or format a new spare (default: yes)\n" \
  "spare-size=SIZE      size of a new spare (default: 1/64 of the disk,\n" \
  "                     at least 64M, at most 4G)\n" \
  "spare-grow=auto|off  a spare file is enlarged before it is full\n" \
  "                     (default: if it was created without spare-size)\n" \
  "spare-max=SIZE       how large it may become (default: as large as the\n" \
  "                     filesystem, less 10%)\n" \
  "spare-offset=SIZE    where the spare begins in PATH (default: 0)\n" \
  "spare-main-grown=BOOL the disk has grown since the spare was made\n" \
  "spare-main-changed=BOOL\n" \
  "                     the disk isn't as the spare knows it, and is the\n" \
  "                     right one all the same\n" \
  "spare-same-disk=BOOL the spare may be on the same disk (default: no)\n" \
  "spare-state=FOLDER   remembers which spare a disk has, and misses it\n" \
  "spare-new=BOOL       another spare is right for this disk (default: no)\n" \
  "spare-older=BOOL     an older copy of its spare is right (default: no)\n" \
  "rescue=PATH          the disk is being moved there, sector by sector\n" \
  "rescue-trial=BOOL    and that may fail: its content is elsewhere, too\n" \
  "rescue-overwrite=BOOL\n" \
  "                     what is there may be overwritten (default: no)\n" \
  "rescue-trim=zero|ignore\n" \
  "                     whether what is trimmed need not be moved\n" \
  "                     (default: zero: it needn't)\n" \
  "rescue-rate=SIZE     how much a second is copied at most, beside what\n" \
  "                     clients read (default: as much as can be)\n" \
  "remap-auto=BOOL      remap bad sectors automatically (default: on)\n" \
  "remap-retries=N      how often a bad block is read again (default: 1)\n" \
  "remap-lost=error|zero\n" \
  "                     what an unreadable sector reads as (default: error)\n" \
  "main-lost-wait=SECONDS\n" \
  "                     how long requests wait for a disk that went away\n" \
  "                     (default: 30)\n" \
  "main-vanish-max=N    how often the disk may vanish with a block before\n" \
  "                     the block is taken for bad (default: 2)\n" \
  "remap-readonly-disk=error|spare\n" \
  "                     what becomes of writes if the disk turns read-only\n" \
  "                     (default: error)\n" \
  "remap-label=TEXT     identity of the disk (default: its WWN or serial)\n" \
  "remap-control=SOCKET a Unix socket for status and commands\n" \
  "remap-status=SOCKET  a Unix socket for what only shows\n" \
  "remap-status-group=GROUP\n" \
  "                     who may connect to it, beside the server's user"

/* Is this key one of the filter's?  Also those that begin as its do. */
extern bool parameters_has (const char *key);

/* Sets one of the filter's.  Returns 0, or -1 after nbdkit_error.  VALUE
 * lives as long as the server.
 */
extern int parameters_set (struct remap_config *config, const char *key,
                           const char *value);

/* Looks at one that the layer below has accepted. */
extern void parameters_note (struct remap_config *config, const char *key,
                             const char *value);

/* All have been given: returns 0, or -1 after nbdkit_error. */
extern int parameters_complete (const struct remap_config *config);

extern void parameters_free (struct remap_config *config);

#endif /* REMAP_PARAMETERS_H */
