/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Writes sectors whose content says which they are, and reads them again:
 * the workload of the guest tests, over NBD and on bare block devices.
 *
 *   sectors TARGET write SEED FIRST COUNT [PIECE]
 *   sectors TARGET read SEED FIRST COUNT [PIECE]
 *   sectors TARGET write+flush SEED FIRST COUNT [PIECE]
 *   sectors TARGET -
 *   sectors NBD-URI fua SEED GOOD BAD ROUNDS
 *
 * TARGET is an NBD URI, direct:PATH (O_DIRECT) or cached:PATH (through the
 * page cache).  SEED tells one writing from another.  FIRST, COUNT and PIECE
 * (the size of a request, default 128) are sectors of 512 bytes.
 *
 * A request that fails is done again in halves, down to UNIT sectors (from
 * the environment, default 1; what the device can do at least), so that what
 * is printed is exact: each run of sectors that
 *
 *   error FIRST+COUNT ERRNO   could not be read or written
 *   wrong FIRST+COUNT         does not have the content of SEED
 *
 * and what each of two flushes says: "flush ok" or "flush ERRNO".  The status
 * is 0 unless this program can't do its work.
 *
 * With fua one connection writes the page of 8 sectors at BAD with FUA, then
 * another one that at GOOD, again and again.  (Less than a page would be read
 * before.)  It prints how many writes failed:
 *
 *   N of ROUNDS bad, N of ROUNDS good
 *
 * With - the commands are lines on stdin, for one connection: the answer to
 * each ends with a line "ok".
 */

#include <config.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libnbd.h>

#define SECTOR 512
#define PAGE 8 /* sectors */

static struct nbd_handle *nbd;
static int fd = -1;
static bool writing;
static uint64_t seed;
static uint64_t unit = 1;

/* The run that is being collected. */
static const char *run_what;
static int run_err;
static uint64_t run_first, run_count;

static void
fail (const char *what)
{
  fprintf (stderr, "sectors: %s: %s\n", what,
           nbd_get_error () ? nbd_get_error () : strerror (errno));
  exit (1);
}

static void
print_run (void)
{
  if (run_count > 0)
    printf ("%s %" PRIu64 "+%" PRIu64 "%s%s\n", run_what, run_first, run_count,
            run_err ? " " : "", run_err ? strerrorname_np (run_err) : "");
  run_count = 0;
}

static void
note (const char *what, int err, uint64_t first, uint64_t count)
{
  if (run_count > 0 && run_what == what && run_err == err &&
      run_first + run_count == first) {
    run_count += count;
    return;
  }
  print_run ();
  run_what = what;
  run_err = err;
  run_first = first;
  run_count = count;
}

static void
fill (uint8_t *buf, uint64_t first, uint64_t count)
{
  for (uint64_t s = 0; s < count; s++)
    for (uint64_t i = 0; i < SECTOR / 8; i++) {
      uint64_t word = seed << 48 ^ i << 40 ^ (first + s);

      memcpy (buf + s * SECTOR + i * 8, &word, 8);
    }
}

static void
compare (const uint8_t *buf, uint64_t first, uint64_t count)
{
  uint8_t wanted[SECTOR];

  for (uint64_t s = 0; s < count; s++) {
    fill (wanted, first + s, 1);
    if (memcmp (buf + s * SECTOR, wanted, SECTOR) != 0)
      note ("wrong", 0, first + s, 1);
  }
}

static int
request (uint8_t *buf, uint64_t first, uint64_t count)
{
  size_t len = count * SECTOR;
  uint64_t offset = first * SECTOR;
  ssize_t r;

  if (nbd) {
    if ((writing ? nbd_pwrite (nbd, buf, len, offset, 0)
                 : nbd_pread (nbd, buf, len, offset, 0)) == 0)
      return 0;
    if (nbd_get_errno () == 0 || nbd_aio_is_dead (nbd))
      fail ("request");
    return nbd_get_errno ();
  }
  r = writing ? pwrite (fd, buf, len, offset) : pread (fd, buf, len, offset);
  if (r == (ssize_t) len)
    return 0;
  return r == -1 ? errno : EIO;
}

