/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * See fuzz-image.h.
 */

#include <config.h>

#include <errno.h>
#include <string.h>

#include "fuzz-image.h"
#include "spare/logpage.h"
#include "spare/layout.h"
#include "spare/sample.h"
#include "spare/stamp.h"

#define NR_PAGES (IMAGE_MAX / SPARE_PAGE)

static _Alignas (4096) uint8_t bytes[IMAGE_MAX];
static bool dirty[NR_PAGES];    /* may hold something but zeroes */
static bool touched[NR_PAGES];  /* its checksum is to be fixed */
static bool unfixed[NR_PAGES];  /* its checksum is to stay wrong */

/* ---- the device ------------------------------------------------------- */

static bool
fails (unsigned *countdown)
{
  if (*countdown == 0 || --*countdown > 0)
    return false;
  return image.failed = true;
}

static void
must_be_inside (uint64_t offset, uint64_t count)
{
  MUST (offset <= image.limit && count <= image.limit - offset);
}

static int
image_pread (void *ctx, void *buf, uint32_t count, uint64_t offset)
{
  must_be_inside (offset, count);
  if (fails (&image.fail_read))
    return EIO;
  memcpy (buf, bytes + offset, count);
  return 0;
}

static int
image_pwrite (void *ctx, const void *buf, uint32_t count, uint64_t offset)
{
  must_be_inside (offset, count);
  MUST (image.writable);
  if (fails (&image.fail_write) ||
      (offset < image.bad_end && offset + count > image.bad_start)) {
    image.failed = true;
    return image.fail_err;
  }
  memcpy (bytes + offset, buf, count);
  if (count > 0)
    memset (dirty + offset / SPARE_PAGE, true,
            (offset + count - 1) / SPARE_PAGE - offset / SPARE_PAGE + 1);
  return 0;
}

static int
image_flush (void *ctx)
{
  return fails (&image.fail_flush) ? EIO : 0;
}

static int
image_allocate (void *ctx, uint64_t offset, uint64_t count)
{
  must_be_inside (offset, count);
  MUST (image.writable);
  return 0;
}

static const struct device_ops image_ops = {
  .pread = image_pread, .pwrite = image_pwrite, .flush = image_flush,
  .allocate = image_allocate,
};

struct image image;

/* ---- the builder ------------------------------------------------------ */

/* Where the next commit goes. */
struct builder {
  struct input *in;
  struct header header;         /* of the image as it was built */
  uint32_t pos;                 /* in the active area */
  uint64_t number;
  bool clean;
};

static const uint8_t uuid[16] = "0123456789abcde";

static uint8_t *
page_at (uint64_t n)
{
  n %= IMAGE_SIZE / SPARE_PAGE;
  dirty[n] = true;
  return bytes + n * SPARE_PAGE;
}

/* A page of the metadata: the headers and the beginnings of both areas are
 * near.
 */
static uint64_t
take_page (struct builder *b)
{
  uint8_t n = take8 (b->in);

  switch (n >> 6) {
  case 0:
    return n % 2 ? HEADER_B_PAGE : HEADER_A_PAGE;
  case 1:
    return METADATA_PAGE + n % 32;
  case 2:
    return b->header.area[1].offset / SPARE_PAGE + n % 16;
  default:
    return METADATA_PAGE + (b->pos > 0 ? b->pos - 1 : 0);
  }
}

static void
write_headers (struct builder *b)
{
  b->header.sequence = 2;
  header_encode (&b->header, page_at (HEADER_A_PAGE));
  b->header.sequence = 1;
  header_encode (&b->header, page_at (HEADER_B_PAGE));
}

