/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * create: what its parts share.
 */

#ifndef REMAPCTL_CREATE_H
#define REMAPCTL_CREATE_H

#include "remapctl.h"

/* Exit statuses; those of the other commands would say less. */
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
  const char *main_arg, *spare_arg, *logfile_arg, *name;
  const char *listen_address, *listen_port;  /* NULL: a Unix socket */
  uint64_t main_start, spare_start, spare_total;  /* sectors */
  bool has_total, same_disk, dry_run;
  bool unit;                            /* a dry run, too */

  struct target main, spare;
  bool spare_valid;                     /* there is one at spare_start */
  char *label;                          /* NULL: the filter's own default */
  char *logfile;
  char *adjusted;                       /* lines of text, "" if nothing was */

  char *control, *pid, *nbd;            /* paths */
  char **argv;                          /* of nbdkit, ends with NULL */
  size_t argc;
};

/* create-devices.c.  Each returns 0 or an exit status, after a message. */
extern int create_look (struct create *c);
extern int create_align (struct create *c);

/* create-start.c */
extern void create_command (struct create *c);
extern char *create_command_text (const struct create *c);
extern int create_name_taken (const struct create *c);
extern int create_start (struct create *c, FILE *log);

/* create-unit.c */
extern int create_print_unit (const struct create *c, FILE *fp);

#endif /* REMAPCTL_CREATE_H */
