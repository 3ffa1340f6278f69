/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The copy is made under another name, and renamed when all of it is on the
 * disk: so what is there under FILE is a whole one, the old or the new.  Only a
 * backup that was never used is replaced.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "host/copy-file.h"
#include "spare/backup.h"
#include "spare/offline.h"
#include "backup.h"
#include "client.h"
#include "exit-status.h"
#include "reply.h"
#include "text.h"
#include "units.h"

/* May FILE be replaced?  False after a message. */
static bool
may_replace (const char *file)
{
  struct held_spare h;
  struct spare_status st;
  uint64_t commit = 0, time;
  struct stat now;
  bool is_backup;

  if (lstat (file, &now) == -1 && errno == ENOENT)
    return true;
  if (!S_ISREG (now.st_mode)) {
    error ("%s: is there, and is no regular file", file);
    return false;
  }
  if (!hold_spare (&h, file, 0, HOLD_TO_READ))
    return false;
  spare_get_status (h.spare, &st);
  is_backup = spare_was_backup (h.spare, &commit, &time) &&
    commit == st.commit_number;
  hold_close (&h);
  if (!is_backup)
    error ("%s: is a spare that has been used, and no backup: it is left "
           "alone", file);
  return is_backup;
}

static int
from_server (const struct ctl *ctl, int fd, struct backup_result *res)
{
  struct reader r = { 0 };
  struct client *client;
  json_t *reply;
  int status;

  client = client_open (ctl, &status);
  if (client == NULL)
    return status;
  reply = client_request_with (client, &status, fd, "backup");
  client_close (client);
  if (reply == NULL)
    return status;
  r.root = reply;
  res->size = get_uint (&r, "size");
  res->commit = get_uint (&r, "commit_number");
  res->sectors = get_uint (&r, "sectors");
  res->lost = get_uint (&r, "lost");
  res->is_older = get_bool (&r, "older");
  json_decref (reply);
  return r.bad ? STATUS_NO_SERVER : status;
}

static int
from_spare (const char *path, uint64_t offset, int fd,
            struct backup_result *res)
{
  struct copy_file file;
  struct held_spare h;
  int err;

  if (!hold_spare (&h, path, offset, HOLD_TO_CHANGE))
    return STATUS_REFUSED;
  err = spare_start (h.spare, &h.message);
  if (err == 0)
    err = copy_file_init (&file, fd, &h.message);
  if (err == 0)
    err = spare_backup (h.spare, &file.device, NULL, NULL, res, &h.message);
  if (err)
    error ("%s: %s", path, h.message.text);
  hold_close (&h);
  return err ? STATUS_REFUSED : STATUS_DONE;
}

/* Gives the copy its size and its name, durably. */
static bool
finish (int fd, const char *temporary, const char *file, uint64_t size)
{
  const char *slash = strrchr (file, '/');
  char *folder = slash == NULL ? copy_text (".")
    : text_of ("%.*s", (int) (slash + 1 - file), file);
  int folder_fd;
  bool ok;

  folder_fd = open (folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  ok = folder_fd != -1 && ftruncate (fd, size) == 0 && fsync (fd) == 0 &&
    rename (temporary, file) == 0 && fsync (folder_fd) == 0;
  if (!ok)
    error ("%s: can't be written: %s", file, strerror (errno));
  if (folder_fd != -1)
    close (folder_fd);
  free (folder);
  return ok;
}

static void
print_result (const char *file, const struct backup_result *res)
{
  printf ("%s: %s copied, as of commit %" PRIu64 " and later\n", file,
          show_count (res->sectors, "sector").s, res->commit);
  if (res->lost > 0)
    warning ("%s of the spare can't be read: LOST in the backup",
             show_count (res->lost, "sector").s);
  if (!res->is_older)
    warning ("the spare can't note that a backup was made: later nobody can "
             "tell which of the two is the newer one");
}

static int
backup (const struct ctl *ctl, const char *spare, uint64_t offset,
        const char *file)
{
  char *temporary = text_of ("%s.XXXXXX", file);
  struct backup_result res = { 0 };
  int fd, status;

  if (!may_replace (file)) {
    free (temporary);
    return STATUS_REFUSED;
  }
  fd = mkostemp (temporary, O_CLOEXEC);
  if (fd == -1) {
    error ("%s: can't be written: %s", file, strerror (errno));
    free (temporary);
    return STATUS_REFUSED;
  }
  status = spare ? from_spare (spare, offset, fd, &res)
    : from_server (ctl, fd, &res);
  if (status == STATUS_DONE && !finish (fd, temporary, file, res.size))
    status = STATUS_REFUSED;
  if (status == STATUS_DONE)
    print_result (file, &res);
  else
    unlink (temporary);
  close (fd);
  free (temporary);
  return status;
}

int
command_backup (struct ctl *ctl, int argc, char **argv)
{
  enum { SPARE = FIRST_OPTION, OFFSET };
  static const struct option own[] = {
    { "spare", required_argument, NULL, SPARE },
    { "spare-offset", required_argument, NULL, OFFSET }, { 0 }
  };
  const char *spare = NULL;
  uint64_t offset = 0;
  int c;

  while ((c = next_option (ctl, argc, argv, own)) != -1) {
    if (c == '?')
      return STATUS_USAGE;
    if (c == SPARE)
      spare = optarg;
    else if (!parse_offset (ctl, optarg, &offset))
      return STATUS_USAGE;
  }
  if (!count_arguments (ctl, argc, 1, 1))
    return STATUS_USAGE;
  return backup (ctl, spare, offset, argv[optind]);
}