/* An empty spare, as spare_format leaves it. */
static void
make_empty (struct builder *b, uint64_t main_size)
{
  static struct header empty;
  struct log_page info = {
    .generation = 1, .number = 1, .nonce = 1, .total = 1,
  };

  if (empty.size == 0) {
    struct message message;

    MUST (header_layout (&empty, IMAGE_SIZE, &message) == 0);
    memcpy (empty.uuid, uuid, sizeof uuid);
    empty.generation = empty.checkpoint_commit = empty.commit_floor = 1;
    empty.checkpoint_pages = 1;
    empty.high_water = empty.area[0].pages;
    empty.flags = HEADER_WHOLE;
    strcpy (empty.label, "disk");
  }
  b->header = empty;
  b->header.main_size = main_size;
  write_headers (b);
  memcpy (info.uuid, uuid, sizeof uuid);
  log_page_encode (&info, page_at (METADATA_PAGE));
  b->pos = 1;
  b->number = 1;
}

/* Both headers say from now on that the log uses these features. */
static void
announce (struct builder *b, uint8_t features)
{
  b->header.incompat |= features;
  for (int copy = 0; copy < 2; copy++) {
    const uint64_t page = copy ? HEADER_B_PAGE : HEADER_A_PAGE;

    page_at (page)[16] |= features;
    touched[page] = true;
  }
}

static void
take_entry (struct builder *b, struct log_entry *e)
{
  uint8_t what = take8 (b->in);

  *e = (struct log_entry) {
    .kind = what % 8, .reason = what >> 5, .time = 1,
    .count = 1 + (what & 8 ? take8 (b->in) : 0),
  };
  if (e->reason > WHY_CLIENT)
    announce (b, FEATURE_REASONS);
  /* Sometimes it isn't said, which is wrong. */
  if ((e->kind == CHANGE_KEPT || e->kind == CHANGE_WRITTEN) && e->reason != 1)
    announce (b, FEATURE_RESCUED);
  if (e->kind != CHANGE_RETIRE)
    e->sector = take_number (b->in);
  if (e->kind == CHANGE_REMAP || e->kind == CHANGE_RETIRE)
    e->slot = take16 (b->in);
}

static unsigned
put_attribute (struct builder *b, void *page, unsigned i,
               const struct attribute *a)
{
  if (i + log_entries_for_attribute (a) > ENTRIES_PER_PAGE)
    return i;
  announce (b, FEATURE_ATTRIBUTES);
  log_page_put_attribute (page, i, a);
  return i + log_entries_for_attribute (a);
}

/* One that is right but for place, key and length, which may be anything. */
static unsigned
add_sample (struct builder *b, void *page, unsigned i)
{
  uint8_t content[SAMPLE_CONTENT];
  struct attribute a;
  struct sample sample = {
    .key = take8 (b->in), .offset = take_number (b->in),
  };

  memset (sample.hash, take8 (b->in), sizeof sample.hash);
  sample_to_attribute (&sample, &a, content);
  if (take8 (b->in) == 255)
    a.len--;
  return put_attribute (b, page, i, &a);
}

/* An attribute in place of entry I; returns the entry behind it. */
static unsigned
add_attribute (struct builder *b, void *page, unsigned i)
{
  static const uint8_t content[ATTRIBUTE_MAX] = "content";
  const uint8_t what = take8 (b->in);
  struct attribute a = {
    .tag = { 'a' + what % 4, 0 }, .key = what >> 2 & 3,
    .flags = what == 255 ? ATTRIBUTE_CRITICAL
             : what & 16 ? ATTRIBUTE_TRANSIENT : 0,
    .len = what & 32 ? take8 (b->in) * 16 % (ATTRIBUTE_MAX + 1) : what >> 6,
    .data = content, .time = 1,
  };

  /* Marks of a copy. */
  if (what % 4 == 3) {
    strcpy (a.tag, "copy");
    a.key = (a.key + 1) << 16 | (what >> 6);
    a.flags |= ATTRIBUTE_CRITICAL;
  }
  return what == 254 ? add_sample (b, page, i)
    : put_attribute (b, page, i, &a);
}

/* Adds a commit of one to four pages: right in itself, but its entries may
 * be anything.
 */
