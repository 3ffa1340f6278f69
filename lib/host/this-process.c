/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "host/this-process.h"

const char *this_process_proc = "/proc";
const char *this_process_machine_id = "/etc/machine-id";

/* Thirty-two hexadecimal digits, with or without dashes, as 16 bytes. */
static void
read_id (const char *path, uint8_t id[16])
{
  char text[64], *p = text;
  unsigned value, i;
  FILE *fp = fopen (path, "re");

  memset (id, 0, 16);
  if (fp == NULL)
    return;
  if (fgets (text, sizeof text, fp) == NULL)
    text[0] = '\0';
  fclose (fp);
  for (i = 0; i < 16; i++, p += 2) {
    p += *p == '-';
    if (!isxdigit ((unsigned char) p[0]) || !isxdigit ((unsigned char) p[1]) ||
        sscanf (p, "%2x", &value) != 1) {
      memset (id, 0, 16);
      return;
    }
    id[i] = value;
  }
}

static uint32_t
read_namespace (const char *name)
{
  char path[PATH_MAX];
  struct stat st;

  snprintf (path, sizeof path, "%s/self/ns/%s", this_process_proc, name);
  return stat (path, &st) == 0 ? st.st_ino : 0;
}

/* A process that has been killed is a zombie until its parent asks for it, and
 * has nothing open any more; but the first thread of one that lives may be,
 * too.
 */
static bool
is_alone (uint64_t pid)
{
  char path[PATH_MAX];
  unsigned n = 0;
  DIR *dir;

  snprintf (path, sizeof path, "%s/%" PRIu64 "/task", this_process_proc, pid);
  dir = opendir (path);
  if (dir == NULL)
    return false;
  while (readdir (dir) != NULL)
    n++;
  closedir (dir);
  return n <= 3;                        /* ., .., and itself */
}

/* When a process started, in clock ticks since the boot; 0: unknown. */
static uint64_t
read_start (uint64_t pid, bool *zombie)
{
  char path[PATH_MAX], text[1024], *p, state;
  uint64_t start;
  FILE *fp;

  *zombie = false;
  snprintf (path, sizeof path, "%s/%" PRIu64 "/stat", this_process_proc, pid);
  fp = fopen (path, "re");
  if (fp == NULL)
    return 0;
  if (fgets (text, sizeof text, fp) == NULL)
    text[0] = '\0';
  fclose (fp);
  /* The name of the program may hold anything. */
  p = strrchr (text, ')');
  if (p == NULL ||
      sscanf (p + 1, " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d "
              "%*d %*d %*d %*d %*d %" SCNu64, &state, &start) != 2)
    return 0;
  *zombie = state == 'Z' || state == 'X';
  return start;
}

static enum owner_fate
fate_of_process (const struct owner *other)
{
  uint64_t start;
  bool zombie;

  if (other->pid == 0 || other->pid > INT_MAX)
    return OWNER_UNKNOWN;
  if (kill (other->pid, 0) == -1 && errno == ESRCH)
    return OWNER_DEAD;
  start = read_start (other->pid, &zombie);
  if (start == 0 || other->start == 0)
    return OWNER_UNKNOWN;
  if (start != other->start)
    return OWNER_DEAD;
  return zombie && is_alone (other->pid) ? OWNER_DEAD : OWNER_ALIVE;
}

static bool
is_same_machine (const struct owner *a, const struct owner *b)
{
  return !is_zero (a->machine, 16) &&
    memcmp (a->machine, b->machine, 16) == 0 && strcmp (a->host, b->host) == 0;
}

static enum owner_fate
fate_on_this_machine (const struct owner *self, const struct owner *other)
{
  if (self->pid_namespace != other->pid_namespace ||
      self->time_namespace != other->time_namespace)
    return OWNER_UNKNOWN;
  return fate_of_process (other);
}

static enum owner_fate
fate_if_shared (void *opaque, const struct owner *other)
{
  const struct owner *self = &((struct owner_env *) opaque)->self;

  if (is_zero (self->boot, 16) || memcmp (self->boot, other->boot, 16) != 0)
    return OWNER_UNKNOWN;
  return fate_on_this_machine (self, other);
}

static enum owner_fate
fate_if_local (void *opaque, const struct owner *other)
{
  const struct owner *self = &((struct owner_env *) opaque)->self;

  if (!is_zero (self->boot, 16) && !is_zero (other->boot, 16) &&
      memcmp (self->boot, other->boot, 16) != 0 &&
      is_same_machine (self, other))
    return OWNER_DEAD;
  return fate_if_shared (opaque, other);
}

/* A machine that was suspended has stood still for others, though
 * CLOCK_MONOTONIC knows nothing of it.
 */
static uint64_t
now_ms (void *opaque)
{
  struct timespec ts;

  clock_gettime (CLOCK_BOOTTIME, &ts);
  return ts.tv_sec * UINT64_C (1000) + ts.tv_nsec / 1000000;
}

static void
sleep_ms (void *opaque, unsigned ms)
{
  struct timespec ts = { ms / 1000, ms % 1000 * 1000000 };

  while (nanosleep (&ts, &ts) == -1 && errno == EINTR)
    ;
}

void
this_process_init (struct owner_env *env, bool local)
{
  struct owner *self = &env->self;
  char path[PATH_MAX];
  bool zombie;

  memset (env, 0, sizeof *env);
  env->fate = local ? fate_if_local : fate_if_shared;
  env->now_ms = now_ms;
  env->sleep_ms = sleep_ms;
  env->opaque = env;

  read_id (this_process_machine_id, self->machine);
  snprintf (path, sizeof path, "%s/sys/kernel/random/boot_id",
            this_process_proc);
  read_id (path, self->boot);
  self->pid_namespace = read_namespace ("pid");
  self->time_namespace = read_namespace ("time");
  self->pid = getpid ();
  self->start = read_start (self->pid, &zombie);
  gethostname (self->host, sizeof self->host - 1);
}
