/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The format itself is documented in remap-spare(5).  Nothing here believes
 * what is on the disk (promise 23 of remap-promises(7)): what isn't as it
 * should be is said to be so, and a version or feature that is unknown is
 * refused (promise 20).
 */

#include <config.h>

#include <assert.h>
#include <endian.h>
#include <inttypes.h>
#include <string.h>

#include <ext2fs/ext2fs.h>

#include "base/bytes.h"
#include "spare/format.h"

static const char header_magic[8] = {
  'R', 'M', 'A', 'P', 'S', 'P', 'R', '1'
};

#define STATE_COMPLETE 0U
#define STATE_FORMATTING 1U

/* All integers are little-endian.  Every field of an intent that isn't
 * zero is in the first 512 bytes: written over zeroes, such a page can't
 * be torn.
 */
struct disk_header {
  char magic[8];
  uint32_t crc;
  uint32_t version;
  uint32_t incompat;
  uint32_t ro_compat;
  uint32_t compat;
  uint32_t state;
  uint8_t uuid[16];
  uint64_t sequence;
  uint64_t created;
  uint64_t main_size;
  uint64_t size;
  uint64_t claimed;
  uint32_t flags;
  uint32_t page_size;
  uint32_t active;
  uint32_t nsegments;
  uint64_t generation;
  uint64_t checkpoint_commit;
  uint32_t checkpoint_pages;
  uint32_t high_water;
  uint64_t commit_floor;
  struct log_area area[2];
  uint8_t reserved1[55];
  uint8_t label_len;
  char label[SPARE_LABEL_MAX];
  uint8_t reserved2[33];
  struct slot_segment segment[MAX_SEGMENTS];
  struct feature_names names;
  uint8_t reserved3[2048];
};
static_assert (sizeof (struct disk_header) == SPARE_PAGE, "header");
static_assert (offsetof (struct disk_header, uuid) == 32, "header");
static_assert (offsetof (struct disk_header, area) == 136, "header");
static_assert (offsetof (struct disk_header, label_len) == 223, "header");
static_assert (offsetof (struct disk_header, reserved2) == 479, "header");
static_assert (offsetof (struct disk_header, segment) == 512, "header");
static_assert (offsetof (struct disk_header, reserved3) == 2048, "header");

static bool
feature_names_ok (const struct disk_header *d)
{
  const uint64_t bits = le32toh (d->incompat) |
    (uint64_t) le32toh (d->ro_compat) << 32;

  for (unsigned i = 0; i < 64; i++)
    if (!(bits & UINT64_C (1) << i) &&
        !is_zero (d->names.name[i], FEATURE_NAME))
      return false;
  return true;
}

/* Fields that say nothing must be zero, so that a later version can give
 * them a meaning; if feature bits say that it did, they may be anything.
 */
static bool
header_reserved_ok (const struct disk_header *d)
{
  uint32_t n = le32toh (d->nsegments);

  if (d->ro_compat != 0 || d->compat != 0)
    return true;
  return is_zero (d->reserved1, sizeof d->reserved1) &&
         is_zero (d->reserved2, sizeof d->reserved2) &&
         is_zero (d->reserved3, sizeof d->reserved3) &&
         feature_names_ok (d) &&
         is_zero (d->segment + n, (MAX_SEGMENTS - n) * sizeof d->segment[0]);
}

/* False, and says so in DETAIL, if this program can't know what the header
 * means.  Its checksum is right.
 */
static bool
header_is_known (const struct disk_header *d, struct message *detail)
{
  const uint32_t unknown = le32toh (d->incompat) & ~FEATURES_KNOWN;

  if (le32toh (d->version) != SPARE_VERSION) {
    message_set (detail, "the spare has format version %" PRIu32
                 ", this program knows version %u: use a program that "
                 "knows both", le32toh (d->version), SPARE_VERSION);
    return false;
  }
  if (unknown != 0) {
    char text[200];

    features_text (&d->names, unknown, 0, text, sizeof text);
    message_set (detail, "the spare uses features that this program doesn't "
                 "know (%s): use the program that made it", text);
    return false;
  }
  if (le32toh (d->state) > STATE_FORMATTING ||
      le32toh (d->page_size) != SPARE_PAGE ||
      le32toh (d->nsegments) > MAX_SEGMENTS || !header_reserved_ok (d) ||
      memchr (d->label, 0, d->label_len) != NULL ||
      (le32toh (d->flags) & ~HEADER_WHOLE) != 0) {
    message_set (detail, "the spare's header says something that this program "
                 "doesn't know (flags 0x%" PRIx32 "): use the program that "
                 "made it", le32toh (d->flags));
    return false;
  }
  return true;
}

uint32_t
page_crc (const void *page, size_t offset)
{
  static const uint8_t zeroes[4];
  const uint8_t *p = page;
  uint32_t crc;

  crc = ext2fs_crc32c_le (UINT32_MAX, p, offset);
  crc = ext2fs_crc32c_le (crc, zeroes, sizeof zeroes);
  crc = ext2fs_crc32c_le (crc, p + offset + 4, SPARE_PAGE - offset - 4);
  return ~crc;
}

