/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The words of a message.
 */

#ifndef REMAP_MONITOR_COMPOSE_H
#define REMAP_MONITOR_COMPOSE_H

#include "watched.h"

/* What a message is for. */
enum message_kind {
  MESSAGE_PROBLEM,                      /* it is worse than was said */
  MESSAGE_EVENT,                        /* something has happened */
  MESSAGE_REMINDER,
  MESSAGE_RECOVERY,
  MESSAGE_GONE,                         /* not watched any more */
  MESSAGE_TEST,
};

struct composed {
  struct stored_alert alert;
  char *subject, *text, *json;          /* owned; alert points to them */
};

/* W may be NULL for a test; STORE too, then. */
extern bool compose (struct composed *c, enum message_kind kind,
                     const struct watched *w, struct store *store);
extern void compose_free (struct composed *c);

#endif /* REMAP_MONITOR_COMPOSE_H */
