/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A client that keeps requests at chosen offsets in flight.
 *
 *   bench-load URI read|write SIZE DEPTH SECONDS [STUCK ...] <OFFSETS
 *
 * reads the offsets (bytes, one a line) from its standard input, goes
 * through them again and again on one connection, and prints how many
 * requests of SIZE bytes were answered a second.  With SECONDS 0 it goes
 * through them once, with DEPTH 0 it only waits.  Reads at the offsets STUCK
 * are sent first on the same connection, and are expected to fail, sometime;
 * they are not waited for.
 */

#include <config.h>

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libnbd.h>

#define MAX_OFFSETS 1000000
#define MAX_STUCK 64

static struct nbd_handle *nbd;
static unsigned in_flight;
static uint64_t answered, failed;

static void
check (int r)
{
  if (r != -1)
    return;
  fprintf (stderr, "bench-load: %s\n", nbd_get_error ());
  exit (EXIT_FAILURE);
}

static double
now (void)
{
  struct timespec ts;

  clock_gettime (CLOCK_MONOTONIC, &ts);
  return ts.tv_sec + ts.tv_nsec / 1e9;
}

static int
request_done (void *opaque, int *error)
{
  in_flight--;
  answered++;
  failed += *error != 0;
  return 1;
}

static int
stuck_done (void *opaque, int *error)
{
  return 1;
}

static void
start (bool is_write, char *buf, size_t size, uint64_t offset)
{
  const nbd_completion_callback done = { .callback = request_done };

  in_flight++;
  if (is_write)
    check (nbd_aio_pwrite (nbd, buf, size, offset, done, 0) == -1 ? -1 : 0);
  else
    check (nbd_aio_pread (nbd, buf, size, offset, done, 0) == -1 ? -1 : 0);
}

int
main (int argc, char *argv[])
{
  static uint64_t offset[MAX_OFFSETS];
  static char stuck_buf[MAX_STUCK][512];
  size_t n = 0, next = 0, size, depth;
  bool is_write, once;
  double seconds, began;
  char *buf;

  if (argc < 6 || argc > 6 + MAX_STUCK) {
    fprintf (stderr, "usage: bench-load URI read|write SIZE DEPTH SECONDS "
             "[STUCK ...] <OFFSETS\n");
    return EXIT_FAILURE;
  }
  is_write = strcmp (argv[2], "write") == 0;
  size = strtoul (argv[3], NULL, 0);
  depth = strtoul (argv[4], NULL, 0);
  seconds = strtod (argv[5], NULL);
  once = seconds == 0;
  while (n < MAX_OFFSETS && scanf ("%" SCNu64, &offset[n]) == 1)
    n++;
  buf = malloc (size);
  nbd = nbd_create ();
  if (n == 0 || buf == NULL || nbd == NULL) {
    fprintf (stderr, "bench-load: no offsets, or no memory\n");
    return EXIT_FAILURE;
  }
  memset (buf, 'x', size);
  check (nbd_connect_uri (nbd, argv[1]));
  for (int i = 6; i < argc; i++)
    check (nbd_aio_pread (nbd, stuck_buf[i - 6], 512,
                          strtoull (argv[i], NULL, 0),
                          (nbd_completion_callback) {
                            .callback = stuck_done }, 0) == -1 ? -1 : 0);

  began = now ();
  for (;;) {
    while (in_flight < depth && (!once || next < n))
      start (is_write, buf, size, offset[next++ % n]);
    if (once ? in_flight == 0 : now () - began >= seconds)
      break;
    check (nbd_poll (nbd, 1000));
  }
  printf ("%.1f %" PRIu64 "\n", answered / (now () - began), failed);
  fflush (stdout);

  /* An orderly end, since some versions of nbdkit don't survive a client
   * that vanishes; but what is stuck is not waited for.
   */
  while (in_flight > 0 && argc == 6)
    check (nbd_poll (nbd, 1000));
  if (argc == 6)
    check (nbd_shutdown (nbd, 0));
  return EXIT_SUCCESS;
}
