/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdarg.h>

#include "base/message.h"
#include "engine/internal.h"
#include "engine/log.h"

void
engine_log (struct engine *e, enum engine_log_level level,
            const char *fs, ...)
{
  struct message m;
  va_list args;

  if (e->config.log == NULL)
    return;
  va_start (args, fs);
  vsnprintf (m.text, sizeof m.text, fs, args);
  va_end (args);
  e->config.log (e->config.opaque, level, m.text);
}

void
log_sectors (struct engine *e, uint64_t start, uint64_t end,
             const char *what)
{
  engine_log (e, ENGINE_LOG_WARNING,
              "sectors %" PRIu64 "-%" PRIu64 " (offset 0x%" PRIx64
              ", %" PRIu64 " bytes): %s",
              sector_of (start), sector_of (end - 1), start, end - start,
              what);
}

void
log_moved (struct engine *e, uint64_t start, uint64_t end, uint64_t n)
{
  if (n > 0)
    engine_log (e, ENGINE_LOG_DEBUG, "bytes 0x%" PRIx64 "-0x%" PRIx64 ": %"
                PRIu64 " sectors remapped (write)", start, end - 1, n);
}
