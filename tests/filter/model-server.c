/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The server, its log, and the disk's bad sectors.
 *
 * The environment says what to run: MODEL_NBDKIT, MODEL_REMAP_FILTER and
 * MODEL_BADDISK_FILTER; by default nbdkit, remap and baddisk, which is right
 * in the build directory's `run' script.
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "model.h"

pid_t server_pid;
uint64_t main_lost_events;
bool main_lost_now;
uint64_t list_changes;
uint64_t gone_until;

static int log_fd = -1;
static off_t log_read;                  /* bytes of the log already read */
static uint64_t *bad;                   /* sectors, in order of going bad */
static uint64_t nr_bad;

char *
path_of (const char *name)
{
  static char paths[8][4096];
  static unsigned next;
  char *p = paths[next++ % 8];

  snprintf (p, sizeof paths[0], "%s/%s", directory, name);
  return p;
}

const char *
server_socket (void)
{
  static char socket[4096];

  snprintf (socket, sizeof socket, "%s/sock", directory);
  return socket;
}

static void
write_list (void)
{
  char *name = path_of ("bad.txt"), *new = path_of ("bad.new");
  FILE *f = fopen (new, "w");

  if (f == NULL)
    trouble ("%s: %m", new);
  fprintf (f, "# bad sectors\n0 ? 1\n");
  for (uint64_t i = 0; i < nr_bad; i++)
    fprintf (f, "%" PRIu64 " %u -\n", bad[i] * SECTOR, SECTOR);
  if (fclose (f) != 0 || rename (new, name) == -1)
    trouble ("%s: %m", name);
}

void
server_init (void)
{
  nr_bad = 0;
  free (bad);
  bad = calloc ((mode->size + SECTOR - 1) / SECTOR, sizeof *bad);
  if (bad == NULL)
    trouble ("out of memory");
  list_changes = 0;
  gone_until = 0;
  server_pid = 0;
  if (log_fd != -1)
    close (log_fd);
  log_fd = open (path_of ("server.log"), O_RDONLY | O_CREAT | O_CLOEXEC, 0600);
  if (log_fd == -1)
    trouble ("server.log: %m");
  log_read = 0;
  write_list ();
}

void
server_finish (void)
{
  totals.bad_sectors += nr_bad;
  for (uint64_t s = 0; s < nr_sectors; s++)
    totals.mapped_sectors += sectors[s].mapped;
}

/* ---- bad sectors --------------------------------------------------------- */

bool
bad_random (uint64_t *sector)
{
  if (nr_bad == 0)
    return false;
  /* Mostly one of the latest. */
  random_apart (true);
  if (percent (70) && nr_bad > 16)
    *sector = bad[nr_bad - 1 - random_below (mode->contended ? 4 : 16)];
  else
    *sector = bad[random_below (nr_bad)];
  random_apart (false);
  return true;
}

uint64_t
bad_unmapped_blocks (void)
{
  uint64_t n = 0, first, end;

  for (uint64_t s = 0; s < nr_sectors; s = end) {
    bool unmapped = false;

    block_of (s, &first, &end);
    /* Weak blocks are moved when they are read. */
    for (uint64_t i = first; i < end; i++)
      unmapped |= mode->recovers ? sectors[i].bad_since && !sectors[i].met
        : !sectors[i].mapped;
    n += unmapped && block_bad_since (s);
  }
  return n;
}

/* Sectors count as bad before the list says so, and it says so before
 * anything is sent that relies on it.
 */
void
bad_grow (unsigned count)
{
  now++;
  while (count > 0) {
    uint64_t s = random_below (nr_sectors), run = 1;

    if (percent (4))
      s = percent (50) ? 0 : nr_sectors - 1;
    if (percent (20))
      run = 1 + random_below (12);
    for (; run > 0 && s < nr_sectors && count > 0; run--, s++) {
      count--;
      if (sectors[s].bad_since)
        continue;
      sectors[s].bad_since = now;
      bad[nr_bad++] = s;
    }
  }
  list_changes++;
  state_refresh ();
  write_list ();
  now++;
  for (uint64_t i = 0; i < nr_bad; i++)
    if (sectors[bad[i]].bad_since == now - 2)
      sectors[bad[i]].bad_since = now;
}

void
gone_set (bool gone)
{
  char *name = path_of ("gone");
  int fd;

  if (gone) {
    gone_until = UINT64_MAX;
    fd = open (name, O_CREAT | O_WRONLY, 0600);
    if (fd == -1)
      trouble ("%s: %m", name);
    close (fd);
  }
  else {
    if (unlink (name) == -1)
      trouble ("%s: %m", name);
    gone_until = ++now;
  }
}

/* ---- the process -------------------------------------------- */

struct args {
  char *v[64];
  unsigned n;
};