static void
work (uint8_t *buf, uint64_t first, uint64_t count)
{
  uint64_t half;
  int err;

  if (writing)
    fill (buf, first, count);
  err = request (buf, first, count);
  if (err == 0) {
    if (!writing)
      compare (buf, first, count);
  }
  else if (count <= unit)
    note ("error", err, first, count);
  else {
    half = (count / 2 + unit - 1) / unit * unit;
    work (buf, first, half);
    work (buf, first + half, count - half);
  }
}

static void
open_target (const char *target)
{
  int flags = O_RDWR;

  if (strncmp (target, "nbd", 3) == 0) {
    nbd = nbd_create ();
    if (nbd == NULL || nbd_connect_uri (nbd, target) == -1)
      fail (target);
    return;
  }
  if (strncmp (target, "direct:", 7) == 0)
    flags |= O_DIRECT;
  else if (strncmp (target, "cached:", 7) != 0)
    fail (target);
  fd = open (target + 7, flags);
  if (fd == -1)
    fail (target);
}

static void
flush_target (void)
{
  int err = 0;

  if (nbd ? nbd_flush (nbd, 0) == -1 : fdatasync (fd) == -1)
    err = nbd ? nbd_get_errno () : errno;
  printf ("flush %s\n", err ? strerrorname_np (err) : "ok");
}

static unsigned
write_page (struct nbd_handle *h, uint64_t first)
{
  uint8_t buf[PAGE * SECTOR];

  fill (buf, first, PAGE);
  return nbd_pwrite (h, buf, sizeof buf, first * SECTOR, LIBNBD_CMD_FLAG_FUA) ==
         -1;
}

static void
write_beside (const char *uri, uint64_t good, uint64_t bad, unsigned rounds)
{
  struct nbd_handle *other = nbd_create ();
  unsigned bad_failed = 0, good_failed = 0;

  if (nbd == NULL || other == NULL || nbd_connect_uri (other, uri) == -1)
    fail (uri);
  for (unsigned i = 0; i < rounds; i++) {
    bad_failed += write_page (nbd, bad);
    good_failed += write_page (other, good);
  }
  printf ("%u of %u bad, %u of %u good\n", bad_failed, rounds, good_failed,
          rounds);
  nbd_shutdown (other, 0);
  nbd_close (other);
}

static void
command (int argc, char *argv[])
{
  uint64_t first, end, piece = 128, n;
  uint8_t *buf;

  if (argc < 4)
    fail ("usage: sectors TARGET COMMAND SEED FIRST COUNT [PIECE]");
  writing = strncmp (argv[0], "write", 5) == 0;
  seed = strtoull (argv[1], NULL, 0);
  first = strtoull (argv[2], NULL, 0);
  end = first + strtoull (argv[3], NULL, 0);
  if (argc > 4)
    piece = strtoull (argv[4], NULL, 0);

  if (posix_memalign ((void **) &buf, 4096, piece * SECTOR) != 0)
    fail ("memory");
  for (; first < end; first += n) {
    n = end - first < piece ? end - first : piece;
    work (buf, first, n);
  }
  print_run ();
  free (buf);
  if (strcmp (argv[0], "write+flush") == 0) {
    flush_target ();
    flush_target ();
  }
}

static void
commands (FILE *fp)
{
  char line[256], *words[5], *save;
  int n;

  while (fgets (line, sizeof line, fp)) {
    n = 0;
    for (char *w = strtok_r (line, " \n", &save); w && n < 5;
         w = strtok_r (NULL, " \n", &save))
      words[n++] = w;
    command (n, words);
    puts ("ok");
    fflush (stdout);
  }
}

int
main (int argc, char *argv[])
{
  if (argc < 3)
    fail ("which target, and what to do?");
  open_target (argv[1]);
  if (getenv ("UNIT"))
    unit = strtoull (getenv ("UNIT"), NULL, 0);
  if (strcmp (argv[2], "-") == 0)
    commands (stdin);
  else if (strcmp (argv[2], "fua") == 0 && argc == 7) {
    seed = strtoull (argv[3], NULL, 0);
    write_beside (argv[1], strtoull (argv[4], NULL, 0),
                  strtoull (argv[5], NULL, 0), strtoul (argv[6], NULL, 0));
  }
  else
    command (argc - 2, argv + 2);
  if (nbd) {
    nbd_shutdown (nbd, 0);
    nbd_close (nbd);
  }
  return 0;
}
