/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The table command.
 */

#include <config.h>

#include <string.h>

#include "remapctl.h"

#define ALL_STATES (1U << REMAPPED | 1U << LOST | 1U << ZERO)

int
command_table (struct ctl *ctl, int argc, char **argv)
{
  enum { TEXT = 256, CSV, MAPFILE, BADBLOCKS, STATES, BLOCK, SPARE, OFFSET };
  static const struct option own[] = {
    { "csv", no_argument, NULL, CSV },
    { "mapfile", no_argument, NULL, MAPFILE },
    { "badblocks", no_argument, NULL, BADBLOCKS },
    { "states", required_argument, NULL, STATES },
    { "block-size", required_argument, NULL, BLOCK },
    { "spare", required_argument, NULL, SPARE },
    { "spare-offset", required_argument, NULL, OFFSET }, { 0 }
  };
  uint64_t start, count, block = 1024, offset = 0;
  const char *spare = NULL;
  int c, format = TEXT, status;
  unsigned states = 0;
  struct table t;
  bool ok;

  while ((c = next_option (ctl, argc, argv, own)) != -1)
    switch (c) {
    case CSV: case MAPFILE: case BADBLOCKS: format = c; break;
    case STATES:
      if (!parse_states (optarg, &states))
        return STATUS_USAGE;
      break;
    case BLOCK:
      if (!parse_bytes (optarg, &block) || block < SECTOR_SIZE ||
          block % SECTOR_SIZE != 0 || block > UINT32_MAX) {
        error ("table: --block-size=%s: must be a multiple of 512", optarg);
        return STATUS_USAGE;
      }
      break;
    case SPARE: spare = optarg; break;
    case OFFSET:
      if (!parse_bytes (optarg, &offset)) {
        error ("table: --spare-offset=%s: must be a size", optarg);
        return STATUS_USAGE;
      }
      break;
    default: return STATUS_USAGE;
    }
  if (!count_arguments (ctl, argc, 0, 2) ||
      !parse_range (ctl, argc, argv, &start, &count))
    return STATUS_USAGE;
  ok = spare ? table_from_spare (&t, spare, offset, start, count, &status)
    : table_from_server (&t, ctl, start, count, &status);
  if (!ok)
    return status;

  if (states == 0)
    states = format >= MAPFILE ? 1U << LOST : ALL_STATES;
  if (ctl->json)
    table_print_json (&t, states);
  else if (format == CSV)
    table_print_csv (&t, states);
  else if (format == MAPFILE)
    table_print_mapfile (&t, states);
  else if (format == BADBLOCKS)
    table_print_badblocks (&t, states, block);
  else
    table_print_text (&t, states);
  table_free (&t);
  return STATUS_DONE;
}