static void __attribute__ ((format (printf, 2, 3)))
arg (struct args *args, const char *fs, ...)
{
  va_list list;

  va_start (list, fs);
  if (vasprintf (&args->v[args->n++], fs, list) == -1)
    trouble ("out of memory");
  va_end (list);
  args->v[args->n] = NULL;
}

static const char *
env (const char *name, const char *otherwise)
{
  const char *value = getenv (name);

  return value && *value ? value : otherwise;
}

static void
make_args (struct args *a)
{
  char *words, *word, *rest;
  bool exact = mode->size % variant.block == 0;

  arg (a, "%s", env ("MODEL_NBDKIT", "nbdkit"));
  arg (a, "-f");
  arg (a, "-U");
  arg (a, "%s", server_socket ());
  if (variant.read_only)
    arg (a, "-r");
  arg (a, "--filter=%s", env ("MODEL_REMAP_FILTER", "remap"));
  if (variant.block > SECTOR)
    arg (a, "--filter=blocksize-policy");
  arg (a, "--filter=%s", env ("MODEL_BADDISK_FILTER", "baddisk"));
  arg (a, "file");
  arg (a, "%s", path_of ("main.img"));
  arg (a, "spare=%s", path_of ("spare.img"));
  arg (a, "spare-size=%s", variant.spare ? variant.spare : mode->spare);
  arg (a, "main-lost-wait=0");
  arg (a, "baddisk-list=%s", path_of ("bad.txt"));
  arg (a, "baddisk-log=%s", path_of ("baddisk.log"));
  if (mode->gone) {
    arg (a, "baddisk-gone=%s", path_of ("gone"));
    arg (a, "baddisk-gone-errno=%s", mode->gone);
  }
  if (variant.block > SECTOR) {
    arg (a, "blocksize-minimum=%u", variant.block);
    arg (a, "blocksize-preferred=%u", variant.block);
    /* It can't pass the short block at the end of main. */
    arg (a, "blocksize-error-policy=%s", exact ? "error" : "allow");
  }
  if (variant.auto_off)
    arg (a, "remap-auto=off");
  if (variant.lost_zero)
    arg (a, "remap-lost=zero");

  words = strdup (mode->baddisk);
  for (word = strtok_r (words, " ", &rest); word;
       word = strtok_r (NULL, " ", &rest))
    arg (a, "%s", word);
  free (words);
}

