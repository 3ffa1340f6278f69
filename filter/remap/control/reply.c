/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "control/reply.h"

/* Text that grows. */
struct text {
  char *s;
  size_t len, cap;
};

/* For json_dump_callback: not json_dumps, which may leave something out where
 * it finds no memory, and doesn't say so; and not json_dumpb, which would have
 * to do everything twice to know the length.
 */
static int
add_text (const char *more, size_t n, void *opaque)
{
  struct text *t = opaque;
  size_t cap = t->cap;
  char *s;

  while (cap < t->len + n)
    cap = cap ? 2 * cap : 4096;
  if (cap > t->cap) {
    s = realloc (t->s, cap);
    if (s == NULL)
      return -1;
    t->s = s;
    t->cap = cap;
  }
  memcpy (t->s + t->len, more, n);
  t->len += n;
  return 0;
}

json_t *
control_text (const char *text)
{
  json_t *json = json_string (text);
  char *copy, *p;

  if (json)
    return json;
  copy = strdup (text);
  if (copy == NULL)
    return NULL;
  for (p = copy; *p; p++)
    if (*p & 0x80)
      *p = '?';
  json = json_string (copy);
  free (copy);
  return json;
}

json_t *
control_ok (void)
{
  json_t *reply = json_object ();

  json_object_set_new (reply, "ok", json_true ());
  return reply;
}

json_t *
control_error (const char *text)
{
  json_t *reply = json_object ();

  json_object_set_new (reply, "ok", json_false ());
  json_object_set_new (reply, "error", control_text (text));
  return reply;
}

char *
control_encode (json_t *reply, size_t *len)
{
  struct text text = { 0 };

  if (reply == NULL)
    return NULL;
  if (json_dump_callback (reply, add_text, &text, JSON_COMPACT) != 0 ||
      add_text ("\n", 2, &text) != 0) {
    free (text.s);
    text.s = NULL;
  }
  *len = text.len - 1;          /* without the NUL */
  json_decref (reply);
  return text.s;
}

bool
control_says_ok (const char *line)
{
  static const char yes[] = "{\"ok\":true";

  return line != NULL && strncmp (line, yes, strlen (yes)) == 0;
}

void
put_number (json_t *object, const char *key, uint64_t n)
{
  json_object_set_new_nocheck (object, key, json_integer (n));
}

void
append_range (json_t *array, uint64_t start, uint64_t count)
{
  json_t *range = json_object ();

  put_number (range, "start", start);
  put_number (range, "count", count);
  json_array_append_new (array, range);
}
