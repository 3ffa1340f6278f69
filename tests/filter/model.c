/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The model test: options, modes, and what a run does (see model.h).
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <sys/stat.h>

#include <libnbd.h>

#include "model.h"

#define MB (UINT64_C (1) << 20)
#define RWZ .fails_read = true, .fails_write = true, .fails_zero = true

static const struct mode modes[] = {
  { "normal", 8 * MB, 512, "", "8M", RWZ },
  { "odd", 5 * MB + 777, 512, "baddisk-partial=random", "8M", RWZ },
  { "4k", 16 * MB, 4096, "", "8M", RWZ },
  { "4k-odd", 12 * MB + 1100, 4096, "baddisk-partial=good", "8M", RWZ },
  { "mixed-block", 8 * MB, 0, "", "8M", RWZ },
  { "small-spare", 32 * MB, 512, "baddisk-errno=ETIMEDOUT", "1M", RWZ,
    .timed_out = true, .may_fill = true },
  { "fail-read", 8 * MB, 512, "baddisk-fail=read", "8M",
    .fails_read = true },
  { "fail-read-4k", 8 * MB, 4096, "baddisk-fail=read", "8M",
    .fails_read = true },
  { "fail-write", 8 * MB, 512, "baddisk-fail=write,zero", "8M",
    .fails_write = true, .fails_zero = true },
  { "fail-write-4k", 8 * MB + 3 * 512, 4096,
    "baddisk-fail=write,zero baddisk-partial=random", "8M",
    .fails_write = true, .fails_zero = true },
  { "weak", 8 * MB, 512, "baddisk-recover=2", "8M", RWZ, .recovers = true },
  { "weak-4k", 8 * MB, 4096, "baddisk-recover=2 baddisk-fail=read", "8M",
    .fails_read = true, .recovers = true },
  { "weaker", 8 * MB, 512, "baddisk-recover=3", "8M", RWZ, .lenient = true },
  { "partial", 8 * MB, 512, "baddisk-partial=random baddisk-errno=ENODATA",
    "8M", RWZ },
  { "remoteio", 4 * MB + 1, 512, "baddisk-errno=EREMOTEIO", "8M", RWZ },
  { "timeout", 8 * MB, 512, "baddisk-errno=ETIMEDOUT", "16M", RWZ,
    .timed_out = true },
  { "gone", 8 * MB, 512, "", "8M", RWZ, .gone = "ENODEV" },
  { "gone-eio", 8 * MB, 4096, "", "8M", RWZ, .gone = "EIO" },
  { "contended", MB / 2, 512, "baddisk-delay=0.1 baddisk-fail-delay=0.2",
    "8M", RWZ, .contended = true },
  { "contended-4k", 2 * MB, 4096, "baddisk-delay=0.1", "8M", RWZ,
    .contended = true },
  { "contended-weak", MB / 2, 512,
    "baddisk-delay=0.1 baddisk-recover=2 baddisk-fail=read", "8M",
    .fails_read = true, .recovers = true, .contended = true },
  { "contended-weak-4k", 2 * MB, 4096,
    "baddisk-delay=0.1 baddisk-recover=2 baddisk-fail=read", "8M",
    .fails_read = true, .recovers = true, .contended = true },
  { "single", 8 * MB, 512, "", "8M", RWZ, .single = true },
  { "single-4k", 8 * MB, 4096, "", "8M", RWZ, .single = true },
};
#define NR_MODES (sizeof modes / sizeof modes[0])

const struct mode *mode;
uint64_t seed;
struct totals totals;
struct server_variant variant;
bool verbose;
const char *directory;

static struct mode this_mode;
static uint64_t random_state[2];
static bool random_is_apart;

/* splitmix64 */
uint64_t
random_number (void)
{
  uint64_t *state = &random_state[random_is_apart];
  uint64_t z = (*state += UINT64_C (0x9e3779b97f4a7c15));

  z = (z ^ (z >> 30)) * UINT64_C (0xbf58476d1ce4e5b9);
  z = (z ^ (z >> 27)) * UINT64_C (0x94d049bb133111eb);
  return z ^ (z >> 31);
}

void
random_apart (bool apart)
{
  random_is_apart = apart;
}

static const char *replay = "";

static void __attribute__ ((noreturn, format (printf, 2, 0)))
end_test (const char *what, const char *fs, va_list args)
{
  fprintf (stderr, "\n%s: ", what);
  vfprintf (stderr, fs, args);
  fprintf (stderr, "\nreplay: --mode %s --seed %" PRIu64 "%s (files: %s)\n",
           mode ? mode->name : "?", seed, replay, directory);
  if (server_pid > 0)
    kill (server_pid, SIGKILL);
  exit (1);
}

