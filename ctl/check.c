/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <string.h>

#include "check.h"

static int
rank (enum exit_status s)
{
  switch (s) {
  case STATUS_DONE: return 0;
  case STATUS_DEGRADED: return 1;
  case STATUS_CRITICAL: return 2;
  default: return 3;
  }
}

enum exit_status
check_health (const char *health)
{
  if (strcmp (health, "ok") == 0)
    return STATUS_DONE;
  return strcmp (health, "degraded") == 0 ? STATUS_DEGRADED : STATUS_CRITICAL;
}

enum exit_status
check_worse (enum exit_status a, enum exit_status b)
{
  return rank (b) > rank (a) ? b : a;
}
