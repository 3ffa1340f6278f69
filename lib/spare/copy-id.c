/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "spare/copy-id.h"

#define TAG "copy"
#define KEY_IDENTITY 1U
#define KEY_SAMPLES 2U

enum { IS_DEVICE = 1, STAMPED = 2, HAS_NEXT = 4, IS_ALONE = 8, ALL_FLAGS = 15 };

struct disk_id {
  uint32_t flags;
  uint16_t label_len, path_len; /* bytes, which follow */
  uint64_t size;
  uint8_t stamp[COPY_STAMP], next[COPY_STAMP];
};

struct disk_copy_sample {
  uint64_t offset;
  uint8_t hash[SAMPLE_HASH];
};

_Static_assert (sizeof (struct disk_id) == 48, "layout");
_Static_assert (sizeof (struct disk_copy_sample) == 24, "layout");
_Static_assert (sizeof (struct disk_id) + SPARE_LABEL_MAX + COPY_PATH_MAX <=
                ATTRIBUTE_MAX, "fits");

/* The attribute with this key; NULL if there is none.  Returns 0 or ENOMEM. */
static int
get (struct spare *spare, uint32_t key, struct attribute **a)
{
  if (!spare_next_attribute (spare, TAG, key, a))
    return 0;
  if (*a == NULL)
    return ENOMEM;
  if (strcmp ((*a)->tag, TAG) != 0 || (*a)->key != key) {
    free (*a);
    *a = NULL;
  }
  return 0;
}

static int
put (struct spare *spare, uint32_t key, const void *data, size_t len)
{
  const struct attribute a = {
    .tag = TAG, .key = key, .flags = ATTRIBUTE_CRITICAL, .len = len,
    .data = data,
  };
  struct change_list list = { 0 };
  int err = change_list_add_attribute (&list, &a);

  if (err == 0)
    err = spare_commit (spare, &list, NULL);
  change_list_free (&list);
  return err;
}

static int
decode (const struct attribute *a, struct copy_id *id)
{
  struct disk_id d;
  uint32_t flags;
  size_t label, path;

  if (a->len < sizeof d)
    return EINVAL;
  memcpy (&d, a->data, sizeof d);
  flags = le32toh (d.flags);
  label = le16toh (d.label_len);
  path = le16toh (d.path_len);
  if ((flags & ~ALL_FLAGS) || label > SPARE_LABEL_MAX ||
      path >= COPY_PATH_MAX || a->len != sizeof d + label + path ||
      memchr (a->data + sizeof d, 0, label + path) != NULL)
    return EINVAL;
  id->is_device = flags & IS_DEVICE;
  id->stamped = flags & STAMPED;
  id->has_next = flags & HAS_NEXT;
  id->is_alone = flags & IS_ALONE;
  id->size = le64toh (d.size);
  memcpy (id->stamp, d.stamp, COPY_STAMP);
  memcpy (id->next, d.next, COPY_STAMP);
  memcpy (id->label, a->data + sizeof d, label);
  memcpy (id->path, a->data + sizeof d + label, path);
  return 0;
}

int
copy_id_read (struct spare *spare, struct copy_id *id, bool *there)
{
  struct attribute *a = NULL;
  int err;

  memset (id, 0, sizeof *id);
  err = get (spare, KEY_IDENTITY, &a);
  *there = a != NULL;
  if (a)
    err = decode (a, id);
  free (a);
  return err;
}

int
copy_id_write (struct spare *spare, const struct copy_id *id)
{
  uint8_t data[sizeof (struct disk_id) + SPARE_LABEL_MAX + COPY_PATH_MAX];
  const size_t label = strlen (id->label), path = strlen (id->path);
  struct disk_id d = {
    .flags = htole32 ((id->is_device ? IS_DEVICE : 0) |
                      (id->stamped ? STAMPED : 0) |
                      (id->has_next ? HAS_NEXT : 0) |
                      (id->is_alone ? IS_ALONE : 0)),
    .label_len = htole16 (label), .path_len = htole16 (path),
    .size = htole64 (id->size),
  };

  memcpy (d.stamp, id->stamp, COPY_STAMP);
  memcpy (d.next, id->next, COPY_STAMP);
  memcpy (data, &d, sizeof d);
  memcpy (data + sizeof d, id->label, label);
  memcpy (data + sizeof d + label, id->path, path);
  return put (spare, KEY_IDENTITY, data, sizeof d + label + path);
}

/* All that has the tag, in one commit. */
int
copy_id_forget (struct spare *spare)
{
  struct change_list list = { 0 };
  struct attribute *a, removal;
  uint32_t key = 0;
  bool more = true;
  int err = 0;

  while (err == 0 && more && spare_next_attribute (spare, TAG, key, &a)) {
    if (a == NULL)
      err = ENOMEM;
    else if ((more = strcmp (a->tag, TAG) == 0)) {
      removal = (struct attribute) { .tag = TAG, .key = a->key,
                                     .flags = a->flags };
      err = change_list_add_attribute (&list, &removal);
      more = a->key < UINT32_MAX;
      key = a->key + 1;
    }
    free (a);
  }
  if (err == 0)
    err = spare_commit (spare, &list, NULL);
  change_list_free (&list);
  return err;
}

int
copy_samples_read (struct spare *spare, struct sample v[COPY_SAMPLES_MAX],
                   unsigned *n)
{
  struct attribute *a = NULL;
  struct disk_copy_sample d;
  int err = get (spare, KEY_SAMPLES, &a);

  *n = 0;
  if (a == NULL)
    return err;
  if (a->len % sizeof d != 0 || a->len / sizeof d > COPY_SAMPLES_MAX)
    err = EINVAL;
  for (unsigned i = 0; err == 0 && i < a->len / sizeof d; i++) {
    memcpy (&d, a->data + i * sizeof d, sizeof d);
    v[i] = (struct sample) { .key = i, .offset = le64toh (d.offset) };
    memcpy (v[i].hash, d.hash, SAMPLE_HASH);
    *n = i + 1;
  }
  free (a);
  return err;
}

int
copy_samples_write (struct spare *spare, const struct sample *v, unsigned n)
{
  struct disk_copy_sample d[COPY_SAMPLES_MAX];

  for (unsigned i = 0; i < n; i++) {
    d[i].offset = htole64 (v[i].offset);
    memcpy (d[i].hash, v[i].hash, SAMPLE_HASH);
  }
  return put (spare, KEY_SAMPLES, d, n * sizeof *d);
}
