/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "reply.h"
#include "text.h"

static const json_t *
find (const json_t *root, const char *path)
{
  const char *dot;

  while ((dot = strchr (path, '.')) != NULL) {
    root = json_object_getn (root, path, dot - path);
    path = dot + 1;
  }
  return json_object_get (root, path);
}

static void
wrong (struct reader *r, const char *path, const json_t *found,
       const char *wanted)
{
  if (!r->bad)
    error ("the server's reply can't be understood: '%s' %s%s (is the server "
           "of another version?)", path,
           found ? "is not " : "is missing", found ? wanted : "");
  r->bad = true;
}

uint64_t
get_uint (struct reader *r, const char *path)
{
  const json_t *j = find (r->root, path);

  if (json_is_integer (j) && json_integer_value (j) >= 0)
    return json_integer_value (j);
  wrong (r, path, j, "a non-negative integer");
  return 0;
}

bool
get_bool (struct reader *r, const char *path)
{
  const json_t *j = find (r->root, path);

  if (json_is_boolean (j))
    return json_is_true (j);
  wrong (r, path, j, "true or false");
  return false;
}

const char *
get_string (struct reader *r, const char *path)
{
  const json_t *j = find (r->root, path);

  if (json_is_string (j))
    return json_string_value (j);
  wrong (r, path, j, "a string");
  return "";
}

const json_t *
get_array (struct reader *r, const char *path)
{
  const json_t *j = find (r->root, path);

  if (json_is_array (j))
    return j;
  wrong (r, path, j, "an array");
  return NULL;
}

struct reader
array_reader (const json_t *array, size_t i)
{
  return (struct reader) { .root = json_array_get (array, i) };
}

char *
refusal_text (const json_t *reply)
{
  const char *why = json_string_value (json_object_get (reply, "error"));
  const json_t *done = json_object_get (reply, "done");

  if (json_integer_value (done) > 0)
    return text_of ("the server says: %s (it stopped after %lld sectors were "
                    "changed)", why ? why : "no",
                    (long long) json_integer_value (done));
  return text_of ("the server says: %s", why ? why : "no");
}

void
print_refusal (const json_t *reply)
{
  char *text = refusal_text (reply);

  error ("%s", text);
  free (text);
}

void
print_json (const json_t *json)
{
  json_dumpf (json, stdout, JSON_COMPACT);
  putchar ('\n');
}
