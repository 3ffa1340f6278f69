/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include <jansson.h>

#include "host/blockdev.h"
#include "host/state.h"

#define FILE_MAX 65536          /* bytes; such a file has some hundred */
#define PLAIN_MAX 180           /* bytes of a file's name */

/* A name as text that JSON and filenames can have: what isn't plain ASCII is
 * written as %XX.
 */
static void
escape (const char *s, char *text, size_t size)
{
  static const char plain[] = "abcdefghijklmnopqrstuvwxyz"
    "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-+";
  size_t n = 0;

  for (; *s && n + 4 < size; s++)
    if (strchr (plain, *s))
      text[n++] = *s;
    else
      n += snprintf (text + n, 4, "%%%02X", (unsigned char) *s);
  text[n] = '\0';
}

/* A long name's file has its end, and a number that stands for all of it. */
static void
file_of (const char *folder, const char *name, char path[PATH_MAX])
{
  char text[3 * STATE_NAME + 4], number[20] = "";
  uint64_t hash = UINT64_C (0xcbf29ce484222325);
  size_t len;

  escape (name, text, sizeof text);
  len = strlen (text);
  if (len > PLAIN_MAX) {
    for (const char *p = name; *p; p++)
      hash = (hash ^ (unsigned char) *p) * UINT64_C (0x100000001b3);
    snprintf (number, sizeof number, "-%016" PRIx64, hash);
  }
  snprintf (path, PATH_MAX, "%s/disk-%s%s.json", folder,
            len > PLAIN_MAX ? text + len - PLAIN_MAX : text, number);
}

static int
wrong (struct message *message, const char *path, const char *what, int err)
{
  message_set (message, "the state folder: %s: %s", path, what);
  return err;
}

