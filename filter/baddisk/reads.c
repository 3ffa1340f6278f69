/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * How often each sector was read.
 */

#include <config.h>

#include <inttypes.h>
#include <string.h>

#include <nbdkit-filter.h>

#include "reads.h"

/* Adjacent sectors that have been read equally often. */
struct line {
  FILE *fp;
  sector_t start;
  uint64_t count;               /* sectors; 0: no line yet */
  uint32_t number;
};

static void
print_line (const struct line *line)
{
  if (line->count > 0)
    fprintf (line->fp, "%" PRIu64 " %" PRIu64 " %" PRIu32 "\n",
             line->start << SECTOR_SHIFT, line->count << SECTOR_SHIFT,
             line->number);
}

/* The next sector, in ascending order. */
static void
add_to_line (void *opaque, sector_t sector, uint32_t number)
{
  struct line *line = opaque;

  if (line->count > 0 && sector == line->start + line->count &&
      number == line->number) {
    line->count++;
    return;
  }
  print_line (line);
  line->start = sector;
  line->count = 1;
  line->number = number;
}

/* Where the number of a sector is; NULL: there is no room.  Under lock. */
static uint32_t *
place (struct reads *reads, sector_t sector)
{
  uint32_t *r = tries_find (&reads->numbers, sector);

  return r || reads->numbers.used >= reads->max_chunks ?
    r : tries_make (&reads->numbers, sector);
}

int
reads_start (struct reads *reads, const char *path)
{
  pthread_mutex_init (&reads->lock, NULL);
  reads->max_chunks = READS_MAX_CHUNKS;
  reads->path = path;
  if (path == NULL)
    return 0;
  reads->fp = fopen (path, "we");
  if (reads->fp == NULL) {
    nbdkit_error ("baddisk-reads=%s: can't create the file: %m", path);
    return -1;
  }
  return 0;
}

void
reads_count (struct reads *reads, uint64_t offset, uint32_t count)
{
  const sector_t end = sector_of (offset) +
    sectors_in (offset, offset + count);
  bool complain = false;

  if (reads->fp == NULL)
    return;
  pthread_mutex_lock (&reads->lock);
  for (sector_t s = sector_of (offset); s < end; s++) {
    uint32_t *number = place (reads, s);

    if (number == NULL) {
      complain = !reads->incomplete;
      reads->incomplete = true;
      break;
    }
    if (*number < UINT32_MAX)
      (*number)++;
  }
  pthread_mutex_unlock (&reads->lock);
  if (complain)
    nbdkit_error ("baddisk-reads=%s: so many sectors were read that not all "
                  "of them can be counted", reads->path);
}

void
reads_end (struct reads *reads)
{
  struct line line = { .fp = reads->fp };
  bool failed;

  if (reads->fp == NULL)
    return;
  failed = tries_each (&reads->numbers, add_to_line, &line) == -1;
  print_line (&line);
  if (reads->incomplete || failed)
    fprintf (reads->fp, "incomplete\n");
  failed = ferror (reads->fp) || failed;
  failed = fclose (reads->fp) != 0 || failed;
  if (failed)
    nbdkit_error ("baddisk-reads=%s: can't write the file", reads->path);
  reads->fp = NULL;
  tries_free (&reads->numbers);
}
