/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdio.h>

#include "spare/enlarge.h"
#include "ask.h"
#include "exit-status.h"
#include "grow.h"
#include "numbers.h"
#include "reply.h"
#include "text.h"
#include "units.h"

static int
grow_server (const struct ctl *ctl, uint64_t bytes)
{
  struct reader r = { 0 };
  uint64_t size, total;
  char line[64];
  json_t *reply;
  int status;

  snprintf (line, sizeof line, "grow %" PRIu64, bytes);
  reply = ask_server (ctl, line, &status);
  if (reply == NULL)
    return status;
  r.root = reply;
  size = get_uint (&r, "size");
  total = get_uint (&r, "total");
  if (!r.bad)
    printf ("the spare has %s now, with %s\n", show_bytes (size).s,
            show_count (total, "slot").s);
  json_decref (reply);
  return r.bad ? STATUS_NO_SERVER : status;
}

int
command_grow (struct ctl *ctl, int argc, char **argv)
{
  enum { SPARE = FIRST_OPTION, OFFSET };
  static const struct option own[] = {
    { "spare", required_argument, NULL, SPARE },
    { "spare-offset", required_argument, NULL, OFFSET }, { 0 }
  };
  const char *spare = NULL;
  uint64_t bytes, offset = 0;
  int c;

  while ((c = next_option (ctl, argc, argv, own)) != -1) {
    if (c == '?')
      return STATUS_USAGE;
    if (c == SPARE)
      spare = optarg;
    else if (!parse_offset (ctl, optarg, &offset))
      return STATUS_USAGE;
  }
  if (!count_arguments (ctl, argc, 1, 1))
    return STATUS_USAGE;
  if (!parse_bytes (argv[optind], &bytes)) {
    error ("grow: '%s' is not a size (bytes, or with a suffix as in 2G)",
           argv[optind]);
    return STATUS_USAGE;
  }
  if (spare && ctl->json) {
    error ("grow: there is no --json with --spare");
    return STATUS_USAGE;
  }
  return spare ? spare_grow_offline (spare, offset, bytes)
    : grow_server (ctl, bytes);
}
