/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Who uses a spare, as its owner stamp says it (remap-spare(5)), and what is
 * asked of the host about that.
 */

#ifndef REMAP_OWNER_H
#define REMAP_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#define OWNER_HOST_MAX 64               /* bytes, without NUL */

/* A process.  What isn't known is all zeroes. */
struct owner {
  uint8_t machine[16];                  /* machine-id(5) */
  uint8_t boot[16];                     /* random, of this boot of the kernel */
  uint32_t pid_namespace, time_namespace; /* inode numbers */
  uint64_t pid, start;                  /* in its namespaces; clock ticks */
  char host[OWNER_HOST_MAX + 1];
};

enum owner_fate {
  OWNER_UNKNOWN,
  OWNER_ALIVE,
  OWNER_DEAD,
};

/* What a user of stamps provides; it must live as long as the spare is open. */
struct owner_env {
  struct owner self;

  /* What has become of another owner, as far as it can be seen from here. */
  enum owner_fate (*fate) (void *opaque, const struct owner *other);

  /* Milliseconds of a clock that never goes back, nor stands still while the
   * machine is suspended.
   */
  uint64_t (*now_ms) (void *opaque);
  void (*sleep_ms) (void *opaque, unsigned ms);

  /* It is going to be waited for this owner, for so long.  May be NULL. */
  void (*waits) (void *opaque, const struct owner *other, unsigned ms);

  void *opaque;
};

#endif /* REMAP_OWNER_H */
