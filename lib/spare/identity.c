/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <string.h>

#include "spare/identity.h"

void
header_identity (const struct header *h, struct spare_identity *id)
{
  memset (id, 0, sizeof *id);
  memcpy (id->uuid, h->uuid, sizeof id->uuid);
  id->main_size = h->main_size;
  memcpy (id->label, h->label, sizeof id->label);
  id->created = h->created;
  id->grows = h->compat & COMPAT_GROWS;
}

void
spare_uuid_set_version (uint8_t uuid[16])
{
  uuid[6] = (uuid[6] & 0x0f) | 0x40;
  uuid[8] = (uuid[8] & 0x3f) | 0x80;
}

void
spare_uuid_text (const uint8_t uuid[16], char text[SPARE_UUID_TEXT])
{
  char *p = text;

  for (int i = 0; i < 16; i++) {
    if (i == 4 || i == 6 || i == 8 || i == 10)
      *p++ = '-';
    p += sprintf (p, "%02x", uuid[i]);
  }
}
