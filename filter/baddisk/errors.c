/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Error numbers by name.
 */

#include <config.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "errors.h"

/* Names that strerrorname_np doesn't give, as their number has another. */
static const struct {
  const char *name;
  int error;
} aliases[] = {
  { "ENOTSUP", ENOTSUP }, { "EOPNOTSUPP", EOPNOTSUPP },
  { "EWOULDBLOCK", EWOULDBLOCK }, { "EDEADLOCK", EDEADLOCK },
};

const char *
error_name (int error, char buf[16])
{
  const char *name = strerrorname_np (error);

  if (name)
    return name;
  snprintf (buf, 16, "%d", error);
  return buf;
}

int
error_number (const char *text)
{
  char *end;
  long n;

  for (int i = 1; i <= MAX_ERRNO; i++) {
    const char *name = strerrorname_np (i);

    if (name && strcmp (name, text) == 0)
      return i;
  }
  for (size_t i = 0; i < sizeof aliases / sizeof aliases[0]; i++)
    if (strcmp (aliases[i].name, text) == 0)
      return aliases[i].error;
  errno = 0;
  n = strtol (text, &end, 10);
  if (errno != 0 || end == text || *end != '\0' || n < 1 || n > MAX_ERRNO)
    return 0;
  return (int) n;
}