static void
spawn (void)
{
  struct args a = { .n = 0 };
  int fd;

  make_args (&a);
  if (verbose)
    for (unsigned i = 0; i < a.n; i++)
      fprintf (stderr, "%s%s", a.v[i], i + 1 < a.n ? " " : "\n");
  unlink (server_socket ());
  totals.starts++;
  server_pid = fork ();
  if (server_pid == -1)
    trouble ("fork: %m");
  if (server_pid == 0) {
    fd = open (path_of ("server.log"), O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (fd != -1) {
      dup2 (fd, 1);
      dup2 (fd, 2);
    }
    execvp (a.v[0], a.v);
    fprintf (stderr, "%s: %s\n", a.v[0], strerror (errno));
    _exit (127);
  }
  for (unsigned i = 0; i < a.n; i++)
    free (a.v[i]);
}

static void
read_line (const char *line)
{
  static const char *const reports[] = {
    "ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "runtime error:",
    "WARNING: ThreadSanitizer", "Assertion", "assertion",
    /* blocksize-policy: something was not aligned to main's blocks. */
    "request rejected"
  };

  for (unsigned i = 0; i < sizeof reports / sizeof *reports; i++)
    if (strstr (line, reports[i]))
      violation ("a report in server.log: %s", line);
  if (strstr (line, "main is lost")) {
    main_lost_events++;
    totals.main_lost++;
    main_lost_now = true;
    if (mode->gone == NULL)
      note ("%s", line);
  }
  if (strstr (line, "main is back"))
    main_lost_now = false;
}

void
server_scan_log (void)
{
  char *buf, *line, *end;
  struct stat st;
  ssize_t n;

  if (fstat (log_fd, &st) == -1 || st.st_size <= log_read)
    return;
  buf = malloc (st.st_size - log_read + 1);
  if (buf == NULL)
    trouble ("out of memory");
  n = pread (log_fd, buf, st.st_size - log_read, log_read);
  buf[n > 0 ? n : 0] = '\0';
  for (line = buf; (end = strchr (line, '\n')); line = end + 1) {
    *end = '\0';
    log_read += end + 1 - line;
    read_line (line);
  }
  free (buf);
}

void
server_start (void)
{
  server_scan_log ();
  spawn ();
  judge_new_server ();
  main_lost_events = 0;
  main_lost_now = false;
  ops_connect ();
  state_refresh ();
}

bool
server_died (void)
{
  int status;

  if (server_pid == 0)
    return true;
  if (waitpid (server_pid, &status, WNOHANG) != server_pid)
    return false;
  note ("the server ended with wait status 0x%x", status);
  server_pid = 0;
  return true;
}

static int
reap (int signal)
{
  int status;

  kill (server_pid, signal);
  if (waitpid (server_pid, &status, 0) != server_pid)
    trouble ("waitpid: %m");
  server_pid = 0;
  return status;
}

void
server_kill (void)
{
  int status;

  if (server_died ())
    violation ("the server died by itself: see server.log");
  status = reap (SIGKILL);
  if (!WIFSIGNALED (status) || WTERMSIG (status) != SIGKILL)
    violation ("the server ended by itself, wait status 0x%x", status);
  totals.kills++;
  ops_killed ();
  ops_disconnect (false);
  server_scan_log ();
}

void
server_start_and_kill (unsigned ms)
{
  struct timespec t = { .tv_nsec = ms * 1000000L + random_below (1000000) };
  int status;

  spawn ();
  nanosleep (&t, NULL);
  status = reap (SIGKILL);
  if (!WIFSIGNALED (status))
    violation ("a server refused to start, wait status 0x%x: see server.log",
               status);
  totals.kills++;
}

void
server_stop (void)
{
  int status;

  ops_drain ();
  ops_disconnect (true);
  /* nbdkit leaves connections that end together with it unclosed, which
   * the address sanitizer calls a leak.
   */
  nanosleep (&(struct timespec) { .tv_nsec = 20000000 }, NULL);
  status = reap (SIGTERM);
  server_scan_log ();
  if (!WIFEXITED (status) || WEXITSTATUS (status) != 0)
    violation ("the server ended with wait status 0x%x", status);
}

/* ---- checks of what it left behind --------------------------------------- */

/* The first sectors of the bad blocks that the bytes touch: how many, and
 * the last one.
 */
static uint64_t
bad_blocks_in (uint64_t offset, uint64_t count, uint64_t *which, bool *met)
{
  const uint64_t last = (offset + count - 1) / SECTOR;
  uint64_t n = 0, first, end;

  for (uint64_t s = offset / SECTOR; s <= last; s = end) {
    block_of (s, &first, &end);
    if (block_bad_since (s)) {
      n++;
      *which = first;
      met[first] = true;
    }
  }
  return n;
}

/* Promise 5: failing reads of main are at most four for each bad main block
 * that they met, in total; and for each block, of those that no other block
 * can have made fail.
 */
void
check_failing_reads (void)
{
  char *name = path_of ("baddisk.log"), line[256], kind[16], result[32];
  unsigned *alone = calloc (nr_sectors, sizeof *alone);
  bool *met = calloc (nr_sectors, sizeof *met);
  uint64_t offset, count, reads = 0, blocks = 0, which = 0;
  FILE *f = fopen (name, "r");

  if (f == NULL || met == NULL || alone == NULL)
    trouble ("%s: %m", name);
  while (fgets (line, sizeof line, f)) {
    if (sscanf (line, "%15s %" SCNu64 " %" SCNu64 " %31s", kind, &offset,
                &count, result) != 4 || strcmp (result, "ok") == 0 ||
        (strcmp (kind, "read") != 0 && strcmp (kind, "cache") != 0))
      continue;
    reads++;
    if (bad_blocks_in (offset, count, &which, met) == 1 && ++alone[which] > 4)
      violation ("the bad block of sector %" PRIu64 " made more than 4 reads "
                 "of main fail: see baddisk.log", which);
  }
  fclose (f);
  for (uint64_t s = 0; s < nr_sectors; s++)
    blocks += met[s];
  free (met);
  free (alone);
  totals.failing_reads += reads;
  totals.bad_blocks += blocks;
  if (reads > 4 * blocks)
    violation ("%" PRIu64 " failing reads of main for %" PRIu64 " bad blocks:"
               " more than 4 for each", reads, blocks);
}

/* Promises 2 and 12: what was never bad is on main, and nowhere else. */
void
check_main_image (void)
{
  char *name = path_of ("main.img");
  int fd = open (name, O_RDONLY | O_CLOEXEC);
  unsigned saved = variant.block;

  if (fd == -1)
    trouble ("%s: %m", name);
  if (mode->block == 0)
    variant.block = 4096;
  for (uint64_t s = 0; s < nr_sectors; s++) {
    uint8_t data[SECTOR];
    uint32_t len = sector_length (s);
    bool found = false;

    if (block_bad_since (s) || sectors[s].maybe_mapped)
      continue;
    if (pread (fd, data, len, s * SECTOR) != (ssize_t) len)
      trouble ("%s: %m", name);
    for (unsigned i = 0; i < sectors[s].n && !found; i++)
      found = memcmp (sectors[s].v[i].blob->data, data, len) == 0;
    if (!found)
      violation ("main.img: sector %" PRIu64 " was never bad, but does not "
                 "hold what the disk holds: it was remapped", s);
  }
  variant.block = saved;
  close (fd);
}
