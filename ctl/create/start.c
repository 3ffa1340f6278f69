/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>
#include <sys/pidfd.h>
#include <sys/stat.h>

#include "base/sector.h"
#include "spare/offline.h"
#include "client.h"
#include "connection.h"
#include "create/nbdkit.h"
#include "create/start.h"
#include "process.h"
#include "rundir.h"
#include "text.h"

#define START_SECONDS 300
#define POLL_MS 50

/* Prints the last error that the server has written to the log, or the log's
 * last line: some of nbdkit's errors lack that word.
 */
static void
say_why (const struct create *c, off_t from)
{
  FILE *fp = fopen (c->logfile, "re");
  char line[1024], why[1024] = "", last[1024] = "";
  const char *said;
  char *p;

  if (fp != NULL && fseeko (fp, from, SEEK_SET) == 0)
    while (fgets (line, sizeof line, fp) != NULL) {
      line[strcspn (line, "\n")] = '\0';
      p = strstr (line, "error: ");
      if (p != NULL && strstr (p, "warning: ") == NULL)
        snprintf (why, sizeof why, "%s", p + 7);
      if (*line)
        snprintf (last, sizeof last, "%s", line);
    }
  if (fp != NULL)
    fclose (fp);
  said = *why ? why : *last ? last : "it said nothing";
  error ("create: nbdkit ended before it was ready: %s (%slog: %s)", said,
         strstr (said, "is incompatible with this version of nbdkit") == NULL
         ? "" : "a filter works with the one version of nbdkit that it was "
         "built for: build it again, with nbdkit-remap-rebuild if it came in "
         "a package; ", c->logfile);
}

static bool
answers (const struct create *c)
{
  struct connection *client;
  json_t *reply;
  int status;

  if (connection_open (c->control, CONNECTION_PATIENCE, &client) != 0)
    return false;
  reply = client_request (client, &status, "ping");
  connection_close (client);
  json_decref (reply);
  return reply != NULL;
}

/* Removes a spare that wasn't there before, unless somebody else uses it, or
 * has meanwhile: it must hold nothing, and nobody can lock it then.
 */
static void
remove_new_spare (const struct create *c)
{
  struct map_totals totals = { 0 };
  struct held_spare h;
  bool is_unused = true;

  if (c->spare.exists ||
      hold_open (&h, c->spare.path, c->spare_start << SECTOR_SHIFT, 0,
                 HOLD_TO_CHANGE) != 0)
    return;
  if (h.content == SPARE_VALID) {
    is_unused = hold_load (&h) == 0;
    if (is_unused)
      map_get_totals (h.map, &totals);
  }
  if (is_unused && totals.runs == 0 && h.content != SPARE_FOREIGN)
    unlink (c->spare.path);
  hold_close (&h);
}

/* Removes the files of a server that has ended before it was ready.  It may
 * have ended because the control socket is another server's, which answers.
 */
static void
remove_leftovers (const struct create *c)
{
  struct connection *client;
  struct stat st;

  unlink (c->pid);
  unlink (c->nbd);
  remove_new_spare (c);
  if (lstat (c->control, &st) == -1 || !S_ISSOCK (st.st_mode))
    return;
  switch (connection_open (c->control, 1, &client)) {
  case 0:
    connection_close (client);
    break;
  case ECONNREFUSED:
    unlink (c->control);
    break;
  }
}

static int
await (struct create *c, pid_t pid, int pidfd, off_t log_start)
{
  struct pollfd p = { .fd = pidfd, .events = POLLIN };

  for (int i = 0; i < START_SECONDS * 1000 / POLL_MS; i++) {
    if (access (c->control, F_OK) == 0 && server_pid (c->name) == pid &&
        answers (c))
      return CREATE_DONE;
    if (poll (&p, 1, POLL_MS) == 1) {
      say_why (c, log_start);
      remove_leftovers (c);
      return CREATE_NOT_STARTED;
    }
  }
  pidfd_send_signal (pidfd, SIGTERM, NULL, 0);
  error ("create: nbdkit was not ready after %d s (log: %s)", START_SECONDS,
         c->logfile);
  return CREATE_NOT_STARTED;
}

/* One create at a time: the lock ends with this program. */
static int
take_name (struct create *c)
{
  if (lock_run_directory (c->name, true) == -1)
    return CREATE_FILES;
  if (server_pid (c->name) != 0)
    return create_name_taken (c);
  if (!make_public_directory (c->status_group))
    return CREATE_FILES;
  /* A server that was killed has left them. */
  unlink (c->pid);
  unlink (c->nbd);
  return 0;
}

/* Starts it, and waits until it answers; then PIDFD is to be closed. */
static int
start (struct create *c, FILE *log, int *pidfd)
{
  struct stat st = { 0 };
  pid_t pid;
  int err;

  err = take_name (c);
  if (err)
    return err;
  fstat (fileno (log), &st);
  err = nbdkit_start (c->argv, fileno (log), &pid, pidfd);
  if (err) {
    error ("create: nbdkit can't be run: %s", strerror (err));
    return CREATE_NO_NBDKIT;
  }
  err = await (c, pid, *pidfd, st.st_size);
  if (err)
    close (*pidfd);
  return err;
}

int
create_start (struct create *c, FILE *log)
{
  int pidfd;
  const int status = start (c, log, &pidfd);

  if (status == CREATE_DONE)
    close (pidfd);
  return status;
}

int
create_start_once (struct create *c, FILE *log)
{
  struct pollfd p = { .events = POLLIN };
  int status = start (c, log, &p.fd);

  if (status != CREATE_DONE)
    return status;
  pidfd_send_signal (p.fd, SIGTERM, NULL, 0);
  if (poll (&p, 1, START_SECONDS * 1000) != 1) {
    error ("create: nbdkit has not ended after %d s (log: %s)", START_SECONDS,
           c->logfile);
    status = CREATE_NOT_STARTED;
  }
  else {
    unlink (c->pid);
    unlink (c->nbd);
  }
  close (p.fd);
  return status;
}

int
create_name_taken (const struct create *c)
{
  error ("create: a server '%s' is running: 'remapctl stop %s' ends it, "
         "dm_name=NAME takes another name", c->name, c->name);
  return CREATE_NAME_TAKEN;
}
