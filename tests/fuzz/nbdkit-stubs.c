/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * What a filter calls of nbdkit while its parameters are parsed, without
 * nbdkit.  What only a server that runs would call aborts.
 */

#include <config.h>

#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "fuzz.h"

/* Formats the message, so that its arguments are read. */
static void
format (const char *fs, va_list args)
{
  char text[1024];

  vsnprintf (text, sizeof text, fs, args);
}

void
nbdkit_error (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  format (fs, args);
  va_end (args);
}

int
nbdkit_nanosleep (unsigned sec, unsigned nsec)
{
  return -1;
}

void
nbdkit_debug (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  format (fs, args);
  va_end (args);
}

int
nbdkit_parse_bool (const char *str)
{
  static const char *const yes[] = { "1", "true", "t", "yes", "y", "on" };
  static const char *const no[] = { "0", "false", "f", "no", "n", "off" };

  for (int i = 0; i < 6; i++) {
    if (strcasecmp (str, yes[i]) == 0)
      return 1;
    if (strcasecmp (str, no[i]) == 0)
      return 0;
  }
  nbdkit_error ("could not decipher boolean (%s)", str);
  return -1;
}

int64_t
nbdkit_parse_size (const char *str)
{
  static const char units[] = "bkmgtpe";
  const char *unit;
  char *end;
  long long n;
  int64_t size;

  errno = 0;
  n = strtoll (str, &end, 10);
  if (errno != 0 || end == str || n < 0)
    return -1;
  size = n;
  if (*end == 's' || *end == 'S')
    return end[1] || __builtin_mul_overflow (size, (int64_t) 512, &size)
      ? -1 : size;
  if (*end == '\0')
    return size;
  unit = strchr (units, *end | 0x20);
  if (unit == NULL || *unit == '\0' || end[1] != '\0')
    return -1;
  for (; unit > units; unit--)
    if (__builtin_mul_overflow (size, (int64_t) 1024, &size))
      return -1;
  return size;
}

static int
parse_unsigned (const char *str, uint64_t max, uint64_t *n)
{
  char *end;

  errno = 0;
  *n = strtoull (str, &end, 0);
  return errno != 0 || end == str || *end != '\0' || *str == '-' || *n > max
    ? -1 : 0;
}

int
nbdkit_parse_unsigned (const char *what, const char *str, unsigned *r)
{
  uint64_t n;

  if (parse_unsigned (str, UINT32_MAX, &n) == -1)
    return -1;
  *r = n;
  return 0;
}

int
nbdkit_parse_uint32_t (const char *what, const char *str, uint32_t *r)
{
  uint64_t n;

  if (parse_unsigned (str, UINT32_MAX, &n) == -1)
    return -1;
  *r = n;
  return 0;
}

int
nbdkit_parse_uint64_t (const char *what, const char *str, uint64_t *r)
{
  return parse_unsigned (str, UINT64_MAX, r);
}

char *
nbdkit_absolute_path (const char *path)
{
  size_t len = strlen (path);
  char *r = malloc (len + 2);

  MUST (r != NULL);
  r[0] = '/';
  memcpy (r + (*path != '/'), path, len + 1);
  return r;
}

char *
nbdkit_realpath (const char *path)
{
  return nbdkit_absolute_path (path);
}

/* ---- not while parameters are parsed ---------------------------------- */

int
nbdkit_add_extent (struct nbdkit_extents *extents, uint64_t offset,
                   uint64_t length, uint32_t type)
{
  abort ();
}

nbdkit_backend *
nbdkit_context_get_backend (nbdkit_context *context)
{
  abort ();
}

nbdkit_next *
nbdkit_context_set_next (nbdkit_context *context, nbdkit_next *next)
{
  abort ();
}

size_t
nbdkit_extents_count (const struct nbdkit_extents *extents)
{
  abort ();
}

void
nbdkit_extents_free (struct nbdkit_extents *extents)
{
  abort ();
}

struct nbdkit_extents *
nbdkit_extents_new (uint64_t start, uint64_t end)
{
  abort ();
}

struct nbdkit_extent
nbdkit_get_extent (const struct nbdkit_extents *extents, size_t i)
{
  abort ();
}

void
nbdkit_next_context_close (nbdkit_next *next)
{
  abort ();
}

nbdkit_next *
nbdkit_next_context_open (nbdkit_backend *backend, int readonly,
                          const char *exportname, int shared)
{
  abort ();
}

int
nbdkit_use_default_export (struct nbdkit_exports *exports)
{
  abort ();
}

int
nbdkit_peer_name (struct sockaddr *addr, socklen_t *addrlen)
{
  abort ();
}

int64_t
nbdkit_peer_pid (void)
{
  abort ();
}
