/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The command line: what all commands share of it.
 */

#ifndef REMAPCTL_OPTIONS_H
#define REMAPCTL_OPTIONS_H

#include <getopt.h>
#include <stdbool.h>
#include <stdint.h>

struct ctl;

struct command {
  const char *name;
  int (*run) (struct ctl *ctl, int argc, char **argv);   /* exit status */
  const char *arguments, *what;         /* for --help */
  const char *example;                  /* the same: a whole line */
  bool no_json;                         /* there is nothing for --json */
};

/* The options that all commands share. */
struct ctl {
  const struct command *commands;       /* all; one without a name ends them */
  const char *command;     /* for messages; NULL before it is known */
  const char *socket;      /* NULL: not given */
  const char *name;        /* of a server; NULL: not given */
  bool json;
  unsigned timeout;        /* seconds to wait for a reply; 0: for ever */
};

/* The value of a command's first option that isn't a character. */
#define FIRST_OPTION 256

/* getopt_long, which has done the shared options: returns the value of one
 * of OWN (may be NULL), -1 at the end, or '?' after a message.  --help and
 * --version end the program.
 */
extern int next_option (struct ctl *ctl, int argc, char **argv,
                        const struct option *own);

/* False after a message, unless MIN to MAX arguments are left. */
extern bool count_arguments (const struct ctl *ctl, int argc, int min,
                             int max);

/* No options but the shared ones, and MIN to MAX arguments?  False after a
 * message.
 */
extern bool only_arguments (struct ctl *ctl, int argc, char **argv, int min,
                            int max);

/* The value of --spare-offset, in bytes.  False after a message. */
extern bool parse_offset (const struct ctl *ctl, const char *s,
                          uint64_t *offset);

/* START [COUNT], sectors, at argv[optind].  COUNT is 0 if it isn't given.
 * False after a message.
 */
extern bool parse_range (const struct ctl *ctl, int argc, char **argv,
                         uint64_t *start, uint64_t *count);

/* Where such a range ends on a disk of MAIN_SIZE bytes: the first sector
 * after it.  False after a message: the disk doesn't reach so far.
 */
extern bool find_range_end (uint64_t start, uint64_t count,
                            uint64_t main_size, uint64_t *end);

#endif /* REMAPCTL_OPTIONS_H */
