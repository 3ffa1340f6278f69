/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <jansson.h>
#include <sys/stat.h>

#include "ctl/text.h"
#include "smart.h"

#define MAX_FILE (1 << 20)              /* much more than smartctl prints */
#define STATUS ".status"

/* /DIR/NAME.smart; NULL: the socket isn't called NAME.status. */
static char *
file_of (const char *path)
{
  const size_t n = strlen (path), m = strlen (STATUS);

  return n > m && strcmp (path + n - m, STATUS) == 0
    ? text_of ("%.*s.smart", (int) (n - m), path) : NULL;
}

/* All of a file, as JSON; NULL: it isn't. */
static json_t *
load (int fd)
{
  char *buf = allocate (MAX_FILE, 1);
  size_t len = 0;
  ssize_t r;
  json_t *json = NULL;

  while (len < MAX_FILE && (r = read (fd, buf + len, MAX_FILE - len)) > 0)
    len += r;
  if (len < MAX_FILE)
    json = json_loadb (buf, len, JSON_REJECT_DUPLICATES, NULL);
  free (buf);
  return json;
}

static void
take_attribute (struct smart *s, const json_t *row)
{
  static const int ids[] = { [SMART_REALLOCATED] = 5, [SMART_PENDING] = 197 };
  const json_t *raw = json_object_get (json_object_get (row, "raw"), "value");

  for (int i = 0; i < NR_SMART_ATTRIBUTES; i++)
    if (json_integer_value (json_object_get (row, "id")) == ids[i] &&
        json_is_integer (raw) && json_integer_value (raw) >= 0) {
      s->has_attribute[i] = true;
      s->attribute[i] = json_integer_value (raw);
    }
}

static void
take (struct smart *s, const json_t *json)
{
  const json_t *t = json_object_get (json_object_get (json, "temperature"),
                                     "current");
  const json_t *p = json_object_get (json_object_get (json, "smart_status"),
                                     "passed");
  const json_t *table = json_object_get (
    json_object_get (json, "ata_smart_attributes"), "table");
  const char *device = json_string_value (
    json_object_get (json_object_get (json, "device"), "name"));
  const char *slash = device ? strrchr (device, '/') : NULL;

  s->has_temperature = json_is_integer (t) && json_integer_value (t) > -100 &&
    json_integer_value (t) < 200;
  s->temperature = s->has_temperature ? json_integer_value (t) : 0;
  s->has_passed = json_is_boolean (p);
  s->passed = json_is_true (p);
  for (size_t i = 0; i < json_array_size (table) && i < 256; i++)
    take_attribute (s, json_array_get (table, i));
  if (device)
    snprintf (s->device, sizeof s->device, "%s", slash ? slash + 1 : device);
}

void
smart_read (struct smart *s, const char *path)
{
  char *file = file_of (path);
  const int fd = file ? open (file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW |
                              O_NONBLOCK) : -1;
  struct stat st;
  int64_t written;
  json_t *json;

  free (file);
  if (fd == -1 || fstat (fd, &st) == -1 || !S_ISREG (st.st_mode) ||
      time (NULL) - st.st_mtime > SMART_OLD_SECONDS) {
    *s = (struct smart) { 0 };
    goto out;
  }
  written = st.st_mtim.tv_sec * INT64_C (1000000000) + st.st_mtim.tv_nsec;
  if (s->known && s->written == written)
    goto out;
  *s = (struct smart) { .known = true, .written = written };
  json = load (fd);
  take (s, json);
  json_decref (json);
 out:
  if (fd != -1)
    close (fd);
}