/* All of a file, as a string in BUF. */
static int
read_file (const char *path, char buf[FILE_MAX], struct message *message)
{
  const int fd = open (path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
  struct stat st;
  ssize_t r = 0;
  size_t n = 0;
  int err = 0;

  if (fd == -1)
    return errno == ENOENT ? ENOENT
      : wrong (message, path, strerror (errno), errno);
  if (fstat (fd, &st) == -1 || !S_ISREG (st.st_mode))
    err = EINVAL;
  while (err == 0 && n < FILE_MAX - 1 &&
         (r = read (fd, buf + n, FILE_MAX - 1 - n)) != 0)
    if (r > 0)
      n += r;
    else if (errno != EINTR)
      err = errno;
  close (fd);
  if (err)
    return wrong (message, path, err == EINVAL ? "is no regular file"
                  : strerror (err), err);
  if (n == FILE_MAX - 1)
    return wrong (message, path, "is too long", EINVAL);
  buf[n] = '\0';
  return 0;
}

static bool
get_number (const json_t *o, const char *key, uint64_t *n)
{
  const json_t *v = json_object_get (o, key);

  if (!json_is_integer (v) || json_integer_value (v) < 0)
    return false;
  *n = json_integer_value (v);
  return true;
}

static bool
get_text (const json_t *o, const char *key, char *text, size_t size)
{
  const char *s = json_string_value (json_object_get (o, key));

  return s != NULL && (size_t) snprintf (text, size, "%s", s) < size;
}

/* A path that JSON can't have isn't there: it is for people only. */
static void
put_path (json_t *o, const char *key, const char *s)
{
  json_t *v = json_string (s);

  json_object_set_new (o, key, v ? v : json_string (""));
}

static json_t *
encode (const char *name, const struct disk_state *st)
{
  char text[3 * STATE_NAME + 4];
  json_t *o = json_object ();

  escape (name, text, sizeof text);
  json_object_set_new (o, "disk", json_string (text));
  json_object_set_new (o, "size", json_integer (st->size));
  put_path (o, "spare", st->spare);
  json_object_set_new (o, "uuid", json_string (st->uuid));
  json_object_set_new (o, "commit", json_integer (st->commit));
  json_object_set_new (o, "remapped", json_integer (st->remapped));
  json_object_set_new (o, "lost", json_integer (st->lost));
  json_object_set_new (o, "zero", json_integer (st->zero));
  return o;
}

static int
put_file (int fd, json_t *o)
{
  char *text = json_dumps (o, JSON_INDENT (2));
  size_t len, n = 0;
  ssize_t r;
  int err = 0;

  if (text == NULL)
    return ENOMEM;
  len = strlen (text);
  text[len++] = '\n';           /* in place of the NUL */
  while (err == 0 && n < len) {
    r = write (fd, text + n, len - n);
    if (r >= 0)
      n += r;
    else if (errno != EINTR)
      err = errno;
  }
  free (text);
  return err == 0 && fsync (fd) == -1 ? errno : err;
}

/* Makes a rename durable. */
static int
sync_folder (const char *folder)
{
  const int fd = open (folder, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
  const int err = fd == -1 || fsync (fd) == -1 ? errno : 0;

  if (fd != -1)
    close (fd);
  return err;
}

int
state_folder (char path[PATH_MAX], struct message *message)
{
  const char *given = getenv ("REMAP_STATE_DIR");
  const char *xdg = getenv ("XDG_STATE_HOME"), *home = getenv ("HOME");
  int n;

  if (given && *given)
    n = snprintf (path, PATH_MAX, "%s", given);
  else if (geteuid () == 0)
    n = snprintf (path, PATH_MAX, "%s", STATEDIR);
  else if (xdg && *xdg == '/')
    n = snprintf (path, PATH_MAX, "%s/nbdkit-remap", xdg);
  else
    n = snprintf (path, PATH_MAX, "%s/.local/state/nbdkit-remap",
                  home ? home : "");
  if (n < PATH_MAX && path[0] == '/' && (path[1] != '.' || given))
    return 0;
  message_set (message, "there is no place for the state folder: set "
               "REMAP_STATE_DIR to an absolute path");
  return EINVAL;
}

int
state_name (const char *label, const char *path, const char *given,
            char name[STATE_NAME])
{
  char file[PATH_MAX];
  struct stat st;
  int n = 0;

  if (label && *label)
    n = snprintf (name, STATE_NAME, "%s", label);
  else if (path && *path) {
    /* A loop device is another file's tomorrow. */
    if (stat (path, &st) == 0 && S_ISBLK (st.st_mode) &&
        disk_backing_file (st.st_rdev, file, sizeof file))
      path = file;
    n = snprintf (name, STATE_NAME, "%s", path);
  }
  if (given && *given && (n == 0 || label == NULL ||
                          strcmp (given, label) != 0) && n < STATE_NAME)
    n += snprintf (name + n, STATE_NAME - n, "%s%s", n > 0 ? " " : "", given);
  return n > 0 && n < STATE_NAME ? 0 : EINVAL;
}

int
state_read (const char *folder, const char *name, struct disk_state *st,
            struct message *message)
{
  char path[PATH_MAX], text[3 * STATE_NAME + 4], disk[sizeof text];
  char *buf = malloc (FILE_MAX);
  json_error_t what;
  json_t *o = NULL;
  int err;

  if (buf == NULL)
    return wrong (message, folder, "out of memory", ENOMEM);
  memset (st, 0, sizeof *st);
  file_of (folder, name, path);
  escape (name, text, sizeof text);
  err = read_file (path, buf, message);
  if (err == 0) {
    o = json_loads (buf, JSON_REJECT_DUPLICATES, &what);
    if (!get_text (o, "disk", disk, sizeof disk) || strcmp (disk, text) != 0 ||
        !get_text (o, "uuid", st->uuid, sizeof st->uuid) ||
        !get_text (o, "spare", st->spare, sizeof st->spare) ||
        !get_number (o, "commit", &st->commit) ||
        !get_number (o, "size", &st->size) ||
        !get_number (o, "remapped", &st->remapped) ||
        !get_number (o, "lost", &st->lost) ||
        !get_number (o, "zero", &st->zero))
      err = wrong (message, path, "isn't what was written there", EINVAL);
  }
  json_decref (o);
  free (buf);
  return err;
}

int
state_write (const char *folder, const char *name,
             const struct disk_state *st, struct message *message)
{
  char path[PATH_MAX], temporary[PATH_MAX];
  json_t *o;
  int fd, err;

  if (mkdir (folder, 0700) == -1 && errno != EEXIST)
    return wrong (message, folder, strerror (errno), errno);
  file_of (folder, name, path);
  snprintf (temporary, sizeof temporary, "%s/.disk.XXXXXX", folder);
  fd = mkostemp (temporary, O_CLOEXEC);
  if (fd == -1)
    return wrong (message, folder, strerror (errno), errno);
  o = encode (name, st);
  err = put_file (fd, o);
  json_decref (o);
  close (fd);
  if (err == 0 && rename (temporary, path) == -1)
    err = errno;
  if (err)
    unlink (temporary);
  else
    err = sync_folder (folder);
  return err ? wrong (message, path, strerror (err), err) : 0;
}
