/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * A picture of the disk: cells that stand for equal parts of it, each in
 * the worst state of its sectors, so that one LOST sector of a 100 TB disk
 * is seen.  In the terminal; picture-draw.c makes files.
 */

#include <config.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "remapctl.h"

#define LABEL 10                        /* columns before the cells */
#define FILE_CELLS (128 * 64)           /* of a picture in a file */

/* How bad each state is. */
static const uint8_t badness[] = {
  [DIRECT] = 0, [ZERO] = 1, [REMAPPED] = 2, [LOST] = 3,
};

sector_t
picture_cell_start (const struct picture *p, uint64_t cell)
{
  return (unsigned __int128) p->sectors * cell / p->ncells;
}

/* The cell that holds a sector: cells begin at rounded down places. */
static uint64_t
cell_of (const struct picture *p, sector_t sector)
{
  uint64_t cell = (unsigned __int128) sector * p->ncells / p->sectors;

  while (cell + 1 < p->ncells && picture_cell_start (p, cell + 1) <= sector)
    cell++;
  return cell;
}

struct picture
picture_of (const struct table *t, uint64_t ncells)
{
  struct picture p = {
    .main_size = t->main_size, .sectors = bytes_to_sectors (t->main_size),
  };

  p.ncells = ncells < p.sectors ? ncells : p.sectors;
  p.cell = allocate (p.ncells, 1);
  p.totals[DIRECT] = p.sectors;
  for (size_t i = 0; i < t->n; i++) {
    const struct run *r = &t->v[i].run;
    const uint64_t last = cell_of (&p, r->start + r->count - 1);

    p.totals[r->state] += r->count;
    p.totals[DIRECT] -= r->count;
    for (uint64_t c = cell_of (&p, r->start); c <= last; c++)
      if (badness[r->state] > badness[p.cell[c]])
        p.cell[c] = r->state;
  }
  return p;
}

void
picture_free (struct picture *p)
{
  free (p->cell);
}

static void
print_cell (enum sector_state state, bool colour)
{
  static const char letters[] = {
    [DIRECT] = '.', [REMAPPED] = 'r', [LOST] = 'L', [ZERO] = 'z',
  };
  static const char *const colours[] = {
    [DIRECT] = "32", [REMAPPED] = "30;43", [LOST] = "1;37;41",
    [ZERO] = "30;46",
  };

  if (colour)
    printf ("\033[%sm%c\033[0m", colours[state], letters[state]);
  else
    putchar (letters[state]);
}

static void
print_picture (const struct picture *p, unsigned columns)
{
  const bool colour = use_colour (stdout);
  static const enum sector_state legend[] = { DIRECT, REMAPPED, LOST, ZERO };
  uint64_t i;

  for (i = 0; i < p->ncells; i++) {
    if (i % columns == 0)
      printf ("%*s ", LABEL - 1,
              show_bytes (picture_cell_start (p, i) << SECTOR_SHIFT).s);
    print_cell (p->cell[i], colour);
    if ((i + 1) % columns == 0 || i + 1 == p->ncells)
      putchar ('\n');
  }
  printf ("\n%s; a cell is %s, in the worst state of its sectors\n",
          show_bytes (p->main_size).s,
          show_bytes (p->sectors / p->ncells << SECTOR_SHIFT).s);
  for (i = 0; i < sizeof legend / sizeof legend[0]; i++) {
    printf ("  ");
    print_cell (legend[i], colour);
    printf (" %-8s %s\n", legend[i] == LOST ? "LOST"
            : state_name (legend[i]),
            show_count (p->totals[legend[i]], "sector").s);
  }
}

static bool
write_pictures (const struct table *t, const char *title, const char *png,
                const char *svg)
{
  struct picture p;
  bool ok = true;

  if (png == NULL && svg == NULL)
    return true;
  p = picture_of (t, FILE_CELLS);
  if (png)
    ok = picture_write (&p, title, png, false);
  if (svg && ok)
    ok = picture_write (&p, title, svg, true);
  picture_free (&p);
  return ok;
}

int
command_map (struct ctl *ctl, int argc, char **argv)
{
  enum { PNG = 256, SVG, ROWS, SPARE, OFFSET };
  static const struct option own[] = {
    { "png", required_argument, NULL, PNG },
    { "svg", required_argument, NULL, SVG },
    { "rows", required_argument, NULL, ROWS },
    { "spare", required_argument, NULL, SPARE },
    { "spare-offset", required_argument, NULL, OFFSET }, { 0 }
  };
  const char *png = NULL, *svg = NULL, *spare = NULL, *title;
  uint64_t rows = 16, offset = 0;
  unsigned width, columns;
  struct picture p;
  struct table t;
  int c, status;

  while ((c = next_option (ctl, argc, argv, own)) != -1)
    switch (c) {
    case PNG: png = optarg; break;
    case SVG: svg = optarg; break;
    case SPARE: spare = optarg; break;
    case ROWS:
      if (!parse_number (optarg, &rows) || rows < 1 || rows > 1000) {
        error ("map: --rows=%s: must be 1 to 1000", optarg);
        return STATUS_USAGE;
      }
      break;
    case OFFSET:
      if (!parse_bytes (optarg, &offset)) {
        error ("map: --spare-offset=%s: must be a size", optarg);
        return STATUS_USAGE;
      }
      break;
    default: return STATUS_USAGE;
    }
  if (!count_arguments (ctl, argc, 0, 0))
    return STATUS_USAGE;
  if (spare ? !table_from_spare (&t, spare, offset, 0, 0, &status)
      : !table_from_server (&t, ctl, 0, 0, &status))
    return status;

  if (png || svg) {
    title = spare ? spare : ctl->name ? ctl->name : ctl->socket;
    status = write_pictures (&t, title, png, svg) ? STATUS_DONE
      : STATUS_REFUSED;
  }
  else {
    width = terminal_width (stdout);
    columns = width > LABEL + 1 ? width - LABEL : 1;
    p = picture_of (&t, (uint64_t) columns * rows);
    print_picture (&p, columns);
    picture_free (&p);
  }
  table_free (&t);
  return status;
}
