/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The format itself is documented in remap-spare(5).  Nothing here believes
 * what is on the disk (promise 23 of remap-promises(7)).
 */

#include <config.h>

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "base/bytes.h"
#include "spare/logpage.h"

#define LOG_MAGIC 0x474c4d52U    /* "RMLG" on the disk */

struct disk_entry {
  uint64_t sector;
  uint64_t slot;
  uint32_t count;
  uint8_t kind;
  uint8_t reason;
  uint16_t reserved;
  uint64_t time;
};

/* The head of an attribute; its content follows, in whole entries. */
struct disk_attribute {
  char tag[ATTRIBUTE_TAG];
  uint32_t key;
  uint32_t len;
  uint32_t count;
  uint8_t kind;
  uint8_t flags;
  uint16_t reserved;
  uint64_t time;
};

struct disk_log_page {
  uint32_t magic;
  uint32_t crc;
  uint8_t uuid[16];
  uint64_t generation;
  uint64_t number;
  uint64_t nonce;
  uint32_t position;
  uint32_t index;
  uint32_t total;
  uint16_t count;
  uint16_t flags;
  uint64_t counters[NR_SPARE_COUNTERS];
  struct disk_entry entry[ENTRIES_PER_PAGE];
};
static_assert (sizeof (struct disk_entry) == LOG_ENTRY_SIZE, "entry");
static_assert (sizeof (struct disk_attribute) == LOG_ENTRY_SIZE, "attribute");
static_assert (offsetof (struct disk_attribute, kind) ==
               offsetof (struct disk_entry, kind), "attribute");
static_assert (ATTRIBUTE_MAX ==
               (ENTRIES_PER_PAGE - 1) * LOG_ENTRY_SIZE, "attribute");
static_assert (offsetof (struct disk_log_page, entry) == 128, "log page");
static_assert (sizeof (struct disk_log_page) == SPARE_PAGE, "log page");

static const char *
entry_check (const struct log_entry *e, const struct log_limits *limits)
{
  const bool has_sector = change_has_sector (e->kind);
  const bool has_slot = change_has_slot (e->kind);

  if (e->kind > (limits->incompat & FEATURE_RESCUED ? CHANGE_WRITTEN
                 : CHANGE_RETIRE))
    return "an entry of an unknown kind";
  if (e->reason > (limits->incompat & FEATURE_REASONS ? WHY_MAX : WHY_CLIENT))
    return "an entry with an unknown reason";
  if (e->count == 0)
    return "an empty entry";
  if (has_sector ? e->sector > limits->sectors ||
                   e->count > limits->sectors - e->sector
                 : e->sector != 0)
    return "an entry beyond the end of main";
  if (has_slot ? e->slot > limits->nslots ||
                 e->count > limits->nslots - e->slot
               : e->slot != 0)
    return "an entry beyond the last slot";
  return NULL;
}

/* ROOM: entries from the head to the last one of the page. */
static const char *
attribute_check (const struct disk_attribute *d, unsigned room,
                 const struct log_limits *limits)
{
  const uint32_t count = le32toh (d->count), len = le32toh (d->len);
  const uint8_t *content = (const uint8_t *) (d + 1);
  char tag[ATTRIBUTE_TAG + 1] = "";

  if (!(limits->incompat & FEATURE_ATTRIBUTES))
    return "an entry of an unknown kind";
  if (count < 1 || count > room || len > ATTRIBUTE_MAX ||
      count - 1 != div_up (len, LOG_ENTRY_SIZE))
    return "an attribute with a wrong length";
  memcpy (tag, d->tag, ATTRIBUTE_TAG);
  if (!attribute_tag_ok (tag) ||
      !is_zero (d->tag + strlen (tag), ATTRIBUTE_TAG - strlen (tag)))
    return "an attribute without a tag";
  if ((d->flags & ~(ATTRIBUTE_CRITICAL | ATTRIBUTE_TRANSIENT)) != 0 ||
      d->reserved != 0)
    return "an attribute with unknown flags";
  if (!is_zero (content + len, (count - 1) * LOG_ENTRY_SIZE - len))
    return "bytes after an attribute";
  return NULL;
}

/* The page has N entries now. */
static void
put_count (struct disk_log_page *d, unsigned n)
{
  assert (n <= ENTRIES_PER_PAGE);
  if (n > le16toh (d->count))
    d->count = htole16 (n);
}

void
log_page_put (void *page, unsigned i, const struct log_entry *e)
{
  struct disk_log_page *d = page;

  assert (e->count <= MAX_ENTRY_COUNT);
  put_count (d, i + 1);
  d->entry[i].sector = htole64 (e->sector);
  d->entry[i].slot = htole64 (e->slot);
  d->entry[i].count = htole32 (e->count);
  d->entry[i].kind = e->kind;
  d->entry[i].reason = e->reason;
  d->entry[i].time = htole64 (e->time);
}

