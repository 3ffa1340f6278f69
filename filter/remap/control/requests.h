/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What the requests of the control socket do.  Knows nothing of sockets or
 * nbdkit: whoever has an engine and a spare can use it.
 */

#ifndef REMAP_CONTROL_REQUESTS_H
#define REMAP_CONTROL_REQUESTS_H

#include <stdatomic.h>

#include "spare/history.h"
#include "engine/engine.h"
#include "control/protocol.h"

/* Counters at one moment, for the rates. */
struct control_sample {
  uint64_t ms;                  /* of a clock that never goes back */
  uint64_t v[8];                /* by enum rate in control-status.c */
};

/* Over 60 minutes. */
#define CONTROL_SAMPLE_MS 5000
#define CONTROL_SAMPLES (60 * 60 * 1000 / CONTROL_SAMPLE_MS + 1)

/* What requests act upon, and what status tells besides.  Nothing of it is
 * owned.
 */
struct control_target {
  struct engine *engine;
  struct spare *spare;
  const struct map *map;
  struct spare_history *history;
  const char *version, *spare_path;
  uint32_t preferred, maximum;  /* of main, bytes; maximum 0: none */
  bool lost_zero;

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
  void *opaque;

  /* Times, and samples in a ring.  Of one thread: the one that calls
   * control_target_init, control_target_sample, and control_execute for
   * requests that aren't slow.
   */
  uint64_t started_ms;
  uint64_t since;               /* events are counted; seconds since 1970 */
  struct control_sample *samples;
  unsigned nr_samples, newest;
};

/* Fills in times and samples; the rest was filled in before.  Returns 0 or
 * ENOMEM.
 */
extern int control_target_init (struct control_target *t);
extern void control_target_free (struct control_target *t);

/* To be called every CONTROL_SAMPLE_MS.  NOW: as control_now_ms. */
extern void control_target_sample (struct control_target *t, uint64_t now);
extern uint64_t control_now_ms (void);

/* Executes a request whose words were in order, and returns the reply (NULL:
 * out of memory).  Slow ones may be executed by any thread, several at
 * once, and end soon when STOP becomes true.
 */
extern json_t *control_execute (struct control_target *t,
                                struct control_request *rq,
                                const atomic_bool *stop);

/* control-status.c */
extern json_t *control_status (struct control_target *t);

#endif /* REMAP_CONTROL_REQUESTS_H */
