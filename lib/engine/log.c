/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdarg.h>
#include <time.h>

#include "base/message.h"
#include "engine/events.h"
#include "engine/internal.h"
#include "engine/log.h"

void
engine_log (struct engine *e, const char *fs, ...)
{
  struct message m;
  va_list args;

  if (e->config.log == NULL)
    return;
  va_start (args, fs);
  vsnprintf (m.text, sizeof m.text, fs, args);
  va_end (args);
  e->config.log (e->config.opaque, m.text);
}

/* What a client has overwritten is in a slot as well, but was on main no more.
 */
void
tell_changes (struct engine *e, const struct change_list *list,
              bool by_command, bool recovered)
{
  struct events *ev = e->config.events;

  for (size_t i = 0; i < list->n; i++) {
    const struct change *c = &list->v[i];

    if (c->kind == CHANGE_LOST) {
      atomic_store (&e->last_loss, time (NULL));
      events_tell_sectors (ev, by_command ? EVENT_DECLARED_LOST : EVENT_LOST,
                           c->reason, c->sector, c->count);
    }
    else if (c->kind == CHANGE_REMAP && c->reason != WHY_CLIENT)
      events_tell_sectors (ev, recovered ? EVENT_RECOVERED : EVENT_REMAPPED,
                           c->reason, c->sector, c->count);
  }
}

void
tell_full (struct engine *e, const char *why)
{
  if (!atomic_exchange (&e->told.full, true))
    events_tell (e->config.events, EVENT_SPARE_FULL, "%s", why);
}

void
log_moved (struct engine *e, uint64_t start, uint64_t end, uint64_t n)
{
  if (n > 0)
    engine_log (e, "bytes 0x%" PRIx64 "-0x%" PRIx64 ": %" PRIu64
                " sectors remapped (write)", start, end - 1, n);
}