static void
add_commit (struct builder *b)
{
  uint8_t how = take8 (b->in);
  uint32_t total = 1 + (how >> 6);
  unsigned entries = how & 15;
  struct log_entry e;

  if (b->pos + total > b->header.area[0].pages)
    return;
  for (uint32_t i = 0; i < total; i++) {
    uint8_t *page = page_at (METADATA_PAGE + b->pos + i);
    struct log_page info = {
      .generation = 1, .number = b->number + 1, .nonce = 1 + (how >> 4) % 4,
      .position = b->pos + i, .index = i, .total = total,
    };
    unsigned at = 0;

    memcpy (info.uuid, uuid, sizeof uuid);
    memset (page, 0, SPARE_PAGE);
    for (unsigned j = 0; j < entries; j++) {
      take_entry (b, &e);
      if (e.kind == CHANGE_ATTRIBUTE)
        at = add_attribute (b, page, at);
      else if (at < ENTRIES_PER_PAGE)
        log_page_put (page, at++, &e);
    }
    log_page_encode (&info, page);
  }
  b->pos += total;
  b->number++;
}

/* Where the fields of headers and log pages are, remap-spare(5). */
struct field {
  uint16_t offset;
  uint8_t size;
};

static const struct field header_fields[] = {
  { 0, 8 }, { 12, 4 }, { 16, 4 }, { 20, 4 }, { 24, 4 }, { 28, 4 }, { 32, 8 },
  { 48, 8 }, { 56, 8 }, { 64, 8 }, { 72, 8 }, { 80, 8 }, { 88, 4 },
  { 92, 4 }, { 96, 4 }, { 100, 4 }, { 104, 8 }, { 112, 8 }, { 120, 4 },
  { 124, 4 }, { 128, 8 }, { 136, 8 }, { 144, 8 }, { 152, 8 }, { 160, 8 },
  { 223, 1 }, { 224, 8 }, { 479, 1 }, { 512, 8 }, { 520, 8 }, { 528, 8 },
  { 536, 8 },
};
static const struct field log_fields[] = {
  { 0, 4 }, { 8, 8 }, { 24, 8 }, { 32, 8 }, { 40, 8 }, { 48, 4 }, { 52, 4 },
  { 56, 4 }, { 60, 2 }, { 62, 2 }, { 64, 8 }, { 128, 8 }, { 136, 8 },
  { 144, 4 }, { 148, 1 }, { 149, 1 }, { 150, 2 }, { 152, 8 }, { 160, 8 },
  { 168, 8 }, { 176, 4 }, { 180, 1 }, { 4064, 8 }, { 4095, 1 },
};

/* Little-endian machines only, as the fields are: others see other values,
 * which is as good.
 */
static void
put (struct builder *b, uint64_t page, struct field f, uint64_t value)
{
  memcpy (page_at (page) + f.offset, &value, f.size);
  touched[page] = true;
  b->clean = false;
}

/* Somebody's stamp: it may be anything that is formally right, and more. */
static void
add_stamp (struct builder *b)
{
  const uint8_t how = take8 (b->in);
  struct stamp stamp = {
    .held = how & 1, .session = how >> 4, .counter = take_number (b->in),
    .owner.pid = how >> 1 & 7,
  };

  memcpy (stamp.uuid, uuid, sizeof uuid);
  memset (stamp.owner.host, take8 (b->in), 8);
  stamp_encode (&stamp, page_at (STAMP_OFFSET / SPARE_PAGE));
  for (unsigned n = how >> 6; n > 0; n--)
    put (b, STAMP_OFFSET / SPARE_PAGE,
         (struct field) { take16 (b->in) % SPARE_PAGE, 1 }, take8 (b->in));
}

static void
change_header_field (struct builder *b)
{
  uint8_t n = take8 (b->in);
  struct field f = header_fields[(n & 63) %
                                 (sizeof header_fields /
                                  sizeof header_fields[0])];
  uint64_t value = take_number (b->in);

  if (n < 0xc0)
    put (b, HEADER_A_PAGE, f, value);
  if (n >= 0x40)
    put (b, HEADER_B_PAGE, f, value);
}

