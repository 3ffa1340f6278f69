/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A server that is watched, and the list of them.  One thread has them all.
 * finder.c says which there are, follow.c asks them, judge.c decides what is
 * told.  Times that end in _ms are those of base/clock.h.
 */

#ifndef REMAP_MONITOR_WATCHED_H
#define REMAP_MONITOR_WATCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <jansson.h>

#include "smart.h"
#include "store.h"

/* More than there are disks in a machine: others aren't looked at. */
#define MAX_WATCHED 256

/* A connection of which an answer may be awaited. */
struct link {
  struct connection *c;                 /* NULL: none */
  bool asked;
  uint64_t deadline_ms;                 /* if asked */
};

struct watched {
  char *name, *path;                    /* owned */
  bool configured;                      /* it should be there */
  bool present;                         /* its socket is */

  /* The second connection has three kinds of questions. */
  struct link events, asking;
  enum { ASKED_STATUS, ASKED_MAP, ASKED_HOLD } asked;
  struct smart smart;
  bool holding;                         /* its background work */
  uint64_t hold_ms;                     /* when to ask for that again */
  uint64_t events_ms, status_ms, map_ms;        /* when to ask next */
  unsigned failures;                    /* one after the other */

  /* What it has said.  The last status stays when it doesn't answer. */
  json_t *status, *map;                 /* NULL: nothing yet */
  bool up;
  char *why;                            /* it isn't up; owned */
  uint64_t down_ms;                     /* since when, or the start */
  uint64_t changes;                     /* counts up when a page would differ */
  unsigned added;                       /* events since the last pruning */

  /* What is told. */
  struct stored_server stored;
  bool known;                           /* stored was read */
  uint64_t news_ms;                     /* since when there is some; 0 */
  uint64_t well_ms;                     /* since when all is; 0 */
  bool looked;                          /* there may be news since */
};

struct watch_list {
  struct watched *v[MAX_WATCHED];
  size_t n;
};

#endif /* REMAP_MONITOR_WATCHED_H */
