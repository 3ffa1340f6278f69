/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <nbdkit-filter.h>

#include "command-line.h"
#include "log.h"
#include "startup.h"

/* Where nbdkit's messages go, which it tells nobody. */
enum place { UNKNOWN, STDERR, JOURNAL, ELSEWHERE };

/* systemd says so: JOURNAL_STREAM has device and inode of what it has given to
 * its child as stderr.
 */
static bool
is_journal (const struct stat *st)
{
  const char *stream = getenv ("JOURNAL_STREAM");
  uint64_t dev, ino;
  char end;

  return stream &&
    sscanf (stream, "%" SCNu64 ":%" SCNu64 "%c", &dev, &ino, &end) == 2 &&
    dev == st->st_dev && ino == st->st_ino;
}

/* nbdkit in the background has /dev/null as stderr, and logs to syslog. */
static enum place
find_place (void)
{
  struct stat st;

  if (command_line_logs_elsewhere () || fstat (STDERR_FILENO, &st) == -1 ||
      (S_ISCHR (st.st_mode) && st.st_rdev == makedev (1, 3)))
    return ELSEWHERE;
  return is_journal (&st) ? JOURNAL : STDERR;
}

static enum place
place_of_messages (void)
{
  static enum place place;

  if (place == UNKNOWN)
    place = find_place ();
  return place;
}

/* PRIORITY: of syslog(3). */
static void
log_text (int priority, uint64_t time_ms, const char *text)
{
  const time_t seconds = time_ms / 1000;
  char line[1200], when[40];
  struct tm tm;
  int n;

  switch (place_of_messages ()) {
  case JOURNAL:
    /* One write, so that no other line comes between. */
    n = snprintf (line, sizeof line, "<%d>nbdkit: remap: %s\n", priority,
                  text);
    if (write (STDERR_FILENO, line, n) == -1)
      nbdkit_debug ("remap: stderr: %m");
    break;
  case STDERR:
    localtime_r (&seconds, &tm);
    strftime (when, sizeof when, "%Y-%m-%d %H:%M:%S%z", &tm);
    nbdkit_error ("remap: %s: %s", when, text);
    break;
  default:
    nbdkit_error ("remap: %s", text);
  }
}

bool
log_is_ready (void)
{
  return place_of_messages () == ELSEWHERE || stderr_is_ready ();
}

void
log_event (const struct event *e)
{
  static const int priorities[] = {
    [EVENT_ERROR] = 3, [EVENT_WARNING] = 4, [EVENT_NOTICE] = 5,
  };

  if (e->severity != EVENT_INFO)
    log_text (priorities[e->severity], e->time_ms, e->text);
}

void
log_missed (uint64_t n)
{
  char text[100];

  snprintf (text, sizeof text, "%" PRIu64 " messages are missing here: they "
            "came faster than they could be written", n);
  log_text (4, (uint64_t) time (NULL) * 1000, text);
}