void
log_page_put_attribute (void *page, unsigned i, const struct attribute *a)
{
  const unsigned n = log_entries_for_attribute (a);
  struct disk_log_page *d = page;
  struct disk_attribute *head = (struct disk_attribute *) &d->entry[i];

  put_count (d, i + n);
  memcpy (head->tag, a->tag, ATTRIBUTE_TAG);
  head->key = htole32 (a->key);
  head->len = htole32 (a->len);
  head->count = htole32 (n);
  head->kind = CHANGE_ATTRIBUTE;
  head->flags = a->flags;
  head->time = htole64 (a->time);
  if (a->len > 0)
    memcpy (&d->entry[i + 1], a->data, a->len);
}

void
log_page_encode (const struct log_page *info, void *page)
{
  struct disk_log_page *d = page;
  unsigned i;

  d->magic = htole32 (LOG_MAGIC);
  memcpy (d->uuid, info->uuid, sizeof d->uuid);
  d->generation = htole64 (info->generation);
  d->number = htole64 (info->number);
  d->nonce = htole64 (info->nonce);
  d->position = htole32 (info->position);
  d->index = htole32 (info->index);
  d->total = htole32 (info->total);
  for (i = 0; i < NR_SPARE_COUNTERS; i++)
    d->counters[i] = htole64 (info->counters[i]);
  d->crc = htole32 (page_crc (d, offsetof (struct disk_log_page, crc)));
}

bool
log_page_decode (const void *page, const struct header *h,
                 uint32_t position, struct log_page *info)
{
  const struct disk_log_page *d = page;
  unsigned i;

  /* The cheap comparisons first: most pages that fail are zeroes, or of
   * an older generation.
   */
  if (le32toh (d->magic) != LOG_MAGIC ||
      le64toh (d->generation) != h->generation ||
      le32toh (d->position) != position ||
      memcmp (d->uuid, h->uuid, sizeof d->uuid) != 0 ||
      le32toh (d->crc) != page_crc (d, offsetof (struct disk_log_page, crc)))
    return false;

  memcpy (info->uuid, d->uuid, sizeof info->uuid);
  info->generation = h->generation;
  info->number = le64toh (d->number);
  info->nonce = le64toh (d->nonce);
  info->position = position;
  info->index = le32toh (d->index);
  info->total = le32toh (d->total);
  info->count = le16toh (d->count);
  for (i = 0; i < NR_SPARE_COUNTERS; i++)
    info->counters[i] = le64toh (d->counters[i]);
  return true;
}

void
log_page_get (const void *page, unsigned i, struct log_entry *e)
{
  const struct disk_log_page *d = page;

  e->sector = le64toh (d->entry[i].sector);
  e->slot = le64toh (d->entry[i].slot);
  e->count = le32toh (d->entry[i].count);
  e->kind = d->entry[i].kind;
  e->reason = d->entry[i].reason;
  e->time = le64toh (d->entry[i].time);
}

void
log_page_get_attribute (const void *page, unsigned i, struct attribute *a)
{
  const struct disk_log_page *d = page;
  const struct disk_attribute *head =
    (const struct disk_attribute *) &d->entry[i];

  memset (a, 0, sizeof *a);
  memcpy (a->tag, head->tag, ATTRIBUTE_TAG);
  a->key = le32toh (head->key);
  a->len = le32toh (head->len);
  a->flags = head->flags;
  a->time = le64toh (head->time);
  a->data = (const uint8_t *) (head + 1);
}

struct log_limits
log_limits_of (const struct header *h)
{
  struct log_limits limits = {
    .sectors = bytes_to_sectors (h->main_size), .nslots = header_slots (h),
    .incompat = h->incompat,
  };

  return limits;
}

const char *
log_page_check (const void *page, const struct log_page *info,
                const struct log_limits *limits)
{
  const struct disk_log_page *d = page;
  struct log_entry e;
  const char *wrong;
  unsigned i;

  if (d->flags != 0 || info->count > ENTRIES_PER_PAGE)
    return "unknown flags or too many entries";
  for (i = 0; i < info->count; i = log_page_next (i, &e)) {
    log_page_get (page, i, &e);
    if (e.kind == CHANGE_ATTRIBUTE)
      wrong = attribute_check ((const struct disk_attribute *) &d->entry[i],
                               info->count - i, limits);
    else
      wrong = d->entry[i].reserved != 0 ? "an entry with reserved bits"
        : entry_check (&e, limits);
    if (wrong != NULL)
      return wrong;
  }
  if (!is_zero (d->entry + i, (ENTRIES_PER_PAGE - i) * sizeof d->entry[0]))
    return "bytes after the last entry";
  return NULL;
}
