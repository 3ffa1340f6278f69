/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The format is documented in remap-spare(5).  Nothing here believes what is on
 * the disk (promise 23 of remap-promises(7)).
 */

#include <config.h>

#include <assert.h>
#include <endian.h>
#include <stddef.h>
#include <string.h>

#include "spare/stamp.h"

static const char stamp_magic[8] = { 'R', 'M', 'A', 'P', 'O', 'W', 'N', '1' };

#define STATE_FREE 0U
#define STATE_HELD 1U

struct disk_stamp {
  char magic[8];
  uint32_t crc;
  uint32_t state;
  uint8_t uuid[16];
  uint64_t session;
  uint64_t counter;
  uint64_t renewed;
  uint8_t machine[16];
  uint8_t boot[16];
  uint32_t pid_namespace;
  uint32_t time_namespace;
  uint64_t pid;
  uint64_t start;
  char host[OWNER_HOST_MAX];
  uint8_t reserved[3920];
};
static_assert (sizeof (struct disk_stamp) == SPARE_PAGE, "stamp");
static_assert (offsetof (struct disk_stamp, machine) == 56, "stamp");
static_assert (offsetof (struct disk_stamp, host) == 112, "stamp");
static_assert (offsetof (struct disk_stamp, reserved) <= 512, "stamp");

void
stamp_encode (const struct stamp *st, void *page)
{
  struct disk_stamp *d = page;
  const struct owner *o = &st->owner;

  memset (d, 0, sizeof *d);
  memcpy (d->magic, stamp_magic, sizeof d->magic);
  d->state = htole32 (st->held ? STATE_HELD : STATE_FREE);
  memcpy (d->uuid, st->uuid, sizeof d->uuid);
  d->session = htole64 (st->session);
  d->counter = htole64 (st->counter);
  d->renewed = htole64 (st->renewed);
  memcpy (d->machine, o->machine, sizeof d->machine);
  memcpy (d->boot, o->boot, sizeof d->boot);
  d->pid_namespace = htole32 (o->pid_namespace);
  d->time_namespace = htole32 (o->time_namespace);
  d->pid = htole64 (o->pid);
  d->start = htole64 (o->start);
  memcpy (d->host, o->host, strnlen (o->host, sizeof d->host));
  d->crc = htole32 (page_crc (d, offsetof (struct disk_stamp, crc)));
}

enum stamp_class
stamp_decode (const void *page, struct stamp *st)
{
  const struct disk_stamp *d = page;
  struct owner *o = &st->owner;

  memset (st, 0, sizeof *st);
  if (is_zero (page, SPARE_PAGE))
    return STAMP_NONE;
  if (memcmp (d->magic, stamp_magic, sizeof d->magic) != 0 ||
      le32toh (d->crc) != page_crc (d, offsetof (struct disk_stamp, crc)) ||
      le32toh (d->state) > STATE_HELD)
    return STAMP_DAMAGED;
  st->held = le32toh (d->state) == STATE_HELD;
  memcpy (st->uuid, d->uuid, sizeof st->uuid);
  st->session = le64toh (d->session);
  st->counter = le64toh (d->counter);
  st->renewed = le64toh (d->renewed);
  memcpy (o->machine, d->machine, sizeof o->machine);
  memcpy (o->boot, d->boot, sizeof o->boot);
  o->pid_namespace = le32toh (d->pid_namespace);
  o->time_namespace = le32toh (d->time_namespace);
  o->pid = le64toh (d->pid);
  o->start = le64toh (d->start);
  /* It goes into messages. */
  for (size_t i = 0; i < sizeof d->host && d->host[i] != '\0'; i++)
    o->host[i] = d->host[i] > ' ' && d->host[i] <= '~' ? d->host[i] : '_';
  return STAMP_VALID;
}