static void
change_log_field (struct builder *b)
{
  uint64_t page = take_page (b);
  uint8_t n = take8 (b->in);

  put (b, page, log_fields[n % (sizeof log_fields / sizeof log_fields[0])],
       take_number (b->in));
}

/* Any bytes, anywhere. */
static void
change_bytes (struct builder *b)
{
  uint64_t page = take_page (b);
  uint32_t offset = take16 (b->in) % SPARE_PAGE;
  uint32_t n = 1 + take8 (b->in) % 64;

  for (; n > 0 && offset < SPARE_PAGE; n--, offset++)
    put (b, page, (struct field) { offset, 1 }, take8 (b->in));
}

static void
copy_page (struct builder *b)
{
  uint64_t from = take_page (b), to = take_page (b);

  memmove (page_at (to), page_at (from), SPARE_PAGE);
  b->clean = false;
}

static void
erase_page (struct builder *b)
{
  memset (page_at (take_page (b)), 0, SPARE_PAGE);
  b->clean = false;
}

/* One torn write: the first part of a page is from another one. */
static void
tear_page (struct builder *b)
{
  uint64_t from = take_page (b), to = take_page (b);

  memmove (page_at (to), page_at (from), 512 * (1 + take8 (b->in) % 7));
  unfixed[to] = true;
  b->clean = false;
}

static void
fix_checksums (void)
{
  for (uint64_t n = 0; n < IMAGE_SIZE / SPARE_PAGE; n++) {
    size_t at = n < METADATA_PAGE ? 8 : 4;
    uint8_t *page = bytes + n * SPARE_PAGE;
    uint32_t crc;

    if (!touched[n])
      continue;
    touched[n] = false;
    if (unfixed[n])
      continue;
    memset (page + at, 0, 4);
    crc = spare_crc32c (page, SPARE_PAGE);
    memcpy (page + at, &crc, 4);
  }
  memset (unfixed, 0, sizeof unfixed);
}

static void
image_reset (void)
{
  for (uint64_t n = 0; n < NR_PAGES; n++)
    if (dirty[n]) {
      memset (bytes + n * SPARE_PAGE, 0, SPARE_PAGE);
      dirty[n] = false;
    }
  image = (struct image) {
    .dev = { .ops = &image_ops, .ctx = &image }, .limit = IMAGE_SIZE,
    .fail_err = EIO,
  };
}

/* Bytes as they are, from the beginning, or where header B is. */
static void
put_raw (struct builder *b, uint64_t page)
{
  for (uint64_t i = page * SPARE_PAGE; b->in->left > 0; i++)
    page_at (i / SPARE_PAGE)[i % SPARE_PAGE] = take8 (b->in);
  b->clean = false;
}

bool
image_build (struct input *in)
{
  static const uint64_t main_sizes[] = {
    64 << 20, (64 << 20) + 100, 512, 1, 0, INT64_MAX, (UINT64_C (1) << 45) + 7,
    4096 * 100,
  };
  struct builder b = { .in = in, .clean = true };
  uint8_t op;

  image_reset ();
  make_empty (&b, main_sizes[take8 (in) % 8]);
  while (in->left > 0) {
    op = take8 (in);
    if (op >= 0xf0)
      break;
    switch (op % 12) {
    case 0: case 1: case 2: add_commit (&b); break;
    case 3: case 4: change_header_field (&b); break;
    case 5: case 6: change_log_field (&b); break;
    case 7: change_bytes (&b); break;
    case 8: copy_page (&b); break;
    case 9: erase_page (&b); break;
    case 10: tear_page (&b); break;
    case 11:
      if (op == 11)
        put_raw (&b, HEADER_A_PAGE);
      else if (op == 23)
        put_raw (&b, HEADER_B_PAGE);
      else if (op == 35)
        add_stamp (&b);
      else
        unfixed[take_page (&b)] = true;
      break;
    }
  }
  fix_checksums ();
  return b.clean;
}
