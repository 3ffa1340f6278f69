/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/bytes.h"
#include "exit-status.h"
#include "numbers.h"
#include "picture/cells.h"
#include "picture/draw.h"
#include "picture/from-server.h"
#include "picture/picture.h"
#include "picture/print.h"
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

/* A PNG in a file named .svg is found out by whoever opens it. */
static bool
check_ending (const char *option, const char *path, const char *ending)
{
  const size_t len = strlen (path), n = strlen (ending);

  if (len > n && strcasecmp (path + len - n, ending) == 0)
    return true;
  error ("map: --%s=%s: the name must end in %s", option, path, ending);
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
    case PNG: ok = check_ending ("png", o->png = optarg, ".png"); break;
    case SVG: ok = check_ending ("svg", o->svg = optarg, ".svg"); break;
    case ROWS: ok = parse_rows (optarg, &o->rows); break;
    case SPARE: o->spare = optarg; break;
    case OFFSET: ok = parse_offset (ctl, optarg, &o->offset); break;
    default: ok = false;
    }
  return ok;
}

static bool
write_pictures (const struct picture *p, const char *title,
                const struct map_options *o)
{
  return (!o->png || picture_write (p, title, o->png, false)) &&
    (!o->svg || picture_write (p, title, o->svg, true));
}

/* Of the server, or of the spare. */
static bool
make_picture (struct picture *p, struct ctl *ctl, const struct map_options *o,
              uint64_t ncells, int *status)
{
  struct table t;

  if (o->spare == NULL)
    return picture_from_server (p, ctl, ncells, status);
  if (!table_from_spare (&t, o->spare, o->offset, 0, 0, status))
    return false;
  *p = picture_of (&t, ncells);
  table_free (&t);
  return true;
}

int
command_map (struct ctl *ctl, int argc, char **argv)
{
  const unsigned width = terminal_width (stdout);
  const unsigned columns = width > PICTURE_LABEL + 1
    ? min_u64 (width - PICTURE_LABEL, 1000) : 1;
  struct map_options o = { .rows = 16 };
  struct picture p;
  int status = STATUS_DONE;
  bool in_file;

  if (!parse_options (ctl, argc, argv, &o) ||
      !count_arguments (ctl, argc, 0, 0))
    return STATUS_USAGE;
  if (o.spare && ctl->json) {
    error ("map: there is no --json with --spare");
    return STATUS_USAGE;
  }
  in_file = o.png || o.svg;
  if (!make_picture (&p, ctl, &o, in_file || ctl->json ? PICTURE_FILE_CELLS
                     : min_u64 (columns * o.rows, PICTURE_MAX_CELLS),
                     &status))
    return status;
  if (!in_file)
    picture_print (&p, columns);
  else if (!write_pictures (&p, o.spare ? o.spare : ctl->name ? ctl->name
                            : ctl->socket, &o))
    status = STATUS_REFUSED;
  picture_free (&p);
  return status;
}
