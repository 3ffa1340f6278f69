/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdio.h>

#include <cairo.h>
#include <cairo-svg.h>

#include "base/bytes.h"
#include "picture/draw.h"
#include "text.h"
#include "units.h"

#define COLUMNS 128
#define CELL 8                          /* pixels, border included */
#define MARGIN 16
#define LABELS 80                       /* what stands left of the cells */
#define LINE 18

static const struct { double r, g, b; } colours[] = {
  [DIRECT] = { 0.72, 0.87, 0.72 }, [REMAPPED] = { 0.95, 0.66, 0.12 },
  [LOST] = { 0.80, 0.05, 0.10 }, [ZERO] = { 0.35, 0.60, 0.85 },
  [KEPT] = { 0.20, 0.60, 0.25 }, [WRITTEN] = { 0.10, 0.40, 0.45 },
};

static void
set_colour (cairo_t *cr, enum sector_state state)
{
  cairo_set_source_rgb (cr, colours[state].r, colours[state].g,
                        colours[state].b);
}

static void
put_text (cairo_t *cr, double x, double y, const char *text)
{
  cairo_set_source_rgb (cr, 0.1, 0.1, 0.1);
  cairo_move_to (cr, x, y);
  cairo_show_text (cr, text);
}

static unsigned
rows_of (const struct picture *p)
{
  return div_up (p->ncells, COLUMNS);
}

/* One path for each state makes a small file of eight thousand squares. */
static void
draw_cells (cairo_t *cr, const struct picture *p, double top)
{
  char label[64];

  for (unsigned state = DIRECT; state < NR_SECTOR_STATES; state++) {
    set_colour (cr, state);
    for (uint64_t i = 0; i < p->ncells; i++)
      if (p->cell[i] == state)
        cairo_rectangle (cr, MARGIN + LABELS + (double) (i % COLUMNS) * CELL,
                         top + (double) (i / COLUMNS) * CELL, CELL - 1,
                         CELL - 1);
    cairo_fill (cr);
  }
  for (uint64_t i = 0; i < p->ncells; i += COLUMNS * 8) {
    snprintf (label, sizeof label, "%s",
              show_bytes (picture_cell_start (p, i)).s);
    put_text (cr, MARGIN, top + (double) (i / COLUMNS + 1) * CELL, label);
  }
}

static void
draw_legend (cairo_t *cr, const struct picture *p, double top)
{
  static const enum sector_state states[] = {
    DIRECT, KEPT, WRITTEN, REMAPPED, LOST, ZERO
  };
  const bool many = picture_explains (p, KEPT) || picture_explains (p, WRITTEN);
  double x = MARGIN;
  char text[160];

  for (size_t i = 0; i < sizeof states / sizeof states[0]; i++) {
    if (!picture_explains (p, states[i]))
      continue;
    set_colour (cr, states[i]);
    cairo_rectangle (cr, x, top, 12, 12);
    cairo_fill (cr);
    snprintf (text, sizeof text, "%s: %s",
              picture_state_name (states[i]),
              show_count (p->totals[states[i]], "sector").s);
    put_text (cr, x + 18, top + 11, text);
    x += many ? 180 : 250;
  }
  picture_scale (p, text, sizeof text);
  put_text (cr, MARGIN, top + LINE + 11, text);
}

static void
draw (cairo_t *cr, const struct picture *p, const char *title)
{
  const double top = MARGIN + LINE;

  cairo_set_source_rgb (cr, 1, 1, 1);
  cairo_paint (cr);
  cairo_select_font_face (cr, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                          CAIRO_FONT_WEIGHT_NORMAL);
  cairo_set_font_size (cr, 12);
  put_text (cr, MARGIN, MARGIN + 8, title);
  draw_cells (cr, p, top);
  draw_legend (cr, p, top + rows_of (p) * CELL + MARGIN);
}

bool
picture_write (const struct picture *p, const char *title, const char *path,
               bool svg)
{
  const int width = MARGIN * 2 + LABELS + COLUMNS * CELL;
  const int height = MARGIN * 3 + LINE * 3 + rows_of (p) * CELL;
  cairo_surface_t *surface;
  cairo_status_t status;
  cairo_t *cr;

  surface = svg ? cairo_svg_surface_create (path, width, height)
    : cairo_image_surface_create (CAIRO_FORMAT_RGB24, width, height);
  cr = cairo_create (surface);
  draw (cr, p, title);
  cairo_destroy (cr);
  if (!svg && cairo_surface_status (surface) == CAIRO_STATUS_SUCCESS)
    status = cairo_surface_write_to_png (surface, path);
  else {
    /* An SVG is written when it is finished. */
    cairo_surface_finish (surface);
    status = cairo_surface_status (surface);
  }
  cairo_surface_destroy (surface);
  if (status == CAIRO_STATUS_SUCCESS)
    return true;
  error ("%s: the picture can't be written: %s", path,
         cairo_status_to_string (status));
  return false;
}
