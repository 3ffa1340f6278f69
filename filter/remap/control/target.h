/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the requests of the control socket act upon.  Whoever has an engine
 * and a spare can fill it in: it knows nothing of sockets or nbdkit.
 */

#ifndef REMAP_CONTROL_TARGET_H
#define REMAP_CONTROL_TARGET_H

#include "spare/history.h"
#include "engine/engine.h"

/* Counters at one moment, for the rates. */
struct control_sample {
  uint64_t ms;                  /* clock_now_ms */
  uint64_t v[9];                /* by enum rate in status.c */
};

/* Over 60 minutes. */
#define CONTROL_SAMPLE_MS 5000
#define CONTROL_SAMPLES (60 * 60 * 1000 / CONTROL_SAMPLE_MS + 1)

/* A client of the export. */
struct control_client {
  uint64_t since;               /* seconds since 1970 */
  long pid;                     /* of this host; 0: unknown */
  char address[64];             /* over the network; "": unknown */
};

/* What copies main when nobody is in its way.  Numbers are sectors. */
struct control_copier {
  enum {
    CONTROL_COPIER_IDLE, CONTROL_COPIER_RUNS, CONTROL_COPIER_PAUSED,
    CONTROL_COPIER_WAITS,
  } state;
  uint64_t at, end, copied, bad;
  char why[128];                /* it waits */
};

/* Nothing that the pointers lead to is owned, except the samples. */
struct control_target {
  struct engine *engine;
  struct spare *spare;
  const struct map *map;
  struct spare_history *history;
  struct events *events;
  struct background *background;
  const char *version, *spare_path;
  uint32_t preferred, maximum;  /* of main, bytes; maximum 0: none */
  bool lost_zero;
  bool grows;                   /* the spare, by itself */
  const char *copy_path;        /* NULL: there is no copy, nor what follows */
  void (*copy_range) (void *opaque, sector_t start, uint64_t count);
  void (*copy_pause) (void *opaque, bool pause);
  void (*get_copier) (void *opaque, struct control_copier *copier);

  /* Any thread may call these functions. */

  /* Main, for one request, which may write to it if WRITE is set; put_main
   * follows.  Returns 0, or an errno with MESSAGE set.
   */
  int (*get_main) (void *opaque, bool write, struct engine_conn **conn,
                   struct message *message);
  void (*put_main) (void *opaque);

  /* Should whoever has main give it back soon?  May be NULL. */
  bool (*main_is_wanted) (void *opaque);

  /* Enlarges the spare to SIZE bytes.  Returns 0, or an errno with MESSAGE
   * set.
   */
  int (*grow) (void *opaque, uint64_t size, struct message *message);

  /* Who is connected: up to MAX of them, and returns how many there are.  And
   * has the server been told to end?  NULL: nobody, and no.
   */
  unsigned (*get_clients) (void *opaque, struct control_client *v,
                           unsigned max);
  bool (*is_stopping) (void *opaque);

  /* Is it certain that no client can write?  May be NULL: no. */
  bool (*is_read_only) (void *opaque);

  /* Bytes that the spare's filesystem has free (UINT64_MAX: it is a device),
   * and those that the free slots have yet to get of it.  May be NULL.
   */
  void (*get_room) (void *opaque, uint64_t *free, uint64_t *promised);
  void *opaque;

  /* Times, and samples in a ring: status.h fills them in.  They belong to
   * one thread: the one that calls control_target_sample, and
   * control_execute for requests that aren't slow.
   */
  uint64_t started_ms;          /* clock_now_ms */
  uint64_t started;             /* seconds since 1970 */
  uint64_t since;               /* events are counted; seconds since 1970 */
  struct control_sample *samples;
  unsigned nr_samples, newest;
  uint64_t holds_since;         /* clock_now_ms; so many were told one by one */
  unsigned holds_told;          /* since then */
};

#endif /* REMAP_CONTROL_TARGET_H */
