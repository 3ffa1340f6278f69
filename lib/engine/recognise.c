/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/clock.h"
#include "engine/errors.h"
#include "engine/recognise.h"

static uint64_t
now_ms (const struct main_reader *main)
{
  return main->now_ms ? main->now_ms (main->opaque) : clock_now_ms ();
}

static unsigned
choose (const struct map *map, uint64_t size, struct sample v[SAMPLES_MAX],
        unsigned n)
{
  unsigned left = 0;

  for (unsigned i = 0; i < n; i++)
    if (!recognise_is_near_error (map, v[i].offset, size))
      v[left++] = v[i];
  return left;
}

/* Reads a sample, by whole blocks of main.  Returns 0, an errno of main, or
 * ENOMEM.
 */
static int
read_sample (const struct main_reader *main, uint64_t offset,
             uint8_t data[SAMPLE_SIZE])
{
  const uint64_t start = round_down (offset, main->block);
  const uint64_t end = min_u64 (round_up (offset + SAMPLE_SIZE, main->block),
                                main->size);
  void *buf;
  int err;

  if (posix_memalign (&buf, 4096, end - start) != 0)
    return ENOMEM;
  err = device_pread (main->dev, buf, end - start, start);
  if (err == 0)
    memcpy (data, (uint8_t *) buf + (offset - start), SAMPLE_SIZE);
  free (buf);
  return err;
}

/* True: the next one may be read. */
static bool
compare (const struct main_reader *main, const uint8_t uuid[16],
         const struct sample *s, struct recognition *found, int *err)
{
  bool same;

  *err = recognise_one (main, uuid, s, &same);
  if (*err == 0) {
    found->compared++;
    if (!same && found->different++ == 0)
      found->where = s->offset;
    return true;
  }
  /* A main that is gone, or fails for another reason, says nothing. */
  if (error_classify (*err) != ERROR_MEDIA)
    return false;
  found->key[found->failed++] = s->key;
  return found->failed < RECOGNISE_FAILURES;
}

bool
recognise_is_near_error (const struct map *map, uint64_t offset, uint64_t size)
{
  const uint64_t near = min_u64 (size / 64, RECOGNISE_NEAR);
  const uint64_t start = offset - min_u64 (offset, near);
  const uint64_t end = offset + SAMPLE_SIZE + near;
  struct run run;

  return map_next (map, sector_of (start), &run) &&
    run.start < bytes_to_sectors (end);
}

int
recognise_one (const struct main_reader *main, const uint8_t uuid[16],
               const struct sample *s, bool *same)
{
  uint8_t data[SAMPLE_SIZE], hash[SAMPLE_HASH];
  const int err = read_sample (main, s->offset, data);

  if (main->was_gone && err && error_classify (err) == ERROR_GONE)
    *main->was_gone = true;
  if (err)
    return err;
  sample_hash (uuid, data, hash);
  *same = memcmp (hash, s->hash, SAMPLE_HASH) == 0;
  return 0;
}

int
recognise (struct spare *spare, const struct map *map,
           const struct main_reader *main, struct recognition *found)
{
  const uint8_t *uuid = spare_get_identity (spare)->uuid;
  struct sample v[SAMPLES_MAX];
  struct spare_status st;
  struct map_totals totals;
  unsigned n, reads;
  uint64_t begin, i;
  int err = 0;

  memset (found, 0, sizeof *found);
  map_get_totals (map, &totals);
  found->entries = totals.runs > 0;
  err = recognise_list (spare, v, &found->known);
  if (err)
    return err;
  n = choose (map, main->size, v, found->known);
  reads = min_u64 (n, RECOGNISE_READS);
  spare_get_status (spare, &st);
  begin = now_ms (main);
  for (i = 0; i < reads; i++) {
    if (now_ms (main) - begin >= RECOGNISE_MS)
      break;
    /* Evenly over the disk, and others after the next commit. */
    if (!compare (main, uuid, &v[(i * n / reads + st.commit_number) % n],
                  found, &err))
      break;
  }
  return err == ENOMEM ? ENOMEM : 0;
}

int
recognise_list (struct spare *spare, struct sample v[SAMPLES_MAX],
                unsigned *n)
{
  struct attribute *a;
  struct sample s;
  unsigned i;

  *n = 0;
  for (uint32_t key = 0; *n < SAMPLES_MAX &&
         spare_next_attribute (spare, SAMPLE_TAG, key, &a); key = s.key + 1) {
    if (a == NULL)
      return ENOMEM;
    if (strcmp (a->tag, SAMPLE_TAG) != 0) {
      free (a);
      break;
    }
    sample_of_attribute (a, &s);
    free (a);
    for (i = (*n)++; i > 0 && v[i-1].offset > s.offset; i--)
      v[i] = v[i-1];
    v[i] = s;
  }
  return 0;
}

int
recognise_forget (struct spare *spare, const uint32_t *keys, unsigned n)
{
  struct change_list list = { 0 };
  struct attribute a;
  int err = 0;

  for (unsigned i = 0; i < n && err == 0; i++) {
    sample_removal (keys[i], &a);
    err = change_list_add_attribute (&list, &a);
  }
  if (err == 0)
    err = spare_commit (spare, &list, NULL);
  change_list_free (&list);
  return err;
}

int
recognise_forget_all (struct spare *spare)
{
  struct sample v[SAMPLES_MAX];
  uint32_t keys[SAMPLES_MAX];
  unsigned n;
  int err = recognise_list (spare, v, &n);

  if (err)
    return err;
  for (unsigned i = 0; i < n; i++)
    keys[i] = v[i].key;
  return recognise_forget (spare, keys, n);
}
