/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The parameters of the baddisk filter.  They are set while nbdkit reads
 * its command line, by one thread, and are read-only from get_ready on.
 * What is wrong with one has been reported (nbdkit_error) when a function
 * returns -1.
 */

#ifndef BADDISK_PARAMETERS_H
#define BADDISK_PARAMETERS_H

#include <errno.h>

#include "heads.h"
#include "operation.h"
#include "random.h"
#include "readonly.h"

/* What a failed write leaves on the disk. */
enum partial { PARTIAL_NONE, PARTIAL_GOOD, PARTIAL_RANDOM };

/* Paths are absolute, and owned.  Times are in nanoseconds. */
struct params {
  char *list;                   /* NULL: none */
  uint32_t block;               /* of badblocks lists, bytes */
  bool random;                  /* areas at random */
  struct random_choice choice;  /* which */
  struct heads heads;
  bool heads_fail[NR_OPS];      /* on dead heads; as fail */
  bool fail[NR_OPS];            /* read (and cache), write, zero */
  int error;                    /* errno */
  uint32_t recover;             /* the try that succeeds; 0: none does */
  bool heal_write;
  enum partial partial;
  uint64_t delay, fail_delay;
  bool clock;                   /* sum delays up, don't wait */
  uint64_t stream;              /* for STREAM_UNIT bytes, with the clock */
  char *slow;                   /* list of slow areas; NULL: none */
  uint64_t slow_time;           /* what they take longer */
  char *gone;                   /* NULL: never */
  char *vanish;                 /* list of sectors; NULL: none */
  uint64_t vanish_time;         /* how long it is away then, at least */
  uint32_t vanish_requests;     /* how many fail then, at least */
  int gone_error;               /* errno */
  char *readonly;               /* NULL: none */
  uint64_t readonly_after;      /* writes; or NEVER */
  int readonly_error;           /* errno */
  char *log;                    /* NULL: none */
  char *reads;                  /* NULL: they are not counted */
};

/* Not given: params_complete knows the default. */
#define DELAY_UNSET UINT64_MAX

#define DEFAULT_PARAMS                                                     \
  {                                                                        \
    .block = 1024,                                                         \
    .choice.cluster = 1,                                                   \
    .heads_fail = { [OP_READ] = true, [OP_CACHE] = true },                 \
    .fail = { [OP_READ] = true, [OP_WRITE] = true, [OP_ZERO] = true,       \
              [OP_CACHE] = true },                                         \
    .error = EIO,                                                          \
    .delay = DELAY_UNSET,                                                  \
    .fail_delay = DELAY_UNSET,                                             \
    .stream = 150000,                                                      \
    .vanish_time = DELAY_UNSET,                                            \
    .gone_error = ENODEV,                                                  \
    .readonly_after = NEVER,                                               \
    .readonly_error = EROFS,                                               \
  }

/* What --help says of them. */
extern const char params_help[];

/* 1: set; 0: not a parameter of this filter; -1: error. */
extern int params_set (struct params *params, const char *key,
                       const char *value);

/* Once all of them are known: the defaults that depend on others. */
extern void params_complete (struct params *params);

/* Frees what they own. */
extern void params_free (struct params *params);

#endif /* BADDISK_PARAMETERS_H */