uint32_t
spare_crc32c (const void *buf, size_t len)
{
  return ~ext2fs_crc32c_le (UINT32_MAX, buf, len);
}

void
header_encode (const struct header *h, void *page)
{
  struct disk_header *d = page;
  size_t len = strlen (h->label);
  unsigned i;

  assert (len <= SPARE_LABEL_MAX && h->nsegments <= MAX_SEGMENTS);
  memset (d, 0, sizeof *d);
  memcpy (d->magic, header_magic, sizeof d->magic);
  d->version = htole32 (SPARE_VERSION);
  d->incompat = htole32 (h->incompat);
  d->ro_compat = htole32 (h->ro_compat);
  d->compat = htole32 (h->compat);
  d->state = htole32 (h->formatting ? STATE_FORMATTING : STATE_COMPLETE);
  memcpy (d->uuid, h->uuid, sizeof d->uuid);
  d->sequence = htole64 (h->sequence);
  d->created = htole64 (h->created);
  d->main_size = htole64 (h->main_size);
  d->size = htole64 (h->size);
  d->claimed = htole64 (h->claimed);
  d->flags = htole32 (h->flags);
  d->page_size = htole32 (SPARE_PAGE);
  d->active = htole32 (h->active);
  d->nsegments = htole32 (h->nsegments);
  d->generation = htole64 (h->generation);
  d->checkpoint_commit = htole64 (h->checkpoint_commit);
  d->checkpoint_pages = htole32 (h->checkpoint_pages);
  d->high_water = htole32 (h->high_water);
  d->commit_floor = htole64 (h->commit_floor);
  for (i = 0; i < 2; i++) {
    d->area[i].offset = htole64 (h->area[i].offset);
    d->area[i].pages = htole64 (h->area[i].pages);
  }
  d->label_len = len;
  memcpy (d->label, h->label, len);
  for (i = 0; i < h->nsegments; i++) {
    d->segment[i].offset = htole64 (h->segment[i].offset);
    d->segment[i].nslots = htole64 (h->segment[i].nslots);
  }
  d->names = h->names;
  d->crc = htole32 (page_crc (d, offsetof (struct disk_header, crc)));
}

enum header_class
header_decode (const void *page, struct header *h, struct message *detail)
{
  const struct disk_header *d = page;
  unsigned i;

  memset (h, 0, sizeof *h);
  if (is_zero (d, sizeof *d))
    return HEADER_BLANK;
  if (memcmp (d->magic, header_magic, sizeof d->magic) != 0)
    return HEADER_FOREIGN;
  if (le32toh (d->crc) != page_crc (d, offsetof (struct disk_header, crc)))
    return HEADER_DAMAGED;

  if (!header_is_known (d, detail))
    return HEADER_UNKNOWN;

  h->sequence = le64toh (d->sequence);
  h->formatting = le32toh (d->state) == STATE_FORMATTING;
  h->incompat = le32toh (d->incompat);
  h->ro_compat = le32toh (d->ro_compat);
  h->compat = le32toh (d->compat);
  h->flags = le32toh (d->flags);
  memcpy (h->uuid, d->uuid, sizeof h->uuid);
  h->created = le64toh (d->created);
  h->main_size = le64toh (d->main_size);
  h->size = le64toh (d->size);
  h->claimed = le64toh (d->claimed);
  h->active = le32toh (d->active);
  h->nsegments = le32toh (d->nsegments);
  h->generation = le64toh (d->generation);
  h->checkpoint_commit = le64toh (d->checkpoint_commit);
  h->checkpoint_pages = le32toh (d->checkpoint_pages);
  h->high_water = le32toh (d->high_water);
  h->commit_floor = le64toh (d->commit_floor);
  memcpy (h->label, d->label, d->label_len);
  h->names = d->names;
  for (i = 0; i < 2; i++) {
    h->area[i].offset = le64toh (d->area[i].offset);
    h->area[i].pages = le64toh (d->area[i].pages);
  }
  for (i = 0; i < h->nsegments && i < MAX_SEGMENTS; i++) {
    h->segment[i].offset = le64toh (d->segment[i].offset);
    h->segment[i].nslots = le64toh (d->segment[i].nslots);
  }
  return h->formatting ? HEADER_FORMATTING : HEADER_COMPLETE;
}

bool
header_same (const struct header *a, const struct header *b)
{
  /* Both were zeroed before they were filled in, and copied whole: but
   * compare what is written, not the padding between the fields.
   */
  struct disk_header da, db;
  struct header c = *b;

  c.sequence = a->sequence;
  header_encode (a, &da);
  header_encode (&c, &db);
  return memcmp (&da, &db, sizeof da) == 0;
}

uint64_t
header_slots (const struct header *h)
{
  uint64_t n = 0;

  for (unsigned i = 0; i < h->nsegments; i++)
    n += h->segment[i].nslots;
  return n;
}
