/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The copy is made under another name, and renamed when all of it is on the
 * disk: so what is there under FILE is a whole one, the old or the new.  Only a
 * backup that was never used is replaced: a server's writes to its slots leave
 * no commit, but whoever opens it to write leaves a stamp.
 *
 * How far it is shows in the copy itself, whoever makes it: what it takes of
 * its filesystem, of what all slots in use take.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <sys/stat.h>

#include "base/sector.h"
#include "host/copy-file.h"
#include "spare/backup.h"
#include "spare/offline.h"
#include "backup.h"
#include "client.h"
#include "exit-status.h"
#include "reply.h"
#include "text.h"
#include "units.h"

#define SHOW_MS 200

struct progress {
  int fd;                       /* the copy */
  uint64_t total;               /* bytes; 0: nobody looks */
  bool shown;
};

static bool
wants_progress (void)
{
  return isatty (STDERR_FILENO);
}

/* Slots that hold zeroes take no room: then it ends before 100 %. */
static void
progress_show (struct progress *p)
{
  struct stat st;
  uint64_t now;

  if (p->total == 0 || fstat (p->fd, &st) == -1)
    return;
  now = st.st_blocks * UINT64_C (512);
  fprintf (stderr, "\rcopying slots: %3.0f %%",
           now < p->total ? 100.0 * now / p->total : 100.0);
  p->shown = true;
}

static void
progress_end (const struct progress *p)
{
  if (p->shown)
    fprintf (stderr, "\r%40s\r", "");
}

/* The copy that isn't complete; it goes when this program is interrupted. */
static char *volatile unfinished;

static void
remove_unfinished (int sig)
{
  if (unfinished != NULL)
    unlink (unfinished);
  signal (sig, SIG_DFL);
  raise (sig);
}

/* Makes TEMPORARY, a template of mkostemp.  Returns its descriptor or -1. */
static int
make_temporary (char *temporary)
{
  static const int signals[] = { SIGINT, SIGTERM, SIGHUP };
  const size_t n = sizeof signals / sizeof signals[0];
  sigset_t set, before;
  int fd;

  sigemptyset (&set);
  for (size_t i = 0; i < n; i++)
    sigaddset (&set, signals[i]);
  sigprocmask (SIG_BLOCK, &set, &before);
  fd = mkostemp (temporary, O_CLOEXEC);
  if (fd != -1) {
    unfinished = temporary;
    /* One that is ignored (nohup) stays so. */
    for (size_t i = 0; i < n; i++)
      if (signal (signals[i], remove_unfinished) == SIG_IGN)
        signal (signals[i], SIG_IGN);
  }
  sigprocmask (SIG_SETMASK, &before, NULL);
  return fd;
}

/* May FILE be replaced?  False after a message. */
static bool
may_replace (const char *file)
{
  struct held_spare h;
  struct spare_status st;
  uint64_t commit = 0, time;
  struct owner owner;
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
    commit == st.commit_number &&
    spare_read_stamp (&h.file.device, &owner, &time) == SPARE_NEVER_STAMPED;
  hold_close (&h);
  if (!is_backup)
    error ("%s: is a spare that has been used, and no backup: it is left "
           "alone", file);
  return is_backup;
}

/* What its slots in use take.  False after a message. */
static bool
ask_total (struct connection *client, int *status, struct progress *p)
{
  struct reader r = { 0 };
  json_t *reply = client_request (client, status, "status");

  if (reply == NULL)
    return false;
  r.root = reply;
  p->total = get_uint (&r, "sectors.remapped") * SECTOR_SIZE;
  json_decref (reply);
  if (r.bad)
    *status = STATUS_NO_SERVER;
  return !r.bad;
}

static json_t *
ask_for_copy (struct connection *client, int *status, int fd)
{
  struct pollfd p = { .fd = connection_fd (client), .events = POLLIN };
  struct progress progress = { .fd = fd };

  if ((wants_progress () && !ask_total (client, status, &progress)) ||
      !client_begin_with (client, status, fd, "backup"))
    return NULL;
  while (progress.total > 0 && poll (&p, 1, SHOW_MS) == 0)
    progress_show (&progress);
  progress_end (&progress);
  return client_finish (client, status);
}

static int
from_server (const struct ctl *ctl, int fd, struct backup_result *res)
{
  struct reader r = { 0 };
  struct connection *client;
  json_t *reply;
  int status;

  client = client_open (ctl, &status);
  if (client == NULL)
    return status;
  reply = ask_for_copy (client, &status, fd);
  connection_close (client);
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

/* Before each MiB. */
static bool
shows_progress (void *opaque)
{
  progress_show (opaque);
  return false;
}

static int
from_spare (const char *path, uint64_t offset, int fd,
            struct backup_result *res)
{
  struct progress progress = { .fd = fd };
  struct copy_file file;
  struct held_spare h;
  struct map_totals m;
  int err;

  if (!hold_spare (&h, path, offset, HOLD_TO_CHANGE))
    return STATUS_REFUSED;
  err = spare_start (h.spare, &h.message);
  if (err == 0)
    err = copy_file_init (&file, fd, &h.message);
  map_get_totals (h.map, &m);
  if (wants_progress ())
    progress.total = m.remapped * SECTOR_SIZE;
  if (err == 0)
    err = spare_backup (h.spare, &file.device, shows_progress, &progress, res,
                        &h.message);
  progress_end (&progress);
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
  fd = make_temporary (temporary);
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
  unfinished = NULL;
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
