/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Runs a fuzz target on files, without libFuzzer: so the seeds, and what
 * was found once, are tested wherever the unit tests are.
 *
 *   fuzz-NAME-replay FILE|DIR...
 */

#include <config.h>

#include <dirent.h>
#include <string.h>
#include <sys/stat.h>

#include "fuzz.h"

static unsigned files;

static void
run_file (const char *path)
{
  FILE *fp = fopen (path, "rb");
  uint8_t *data;
  size_t size;
  long end;

  if (fp == NULL || fseek (fp, 0, SEEK_END) == -1 ||
      (end = ftell (fp)) == -1 || fseek (fp, 0, SEEK_SET) == -1) {
    perror (path);
    exit (1);
  }
  /* Exactly as large as the input, so that reading behind it is seen. */
  data = malloc (end + (end == 0));
  MUST (data != NULL);
  size = fread (data, 1, end, fp);
  fclose (fp);
  MUST (size == (size_t) end);
  /* For the log, if this one crashes. */
  printf ("%s\n", path);
  fflush (stdout);
  LLVMFuzzerTestOneInput (data, size);
  free (data);
  files++;
}

static void
run (const char *path)
{
  struct stat st;
  struct dirent *d;
  char name[4096];
  DIR *dir;

  if (stat (path, &st) == -1) {
    perror (path);
    exit (1);
  }
  if (!S_ISDIR (st.st_mode)) {
    run_file (path);
    return;
  }
  dir = opendir (path);
  MUST (dir != NULL);
  while ((d = readdir (dir)) != NULL) {
    if (d->d_name[0] == '.')
      continue;
    snprintf (name, sizeof name, "%s/%s", path, d->d_name);
    run (name);
  }
  closedir (dir);
}

int
main (int argc, char *argv[])
{
  for (int i = 1; i < argc; i++)
    run (argv[i]);
  printf ("%u inputs\n", files);
  return files > 0 ? 0 : 1;
}
