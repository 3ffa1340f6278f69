/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <inttypes.h>
#include <stdint.h>

#include "base/cells.h"
#include "base/sector.h"
#include "follow.h"
#include "web/picture.h"

#define CELL 8                          /* its size, in units of the picture */

static uint64_t
number (const json_t *j)
{
  return json_is_integer (j) && json_integer_value (j) > 0
    ? json_integer_value (j) : 0;
}

/* The worst of a cell decides its colour, as remapctl's pictures have it. */
static const char *
class_of (const uint64_t *count)
{
  return count[LOST] ? "lost" : count[ZERO] ? "zero" : "remapped";
}

static void
print_cell (FILE *fp, const json_t *counted, uint64_t sectors, uint64_t cells,
            unsigned columns)
{
  const uint64_t i = number (json_array_get (counted, 0));
  uint64_t count[ZERO + 1] = { 0 }, first, end;

  if (json_array_size (counted) != ZERO + 1 || i >= cells)
    return;
  /* In the order of the states, the cell's number in place of DIRECT. */
  for (int k = REMAPPED; k <= ZERO; k++)
    count[k] = number (json_array_get (counted, k));
  first = cell_start (sectors, cells, i);
  end = cell_start (sectors, cells, i + 1);
  fprintf (fp, "<rect class=\"%s\" x=\"%u\" y=\"%u\" width=\"%d\" "
           "height=\"%d\"><title>sectors %" PRIu64 " to %" PRIu64 ": %" PRIu64
           " lost, %" PRIu64 " remapped, %" PRIu64 " zero</title></rect>\n",
           class_of (count), (unsigned) (i % columns) * CELL,
           (unsigned) (i / columns) * CELL, CELL - 1, CELL - 1, first,
           end > first ? end - 1 : first, count[LOST], count[REMAPPED],
           count[ZERO]);
}

void
picture_print (FILE *fp, const json_t *map, unsigned columns,
               const char *class)
{
  const json_t *counts = json_object_get (map, "counts");
  const uint64_t size = number (json_object_get (map, "size"));
  const uint64_t cells = number (json_object_get (map, "cells"));
  const uint64_t sectors = size / 512 + (size % 512 != 0);
  unsigned rows;

  if (cells == 0 || cells > MAP_CELLS || cells > sectors) {
    fprintf (fp, "<p class=\"%s\">There is no picture of it yet.</p>\n",
             class);
    return;
  }
  rows = (cells + columns - 1) / columns;
  fprintf (fp, "<svg class=\"%s\" viewBox=\"0 0 %u %u\" role=\"img\" "
           "aria-label=\"map of the disk\">\n"
           "<rect class=\"direct\" x=\"0\" y=\"0\" width=\"%u\" height=\"%u\">"
           "</rect>\n", class, columns * CELL - 1, rows * CELL - 1,
           columns * CELL - 1, rows * CELL - 1);
  for (size_t i = 0; i < json_array_size (counts) && i < MAP_CELLS; i++)
    print_cell (fp, json_array_get (counts, i), sectors, cells, columns);
  fputs ("</svg>\n", fp);
}
