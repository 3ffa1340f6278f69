/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stddef.h>

#include "base/sector.h"
#include "spare/arguments.h"
#include "numbers.h"
#include "text.h"

bool
spare_arguments (struct ctl *ctl, int argc, char **argv, int min, int max,
                 const char **path, uint64_t *offset, bool *force)
{
  enum { OFFSET = FIRST_OPTION, FORCE };
  static const struct option own[] = {
    { "spare-offset", required_argument, NULL, OFFSET },
    { "force", no_argument, NULL, FORCE }, { 0 }
  };
  int c;

  *offset = 0;
  while ((c = next_option (ctl, argc, argv, own)) != -1) {
    if (c == '?')
      return false;
    if (c == FORCE && force == NULL) {
      error ("%s: there is nothing to --force", ctl->command);
      return false;
    }
    if (c == FORCE)
      *force = true;
    else if (!parse_bytes (optarg, offset) || *offset % SECTOR_SIZE != 0) {
      error ("%s: --spare-offset=%s: must be a size, and a multiple of 512",
             ctl->command, optarg);
      return false;
    }
  }
  if (!count_arguments (ctl, argc, min, max))
    return false;
  *path = argv[optind];
  return true;
}
