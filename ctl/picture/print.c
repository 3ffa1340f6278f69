/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>

#include "picture/print.h"
#include "terminal.h"
#include "units.h"

static void
print_cell (enum sector_state state, bool colour)
{
  static const char letters[] = {
    [DIRECT] = '.', [REMAPPED] = 'r', [LOST] = 'L', [ZERO] = 'z',
    [KEPT] = 'k', [WRITTEN] = 'w',
  };
  static const char *const colours[] = {
    [DIRECT] = "32", [REMAPPED] = "30;43", [LOST] = "1;37;41",
    [ZERO] = "30;46", [KEPT] = "30;42", [WRITTEN] = "1;37;42",
  };

  if (colour)
    printf ("\033[%sm%c\033[0m", colours[state], letters[state]);
  else
    putchar (letters[state]);
}

void
picture_print (const struct picture *p, unsigned columns)
{
  const bool colour = use_colour (stdout);
  static const enum sector_state legend[] = {
    DIRECT, KEPT, WRITTEN, REMAPPED, LOST, ZERO
  };
  char scale[160];
  uint64_t i;

  for (i = 0; i < p->ncells; i++) {
    if (i % columns == 0)
      printf ("%*s ", PICTURE_LABEL - 1,
              show_bytes (picture_cell_start (p, i)).s);
    print_cell (p->cell[i], colour);
    if ((i + 1) % columns == 0 || i + 1 == p->ncells)
      putchar ('\n');
  }
  picture_scale (p, scale, sizeof scale);
  printf ("\n%s\n", scale);
  for (i = 0; i < sizeof legend / sizeof legend[0]; i++) {
    if (!picture_explains (p, legend[i]))
      continue;
    printf ("  ");
    print_cell (legend[i], colour);
    printf (" %-8s %s\n", picture_state_name (legend[i]),
            show_count (p->totals[legend[i]], "sector").s);
  }
}
