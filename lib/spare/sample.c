/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <endian.h>
#include <string.h>

#include <sha2.h>

#include "spare/sample.h"

struct disk_sample {
  uint64_t offset;
  uint32_t length, reserved;
  uint8_t hash[SAMPLE_HASH];
};

_Static_assert (sizeof (struct disk_sample) == SAMPLE_CONTENT, "layout");

bool
sample_is_blank (const void *data)
{
  const uint8_t *p = data;

  return memcmp (p, p + 1, SAMPLE_SIZE - 1) == 0;
}

void
sample_hash (const uint8_t uuid[16], const void *data,
             uint8_t hash[SAMPLE_HASH])
{
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA2_CTX ctx;

  SHA256Init (&ctx);
  SHA256Update (&ctx, uuid, 16);
  SHA256Update (&ctx, data, SAMPLE_SIZE);
  SHA256Final (digest, &ctx);
  memcpy (hash, digest, SAMPLE_HASH);
}

void
sample_to_attribute (const struct sample *s, struct attribute *a,
                     uint8_t content[SAMPLE_CONTENT])
{
  struct disk_sample d = {
    .offset = htole64 (s->offset), .length = htole32 (SAMPLE_SIZE),
  };

  memcpy (d.hash, s->hash, SAMPLE_HASH);
  memcpy (content, &d, sizeof d);
  *a = (struct attribute) {
    .tag = SAMPLE_TAG, .key = s->key, .len = SAMPLE_CONTENT, .data = content,
  };
}

void
sample_of_attribute (const struct attribute *a, struct sample *s)
{
  struct disk_sample d;

  memcpy (&d, a->data, sizeof d);
  *s = (struct sample) {
    .key = a->key, .offset = le64toh (d.offset), .time = a->time,
  };
  memcpy (s->hash, d.hash, SAMPLE_HASH);
}

void
sample_removal (uint32_t key, struct attribute *a)
{
  *a = (struct attribute) { .tag = SAMPLE_TAG, .key = key };
}

const char *
sample_problem (const struct attribute *a, uint64_t main_size)
{
  struct disk_sample d;
  uint64_t offset;

  if (strcmp (a->tag, SAMPLE_TAG) != 0)
    return NULL;
  if (a->key >= SAMPLES_MAX || a->flags != 0)
    return "a sample of main with a wrong key or flag";
  if (a->len == 0)
    return NULL;
  if (a->len != SAMPLE_CONTENT)
    return "a sample of main of a wrong length";
  memcpy (&d, a->data, sizeof d);
  if (le32toh (d.length) != SAMPLE_SIZE || d.reserved != 0)
    return "a sample of main of a wrong length";
  offset = le64toh (d.offset);
  if (offset % SAMPLE_SIZE != 0 || offset > main_size ||
      main_size - offset < SAMPLE_SIZE)
    return "a sample of main that is no place of it";
  return NULL;
}
