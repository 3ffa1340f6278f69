/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A filter's parameters, as nbdkit passes them on: one target for each
 * filter, linked with all of it.  Each line of an input is a parameter: a
 * byte that chooses one of the filter's keys, then the value; or, if there
 * is a '=' in the line, the key as it stands.
 */

#include <config.h>

#include <string.h>

#include <nbdkit-filter.h>

#include "fuzz.h"

extern struct nbdkit_filter *filter_init (void);

static const char *const keys[] = {
  "spare", "spare-create", "spare-size", "spare-grow", "spare-max",
  "spare-offset", "spare-same-disk",
  "remap-auto", "remap-retries", "main-lost-wait", "main-vanish-max",
  "remap-readonly-disk", "remap-lost", "remap-label",
  "remap-control", "remap-status", "remap-status-group", "file",
  "baddisk-list", "baddisk-block", "baddisk-random", "baddisk-seed",
  "baddisk-cluster", "baddisk-fail", "baddisk-errno", "baddisk-recover",
  "baddisk-heal", "baddisk-partial", "baddisk-delay", "baddisk-fail-delay",
  "baddisk-gone", "baddisk-gone-errno", "baddisk-log", "baddisk-clock",
  "baddisk-stream", "baddisk-slow", "baddisk-heads", "baddisk-heads-fail",
  "baddisk-vanish", "baddisk-vanish-time", "baddisk-vanish-requests",
  "baddisk-readonly", "baddisk-readonly-after", "baddisk-readonly-errno",
  "baddisk-reads",
};
#define NR_KEYS (sizeof keys / sizeof keys[0])

/* The plugin takes everything. */
static int
next_config (nbdkit_backend *nxdata, const char *key, const char *value)
{
  MUST (strlen (key) + strlen (value) < SIZE_MAX);
  return 0;
}

static int
next_config_complete (nbdkit_backend *nxdata)
{
  return 0;
}

/* nbdkit takes only keys of these characters for keys. */
static size_t
key_length (const char *line)
{
  size_t n = strspn (line, "abcdefghijklmnopqrstuvwxyz"
                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

  return line[n] == '=' ? n : 0;
}

static void
one_parameter (const struct nbdkit_filter *f, char *line)
{
  size_t n = key_length (line);

  if (n > 0) {
    line[n] = '\0';
    f->config (next_config, NULL, line, line + n + 1);
  }
  else if (line[0] != '\0')
    f->config (next_config, NULL, keys[(uint8_t) line[0] % NR_KEYS],
               line + 1);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  static struct nbdkit_filter *f;
  char *text, *line, *rest;

  if (f == NULL)
    f = filter_init ();
  text = malloc (size + 1);
  MUST (text != NULL);
  memcpy (text, data, size);
  text[size] = '\0';
  for (rest = text; (line = strsep (&rest, "\n")) != NULL;)
    one_parameter (f, line);
  if (f->config_complete)
    f->config_complete (next_config_complete, NULL);
  free (text);
  /* Frees what the parameters hold; the next input goes on from there, as
   * a parameter that is given twice does.
   */
  f->unload ();
  return 0;
}
