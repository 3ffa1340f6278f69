/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>
#include <string.h>

#include "exit-status.h"
#include "numbers.h"
#include "table/formats.h"
#include "table/from-server.h"
#include "table/from-spare.h"
#include "table/table.h"
#include "text.h"

#define ALL_STATES (1U << REMAPPED | 1U << LOST | 1U << ZERO | 1U << KEPT | \
                    1U << WRITTEN)

enum {
  TEXT = FIRST_OPTION, CSV, MAPFILE, BADBLOCKS, STATES, BLOCK, SPARE, OFFSET,
};

static const struct option own_options[] = {
  { "csv", no_argument, NULL, CSV },
  { "mapfile", no_argument, NULL, MAPFILE },
  { "badblocks", no_argument, NULL, BADBLOCKS },
  { "states", required_argument, NULL, STATES },
  { "block-size", required_argument, NULL, BLOCK },
  { "spare", required_argument, NULL, SPARE },
  { "spare-offset", required_argument, NULL, OFFSET }, { 0 }
};

struct table_options {
  int format;                           /* TEXT to BADBLOCKS */
  unsigned states;                      /* a bit each; 0: not given */
  uint64_t block;                       /* bytes, for BADBLOCKS */
  const char *spare;                    /* NULL: from a server */
  uint64_t offset;                      /* bytes, where the spare begins */
};

/* LIST is as in "lost,remapped".  False after a message. */
static bool
parse_states (const char *list, unsigned *states)
{
  char *copy = copy_text (list), *save, *word;
  enum sector_state state;
  bool ok = true;

  *states = 0;
  for (word = strtok_r (copy, ",", &save); word && ok;
       word = strtok_r (NULL, ",", &save)) {
    ok = state_of (word, &state);
    if (ok)
      *states |= 1U << state;
  }
  ok = ok && *states != 0;
  free (copy);
  if (!ok)
    error ("--states=%s: must be a list of remapped, lost, zero, kept, "
           "written", list);
  return ok;
}

static bool
parse_block (const char *s, uint64_t *block)
{
  if (parse_bytes (s, block) && *block >= SECTOR_SIZE &&
      *block % SECTOR_SIZE == 0 && *block <= UINT32_MAX)
    return true;
  error ("table: --block-size=%s: must be a multiple of 512", s);
  return false;
}

static bool
parse_options (struct ctl *ctl, int argc, char **argv,
               struct table_options *o)
{
  bool ok = true;
  int c;

  while (ok && (c = next_option (ctl, argc, argv, own_options)) != -1)
    switch (c) {
    case CSV: case MAPFILE: case BADBLOCKS: o->format = c; break;
    case STATES: ok = parse_states (optarg, &o->states); break;
    case BLOCK: ok = parse_block (optarg, &o->block); break;
    case SPARE: o->spare = optarg; break;
    case OFFSET: ok = parse_offset (ctl, optarg, &o->offset); break;
    default: ok = false;
    }
  if (o->states == 0)
    o->states = o->format >= MAPFILE ? 1U << LOST : ALL_STATES;
  return ok;
}

static void
print_table (const struct ctl *ctl, const struct table_options *o,
             const struct table *t)
{
  if (ctl->json)
    table_print_json (t, o->states);
  else if (o->format == CSV)
    table_print_csv (t, o->states);
  else if (o->format == MAPFILE)
    table_print_mapfile (t, o->states);
  else if (o->format == BADBLOCKS)
    table_print_badblocks (t, o->states, o->block);
  else
    table_print_text (t, o->states);
}

int
command_table (struct ctl *ctl, int argc, char **argv)
{
  struct table_options o = { .format = TEXT, .block = 1024 };
  uint64_t start, count;
  struct table t;
  int status;
  bool ok;

  if (!parse_options (ctl, argc, argv, &o) ||
      !count_arguments (ctl, argc, 0, 2) ||
      !parse_range (ctl, argc, argv, &start, &count))
    return STATUS_USAGE;
  ok = o.spare
    ? table_from_spare (&t, o.spare, o.offset, start, count, &status)
    : table_from_server (&t, ctl, start, count, &status);
  if (!ok)
    return status;
  print_table (ctl, &o, &t);
  table_free (&t);
  return STATUS_DONE;
}
