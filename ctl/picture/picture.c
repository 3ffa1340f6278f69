/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>

#include "exit-status.h"
#include "numbers.h"
#include "picture/cells.h"
#include "picture/draw.h"
#include "picture/picture.h"
#include "picture/print.h"
#include "table/from-server.h"
#include "table/from-spare.h"
#include "terminal.h"
#include "text.h"

struct map_options {
  const char *png, *svg;                /* paths; NULL: no such file */
  uint64_t rows;                        /* in the terminal */
  const char *spare;                    /* NULL: from a server */
  uint64_t offset;                      /* bytes, where the spare begins */
};

static bool
parse_rows (const char *s, uint64_t *rows)
{
  if (parse_number (s, rows) && *rows >= 1 && *rows <= 1000)
    return true;
  error ("map: --rows=%s: must be 1 to 1000", s);
  return false;
}

static bool
parse_options (struct ctl *ctl, int argc, char **argv, struct map_options *o)
{
  enum { PNG = FIRST_OPTION, SVG, ROWS, SPARE, OFFSET };
  static const struct option own[] = {
    { "png", required_argument, NULL, PNG },
    { "svg", required_argument, NULL, SVG },
    { "rows", required_argument, NULL, ROWS },
    { "spare", required_argument, NULL, SPARE },
    { "spare-offset", required_argument, NULL, OFFSET }, { 0 }
  };
  bool ok = true;
  int c;

  while (ok && (c = next_option (ctl, argc, argv, own)) != -1)
    switch (c) {
    case PNG: o->png = optarg; break;
    case SVG: o->svg = optarg; break;
    case ROWS: ok = parse_rows (optarg, &o->rows); break;
    case SPARE: o->spare = optarg; break;
    case OFFSET: ok = parse_offset (ctl, optarg, &o->offset); break;
    default: ok = false;
    }
  return ok;
}

static bool
write_pictures (const struct table *t, const char *title,
                const struct map_options *o)
{
  struct picture p = picture_of (t, PICTURE_FILE_CELLS);
  bool ok = true;

  if (o->png)
    ok = picture_write (&p, title, o->png, false);
  if (o->svg && ok)
    ok = picture_write (&p, title, o->svg, true);
  picture_free (&p);
  return ok;
}

static void
print_picture (const struct table *t, uint64_t rows)
{
  const unsigned width = terminal_width (stdout);
  const unsigned columns = width > PICTURE_LABEL + 1 ? width - PICTURE_LABEL
    : 1;
  struct picture p = picture_of (t, (uint64_t) columns * rows);

  picture_print (&p, columns);
  picture_free (&p);
}

int
command_map (struct ctl *ctl, int argc, char **argv)
{
  struct map_options o = { .rows = 16 };
  struct table t;
  int status;

  if (!parse_options (ctl, argc, argv, &o) ||
      !count_arguments (ctl, argc, 0, 0))
    return STATUS_USAGE;
  if (o.spare ? !table_from_spare (&t, o.spare, o.offset, 0, 0, &status)
      : !table_from_server (&t, ctl, 0, 0, &status))
    return status;

  if (o.png || o.svg) {
    const char *title = o.spare ? o.spare : ctl->name ? ctl->name
      : ctl->socket;

    status = write_pictures (&t, title, &o) ? STATUS_DONE : STATUS_REFUSED;
  }
  else
    print_picture (&t, o.rows);
  table_free (&t);
  return status;
}
