/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Reads the plugin's parameters.
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include <nbdkit-plugin.h>

#include "parameters.h"

struct direct_config config = { .timeout = 30 };

static int
parse_method (const char *value)
{
  if (strcmp (value, "auto") == 0)
    config.method = METHOD_AUTO;
  else if (strcmp (value, "uring") == 0)
    config.method = METHOD_URING;
  else if (strcmp (value, "threads") == 0)
    config.method = METHOD_THREADS;
  else {
    nbdkit_error ("direct-io=%s: must be 'auto', 'uring' or 'threads'",
                  value);
    return -1;
  }
  return 0;
}

static int
parse_bool (bool *b, const char *value)
{
  int r = nbdkit_parse_bool (value);

  if (r == -1)
    return -1;
  *b = r;
  return 0;
}

int
parameters_set (const char *key, const char *value)
{
  if (strcmp (key, "device") == 0) {
    if (config.device) {
      nbdkit_error ("direct: device=%s: another one was given before",
                    value);
      return -1;
    }
    if (*value == '\0') {
      nbdkit_error ("direct: device=: a path is needed");
      return -1;
    }
    config.device = nbdkit_absolute_path (value);
    return config.device ? 0 : -1;
  }
  else if (strcmp (key, "direct-trim") == 0)
    return parse_bool (&config.trim, value);
  else if (strcmp (key, "direct-force") == 0)
    return parse_bool (&config.force, value);
  else if (strcmp (key, "direct-timeout") == 0)
    return nbdkit_parse_unsigned ("direct-timeout", value, &config.timeout);
  else if (strcmp (key, "direct-io") == 0)
    return parse_method (value);

  nbdkit_error ("direct: there is no parameter '%s'", key);
  return -1;
}

int
parameters_check (void)
{
  if (config.device == NULL) {
    nbdkit_error ("direct: device=PATH is required: the block device or "
                  "file to serve");
    return -1;
  }
  return 0;
}

void
parameters_free (void)
{
  free (config.device);
}
