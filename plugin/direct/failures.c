/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include <nbdkit-plugin.h>

#include "base/clock.h"
#include "failures.h"
#include "parameters.h"

#define SUM_MS 5000
#define MAX_KINDS 8             /* read, write, zero, trim, flush, extents */

/* What has been told of a kind, and how many have not. */
struct kind {
  const char *what;             /* NULL: none yet */
  uint64_t until_ms, untold;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct kind kinds[MAX_KINDS];    /* guarded by MUTEX */

/* The mutex is held. */
static struct kind *
find (const char *what)
{
  unsigned i = 0;

  while (i < MAX_KINDS - 1 && kinds[i].what &&
         strcmp (kinds[i].what, what) != 0)
    i++;
  kinds[i].what = what;
  return &kinds[i];
}

static void
log_untold (const char *what, uint64_t n)
{
  if (n > 0)
    nbdkit_error ("direct: %s: %" PRIu64 " more failures of: %s",
                  config.device, n, what);
}

void
failures_note (const char *what, uint32_t count, uint64_t offset, int err)
{
  const uint64_t now = clock_now_ms ();
  uint64_t untold = 0;
  struct kind *k;
  bool tell;

  nbdkit_debug ("direct: %s: failed %s of %" PRIu32 " bytes at %" PRIu64
                ": %s", config.device, what, count, offset, strerror (err));
  pthread_mutex_lock (&mutex);
  k = find (what);
  tell = now >= k->until_ms;
  if (tell) {
    untold = k->untold;
    k->untold = 0;
    k->until_ms = now + SUM_MS;
  }
  else
    k->untold++;
  pthread_mutex_unlock (&mutex);
  if (!tell)
    return;
  log_untold (what, untold);
  nbdkit_error ("direct: %s: %s of %" PRIu32 " bytes at %" PRIu64 ": %s",
                config.device, what, count, offset, strerror (err));
}

void
failures_end (void)
{
  for (unsigned i = 0; i < MAX_KINDS; i++) {
    log_untold (kinds[i].what, kinds[i].untold);
    kinds[i].untold = 0;
  }
}
