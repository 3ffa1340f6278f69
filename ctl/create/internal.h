/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the parts of the create command know of the server that is created.
 */

#ifndef REMAPCTL_CREATE_INTERNAL_H
#define REMAPCTL_CREATE_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Exit statuses: they say more than those of the other commands. */
enum create_status {
  CREATE_DONE = 0,
  CREATE_ADJUSTED = 1,      /* done, with other values than were given */
  CREATE_SECTOR_SIZES = 2,  /* they differ */
  CREATE_ARGUMENTS = 3,
  CREATE_MAIN = 4,          /* main_dev can't be used */
  CREATE_SPARE = 5,         /* spare_dev can't be used */
  CREATE_NAME_TAKEN = 6,    /* a server of that name is running */
  CREATE_FILES = 7,         /* run-time directory or log file */
  CREATE_NO_NBDKIT = 8,     /* it can't be run */
  CREATE_NOT_STARTED = 9,   /* it ended before it was ready */
};

/* A disk, or a file that stands for one. */
struct target {
  char *path;                           /* absolute */
  bool exists, is_block;
  bool is_image;                        /* a loop device over a file */
  uint64_t size;                        /* bytes */
  uint32_t logical, physical;           /* bytes; 0: a file matches any */
};

struct create {
  /* arguments */
  const char *main_arg, *spare_arg, *logfile_arg, *name;
  const char *status_group;             /* NULL: the user's own */
  const char *listen_address, *listen_port;  /* NULL: a Unix socket */
  uint64_t main_start, spare_start, spare_total;  /* sectors */
  bool has_total, same_disk, dry_run;
  bool new_spare, older_spare;          /* whatever the state folder says */
  bool unit;                            /* no server, but the unit's file */
  bool read_only;
  bool for_copying;                     /* set together with read_only */
  char **extra;                         /* arguments for nbdkit */
  int nr_extra;

  /* devices and fit */
  struct target main, spare;
  bool spare_valid;                     /* a spare is at spare_start */
  char *label;                          /* NULL: the filter's own default */
  char *adjusted;                       /* lines of text, "" if nothing was */

  char *logfile;
  char *state_folder;
  char *control, *status, *pid, *nbd;   /* paths */
  char **argv;                          /* of nbdkit, ends with NULL */
  size_t argc;
};

#endif /* REMAPCTL_CREATE_INTERNAL_H */