void
violation (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  end_test ("VIOLATION", fs, args);
}

void
trouble (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  end_test ("the test can't go on", fs, args);
}

void
note (const char *fs, ...)
{
  va_list args;

  va_start (args, fs);
  vfprintf (stderr, fs, args);
  va_end (args);
  fputc ('\n', stderr);
}

/* A main that holds data and holes, known to nobody's writes: write 1. */
static void
make_main (void)
{
  char *name = path_of ("main.img");
  uint8_t *content = calloc (1, mode->size + SECTOR);
  uint64_t n, off;
  int fd = open (name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

  if (content == NULL || fd == -1 || ftruncate (fd, mode->size) == -1)
    trouble ("%s: %m", name);
  for (off = 0; off < mode->size; off += n) {
    n = 1 + random_below (MB);
    if (n > mode->size - off)
      n = mode->size - off;
    if (percent (25))
      continue;
    pattern (1, off, content + off, n);
    if (pwrite (fd, content + off, n, off) != (ssize_t) n)
      trouble ("%s: %m", name);
  }
  close (fd);
  state_init (content);
  free (content);
}

/* Reads what must be readable (CAREFUL), or everything: what fails in large
 * pieces is read sector by sector.
 */
static void
verify (bool careful)
{
  const uint64_t piece = 64;            /* sectors */

  for (uint64_t s = 0, end; s < nr_sectors; s = end) {
    uint64_t start = s * SECTOR, stop;

    end = s + piece < nr_sectors ? s + piece : nr_sectors;
    if (careful) {
      while (s < end && may_fail_read (s))
        s++;
      start = s * SECTOR;
      for (stop = s; stop < end && !may_fail_read (stop); stop++)
        ;
      end = stop;
      if (s == end)
        continue;
    }
    stop = end * SECTOR < mode->size ? end * SECTOR : mode->size;
    if (ops_one (0, READ, start, stop - start, false) == 0)
      continue;
    for (; s < end; s++)
      ops_one (0, READ, s * SECTOR, sector_length (s), false);
  }
}

static unsigned
random_block (void)
{
  return mode->block ? mode->block : percent (50) ? 512 : 4096;
}

/* More sectors go bad, as long as few of those that are in use are. */
static void
maybe_grow (void)
{
  uint64_t blocks = mode->size / variant.block;
  uint64_t limit = blocks / 80, now_bad = bad_unmapped_blocks ();

  random_apart (true);
  if (now_bad < limit)
    bad_grow (1 + random_below (limit - now_bad));
  random_apart (false);
}

/* How often main had been lost before it went away. */
static uint64_t lost_before;

/* The disk goes away with a write that was not flushed, of a sector that
 * main alone has.  False if there is no such sector.
 */
static bool
go_away (uint64_t *s, bool busy)
{
  unsigned tries = 0;
  int err;

  ops_drain ();
  /* The first may tell of an earlier time. */
  for (unsigned i = 0; i < nr_conns; i++)
    if (ops_one (i, FLUSH, 0, 0, false) != 0 &&
        ops_one (i, FLUSH, 0, 0, false) != 0)
      violation ("connection %u: a flush failed before main was gone", i);
  random_apart (true);
  do {
    *s = random_below (nr_sectors - 8) & ~UINT64_C (7);
    if (++tries > 10000)
      break;
  } while (block_bad_since (*s) || sectors[*s].maybe_mapped ||
           sectors[*s].mapped);
  random_apart (false);
  if (tries > 10000)
    return false;
  if (ops_one (0, WRITE, *s * SECTOR, variant.block, false) != 0)
    violation ("a write failed before main was gone");
  /* An error that only says that the disk is gone may come any time. */
  if (busy && strcmp (mode->gone, "EIO") != 0)
    ops_run (20);
  server_scan_log ();
  lost_before = main_lost_events;
  gone_set (true);
  err = ops_one (0, READ, *s * SECTOR, SECTOR, false);
  if (err != EIO && err != ESHUTDOWN && !sectors[*s].maybe_mapped)
    violation ("main is gone, but sector %" PRIu64 " was read", *s);
  return true;
}

static void
come_back (uint64_t s)
{
  struct timespec pause = { .tv_nsec = 20000000 };
  unsigned tries = 0;

  ops_drain ();
  gone_set (false);
  /* Until it is noticed that it is back. */
  gone_until = UINT64_MAX;
  while (ops_one (0, READ, s * SECTOR, SECTOR, false) != 0) {
    if (++tries > 1000)
      violation ("main is back, but sector %" PRIu64 " can't be read", s);
    nanosleep (&pause, NULL);
  }
  /* What the judge goes by are the lines of the log, which come a little later;
   * none do if nobody has noticed that it was away.
   */
  for (tries = 0; tries < 100; tries++) {
    server_scan_log ();
    if (main_lost_events > lost_before && !main_lost_now)
      break;
    nanosleep (&pause, NULL);
  }
  gone_until = now;
}

static void
be_gone (void)
{
  uint64_t s;

  if (!go_away (&s, true))
    return;
  ops_run (200 + random_below (200));
  come_back (s);
}

/* Every connection is told of what was not flushed, and once.  Nothing
 * else that could flush is in flight.
 */
static void
be_gone_and_flush (void)
{
  uint64_t s;

  if (!go_away (&s, false))
    return;
  come_back (s);
  for (unsigned i = 0; i < nr_conns; i++) {
    if (ops_one (i, FLUSH, 0, 0, false) != EIO)
      violation ("connection %u was not told that main was lost with "
                 "unflushed writes", i);
    if (ops_one (i, FLUSH, 0, 0, false) != 0)
      violation ("connection %u was told twice of one failed flush", i);
  }
}

static void
random_variant (void)
{
  variant = (struct server_variant) { .block = random_block () };
  if (mode->single)
    return;
  if (percent (5))
    variant.read_only = true;
  else if (percent (5) && !mode->gone)
    variant.auto_off = true;
}

/* One server's life. */
static void
phase (uint64_t n, bool kill)
{
  uint64_t part;

  server_start ();
  if (percent (30))
    verify (true);
  while (n > 0) {
    part = 1 + random_below (n);
    if (percent (30))
      part = n;
    if (mode->contended && part > 40)
      part = 40;
    if (mode->single)
      ops_drain ();
    maybe_grow ();
    ops_run (part);
    if (mode->gone && !variant.read_only && percent (30)) {
      if (percent (50))
        be_gone ();
      else
        be_gone_and_flush ();
    }
    n -= part;
  }
  if (!kill) {
    server_stop ();
    return;
  }
  if (mode->single || percent (10))
    ops_drain ();
  else if (percent (70))
    nanosleep (&(struct timespec) { .tv_nsec = random_below (2000000) }, NULL);
  server_kill ();
}

/* The end of each run: everything is verified, in every way. */
static void
final_checks (void)
{
  variant = (struct server_variant) { .block = random_block () };
  if (mode->may_fill)
    variant.spare = "64M";
  server_start ();
  if (mode->may_fill) {
    /* There is room now: no write may fail for the lack of it. */
    uint64_t before = totals.no_space;

    ops_run (200);
    ops_drain ();
    if (totals.no_space != before)
      violation ("the spare was enlarged, but is still full");
  }
  verify (false);
  server_kill ();
  server_start ();
  verify (false);
  server_stop ();
  variant.auto_off = true;
  server_start ();
  verify (false);
  server_stop ();
  variant.auto_off = false;
  variant.lost_zero = true;
  server_start ();
  verify (false);
  server_stop ();
  check_main_image ();
  if (mode->single)
    check_failing_reads ();
}

static void
run (uint64_t nr_ops, uint64_t nr_kills)
{
  random_state[0] = seed;
  random_state[1] = ~seed;
  nr_conns = mode->single ? 1 : 3;
  depth = mode->single ? 1 : 4;
  unlink (path_of ("spare.img"));
  unlink (path_of ("baddisk.log"));
  unlink (path_of ("server.log"));
  unlink (path_of ("gone"));
  ops_init ();
  make_main ();
  server_init ();
  variant = (struct server_variant) { .block = random_block () };

  for (uint64_t i = 0; i <= nr_kills; i++) {
    if (percent (20))
      for (uint64_t n = 1 + random_below (3); n > 0; n--)
        server_start_and_kill (random_below (31));
    random_variant ();
    phase (1 + random_below (2 * nr_ops / (nr_kills + 1)), !percent (10));
  }
  final_checks ();
  server_finish ();
  state_free ();
}

static void
print_totals (const char *what)
{
  printf ("%s: %" PRIu64 " operations (and %" PRIu64 " to verify), %" PRIu64
          " kills, %" PRIu64 " starts; %" PRIu64 " bad sectors, %" PRIu64
          " mapped for certain, %" PRIu64 " read as lost; %" PRIu64
          " errors (%" PRIu64 " no space), main lost %" PRIu64 " times, %"
          PRIu64 " torn reads, %" PRIu64 " sectors given up", what,
          totals.ops, totals.checks, totals.kills, totals.starts,
          totals.bad_sectors, totals.mapped_sectors, totals.lost_sectors,
          totals.errors, totals.no_space, totals.main_lost, totals.torn,
          totals.wild);
  if (totals.bad_blocks)
    printf ("; %" PRIu64 " failing reads of %" PRIu64 " bad blocks",
            totals.failing_reads, totals.bad_blocks);
  printf ("\n");
  fflush (stdout);
}

static void
add_totals (struct totals *sum, const struct totals *t)
{
  const uint64_t *from = (const uint64_t *) t;
  uint64_t *to = (uint64_t *) sum;

  for (size_t i = 0; i < sizeof *t / sizeof *from; i++)
    to[i] += from[i];
}

static void
usage (void)
{
  printf ("model [--mode NAME[,NAME...]] [--seed N] [--ops N] [--kills N]\n"
          "      [--size BYTES] [--minutes N] [--rounds N] [--dir DIR]\n"
          "      [--verbose]\n"
          "Runs each mode (default: all) with this seed; with --minutes or\n"
          "--rounds again and again, each time with the next seed.  Modes:");
  for (size_t i = 0; i < NR_MODES; i++)
    printf (" %s", modes[i].name);
  printf ("\n");
}

static bool
wanted (const char *list, const char *name)
{
  size_t len = strlen (name);

  for (const char *p = list; (p = strstr (p, name)); p += len)
    if ((p == list || p[-1] == ',') && (p[len] == ',' || p[len] == '\0'))
      return true;
  return false;
}

int
main (int argc, char *argv[])
{
  static const struct option options[] = {
    { "mode", required_argument, NULL, 'm' },
    { "seed", required_argument, NULL, 's' },
    { "ops", required_argument, NULL, 'o' },
    { "kills", required_argument, NULL, 'k' },
    { "size", required_argument, NULL, 'b' },
    { "minutes", required_argument, NULL, 't' },
    { "rounds", required_argument, NULL, 'r' },
    { "dir", required_argument, NULL, 'd' },
    { "verbose", no_argument, NULL, 'v' },
    { "help", no_argument, NULL, 'h' },
    { NULL }
  };
  uint64_t nr_ops = 2000, nr_kills = 4, first_seed = 1, rounds = 1, size = 0;
  const char *only = NULL;
  static char dir[4096], text[128];
  struct totals sum = { 0 };
  time_t end = 0;
  int c;

  while ((c = getopt_long (argc, argv, "", options, NULL)) != -1)
    switch (c) {
    case 'm': only = optarg; break;
    case 's': first_seed = strtoull (optarg, NULL, 0); break;
    case 'o': nr_ops = strtoull (optarg, NULL, 0); break;
    case 'k': nr_kills = strtoull (optarg, NULL, 0); break;
    case 'b': size = strtoull (optarg, NULL, 0); break;
    case 't': end = time (NULL) + 60 * strtoull (optarg, NULL, 0); break;
    case 'r': rounds = strtoull (optarg, NULL, 0); break;
    case 'd': directory = optarg; break;
    case 'v': verbose = true; break;
    case 'h': usage (); return 0;
    default: usage (); return 2;
    }
  if (nr_ops == 0)
    nr_ops = 1;
  if (directory == NULL) {
    snprintf (dir, sizeof dir, "%s/model-XXXXXX", getenv ("TMPDIR") ?: "/tmp");
    directory = mkdtemp (dir);
    if (directory == NULL)
      trouble ("%s: %m", dir);
  }
  else if (mkdir (directory, 0700) == -1 && errno != EEXIST)
    trouble ("%s: %m", directory);
  snprintf (text, sizeof text, " --ops %" PRIu64 " --kills %" PRIu64, nr_ops,
            nr_kills);
  replay = text;

  for (seed = first_seed;
       end ? time (NULL) < end : seed < first_seed + rounds; seed++)
    for (size_t i = 0; i < NR_MODES; i++) {
      char what[64];

      if (only && !wanted (only, modes[i].name))
        continue;
      this_mode = modes[i];
      if (size)
        this_mode.size = size;
      mode = &this_mode;
      memset (&totals, 0, sizeof totals);
      run (nr_ops, nr_kills);
      snprintf (what, sizeof what, "%s, seed %" PRIu64, mode->name, seed);
      print_totals (what);
      add_totals (&sum, &totals);
    }
  totals = sum;
  print_totals ("total");
  if (directory == dir) {
    static const char *const names[] = {
      "main.img", "spare.img", "bad.txt", "baddisk.log", "server.log", "sock",
      "gone"
    };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
      unlink (path_of (names[i]));
    rmdir (directory);
  }
  return 0;
}
