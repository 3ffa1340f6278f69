/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Whether work that nobody waits for has to pause, since somebody who watches
 * the disk (its temperature, say) has asked for that.  A hold ends by itself
 * after BACKGROUND_HOLD_MS, unless it is renewed: so a monitor that dies stops
 * nothing for long.  Several programs may hold it; it is held as long as one of
 * them does.
 *
 * Any thread may call these functions.
 */

#ifndef REMAP_CONTROL_BACKGROUND_H
#define REMAP_CONTROL_BACKGROUND_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#define BACKGROUND_HOLD_MS (10 * 60 * 1000)
#define BACKGROUND_HOLDERS 8U
#define BACKGROUND_NAME 64U     /* bytes of a holder's name, NUL included */

struct background {
  pthread_mutex_t mutex;        /* guards what follows */
  struct background_holder {
    char name[BACKGROUND_NAME]; /* "": none */
    uint64_t until_ms;          /* clock_now_ms */
  } holder[BACKGROUND_HOLDERS];
};

extern void background_init (struct background *b);
extern void background_destroy (struct background *b);

/* NAME holds it from NOW (clock_now_ms) on, or once more.  *NEWS: it didn't
 * before.  False: as many as there can be hold it already.
 */
extern bool background_hold (struct background *b, const char *name,
                             uint64_t now, bool *news);

/* NAME holds it no more.  False: it didn't. */
extern bool background_release (struct background *b, const char *name,
                                uint64_t now);

/* Is it held at NOW? */
extern bool background_held (struct background *b, uint64_t now);

/* Those who hold it, up to BACKGROUND_HOLDERS; returns how many. */
extern unsigned background_holders (
  struct background *b, uint64_t now,
  struct background_holder holders[BACKGROUND_HOLDERS]);

#endif /* REMAP_CONTROL_BACKGROUND_H */
