/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "spare/features.h"

static const char *const known[] = { "attributes", "reasons", "rescued" };

_Static_assert (FEATURES_KNOWN ==
                (1U << sizeof known / sizeof known[0]) - 1, "known");

void
features_name (struct feature_names *names, uint32_t incompat)
{
  for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++)
    if (incompat & 1U << i)
      strncpy (names->name[i], known[i], FEATURE_NAME);
}

/* The header may have been written by anybody: characters of a name that can
 * be printed.
 */
static int
name_length (const char *name)
{
  int n = 0;

  while (n < FEATURE_NAME && name[n] > ' ' && name[n] < 127)
    n++;
  return n;
}

static size_t
add_names (const char (*name)[FEATURE_NAME], uint32_t bits, const char *kind,
           size_t used, char *text, size_t size)
{
  int n;

  for (unsigned i = 0; i < 32 && used < size; i++) {
    const char *comma = used > 0 ? ", " : "";

    if (!(bits & UINT32_C (1) << i))
      continue;
    n = name_length (name[i]);
    if (n > 0)
      n = snprintf (text + used, size - used, "%s%.*s", comma, n, name[i]);
    else
      n = snprintf (text + used, size - used, "%s%s bit %u", comma, kind, i);
    used += n > 0 ? n : 0;
  }
  return used;
}

void
features_text (const struct feature_names *names, uint32_t incompat,
               uint32_t ro_compat, char *text, size_t size)
{
  size_t used;

  text[0] = 0;
  used = add_names (names->name, incompat, "incompatible", 0, text, size);
  add_names (names->name + 32, ro_compat, "read-only", used, text, size);
}
