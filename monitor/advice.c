/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "ctl/text.h"
#include "advice.h"

/* remapctl's option for the server: a path comes from the command line or has
 * a file's name, and may have characters that a shell would see.
 */
static char *
option_for (const struct watched *w)
{
  char *quoted, *p;

  if (w->name[0] != '/')
    return text_of ("-n %s", w->name);
  /* 'a'\''b', at most four characters for one. */
  quoted = allocate (strlen (w->path) * 4 + 8, 1);
  p = stpcpy (quoted, "-s '");
  for (const char *s = w->path; *s; s++)
    if (*s == '\'')
      p = stpcpy (p, "'\\''");
    else
      *p++ = *s;
  strcpy (p, "'");
  return quoted;
}

static bool
says (const struct watched *w, const char *room, const char *key)
{
  return json_is_true (json_object_get (json_object_get (w->status, room),
                                        key));
}

static json_int_t
number (const struct watched *w, const char *room, const char *key)
{
  return json_integer_value (json_object_get (json_object_get (w->status, room),
                                              key));
}

static char *
advice_when_down (const struct watched *w)
{
  if (w->configured && w->name[0] != '/')
    return text_of ("Look why the server isn't running: "
                    "systemctl status nbdkit-remap@%s", w->name);
  return text_of ("Look why the server isn't running: remapctl list");
}

const char *
health_of (const struct watched *w)
{
  const char *health =
    json_string_value (json_object_get (w->status, "health"));

  return w->up && health ? health : "no answer";
}

/* A state of a later version is none to be calm about. */
enum level
level_of_health (const char *health)
{
  return strcmp (health, "ok") == 0 ? LEVEL_OK
    : strcmp (health, "degraded") == 0 ? LEVEL_WARNING : LEVEL_ERROR;
}

const char *
label_of (const struct watched *w)
{
  const char *label = json_string_value (
    json_object_get (json_object_get (w->status, "main"), "label"));

  return label ? label : "";
}

const char *
reason_of (const struct watched *w, size_t i)
{
  const json_t *reasons = json_object_get (w->status, "reasons");

  if (!w->up)
    return i == 0 ? w->why ? w->why : "it has not answered yet" : NULL;
  return json_string_value (json_array_get (reasons, i));
}

char *
advice (const struct watched *w)
{
  char *option, *text;

  if (!w->up)
    return advice_when_down (w);
  option = option_for (w);
  if (says (w, "main", "lost"))
    text = text_of ("Look at the disk's cable and power; when it is back: "
                    "remapctl %s status", option);
  else if (says (w, "spare", "failed"))
    text = text_of ("Look at the spare's own disk, then restart the server: "
                    "remapctl %s status", option);
  else if (says (w, "spare", "full"))
    text = text_of ("Make the spare larger: remapctl %s grow SIZE", option);
  else if (number (w, "sectors", "lost") > 0)
    text = text_of ("Copy what matters off this disk, and see which sectors "
                    "are lost: remapctl %s table --states=lost", option);
  else if (level_of_health (health_of (w)) > LEVEL_OK)
    text = text_of ("See what is wrong: remapctl %s status", option);
  else
    text = copy_text ("Nothing has to be done.");
  free (option);
  return text;
}
