/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * The setups, and what workloads are made of on each: see world.h and run.h.
 * What comes first in a list is combined first.
 */

#include <config.h>

#include <string.h>

#include "run.h"

const struct setup setups[] = {
  { .name = "plain", .sectors = "DDBBrwRQLZDATDDDDD", .block = 512,
    .share = 3 },
  /* A failing write has done a part; slots are scarce, and used again. */
  { .name = "few", .sectors = "DDBBrwRQLZDATDDDDD", .block = 512,
    .partial = MEMDEV_SOME, .free_slots = 4, .share = 4 },
  /* The next commits make a checkpoint. */
  { .name = "log", .sectors = "DDBBrwRQLZDATDDDDD", .block = 512,
    .partial = MEMDEV_GOOD, .log_left = 1, .share = 4 },
  /* A checkpoint is under way, in pieces between the commits: its notes, its
   * state, the commits made since, the headers; and then the next one.
   */
  { .name = "pieces", .sectors = "DDBBrwRQLZDATDDDDD", .block = 512,
    .partial = MEMDEV_SOME, .free_slots = 6, .log_left = 20, .piece = 3,
    .share = 2 },
  { .name = "high", .sectors = "DDBBrwRQLZDATDDDDD", .block = 512,
    .low_high_water = true, .share = 2 },
  /* Main blocks of four sectors, one of them mixed; a short last sector. */
  { .name = "block", .sectors = "DDDDDBDDDrDDDwDDRRQRDRLZLZLRDDDDDDDDDDDD",
    .block = 2048, .tail = 100, .partial = MEMDEV_SOME, .share = 4 },
  /* Checkpoints of several pages. */
  { .name = "many", .sectors = "DZBLRLZD", .times = 40, .block = 512,
    .share = 0 },
  { .name = "small", .sectors = "DZBLRLZD", .times = 40, .block = 512,
    .piece = 1, .log_left = 12, .share = 0 },
  /* Commits of several pages. */
  { .name = "pages", .sectors = "RLZL", .times = 45, .rest = "DDBBrwDDDD",
    .block = 512, .share = 0 },
  /* Blocks that are samples of main, or may become one; a bad one beside.  And
   * owners of the spare, which renew their stamp.
   */
  { .name = "samples", .sectors = "DDDDDDDDDDDDDDDDDDDBBrwDDRLZDDDD",
    .block = 512, .samples = true, .stamps = true, .share = 2 },
  { .name = "blank", .sectors = "DDBBrwDDDDDDDDDDDD", .block = 512,
    .blank = true, .stamps = true, .share = 1 },
  { .name = NULL }
};

const struct setup *
setup_find (const char *name, size_t len)
{
  const struct setup *s;

  for (s = setups; s->name; s++)
    if (strlen (s->name) == len && memcmp (s->name, name, len) == 0)
      return s;
  return NULL;
}

/* Operations for each setup. */
static const char *const ops_plain[] = {
  "w2", "w2+2", "w0+4", "w5+5", "w6f", "w8", "w0f", "f", "r4", "r5",
  "r0+16", "z2+2", "z6+4", "m1", "m0+4", "u6+2", "u9", "y8", "l8", "c",
  "g", "G", "k", "w3+8", "w11", "w12", "p2", "p6", "p5+2", "p8", "p9f", "z0+16",
  "t0+10", "x", "w9f", "i10+3", "z8", "z11+2f", "u0+16", "w6", "p3+3", "w1",
  "r6+2", "I0+12", "y0+16", "l0+18", "w0+16", "m0+16", NULL
};
static const char *const ops_block[] = {
  "w4+4", "w5", "w0+12", "w16+4f", "w20+4", "w21", "p6", "p17+2", "p21",
  "f", "r9", "r13", "r0+36", "z5", "z20+4", "z16+8", "m0+4", "m20", "u16+8",
  "y20+8", "l24", "c", "k", "x", "G", "t0+36", "w34+2", "p35", "z22", "p8",
  "w12+2f", "z30+6", "y0+36", "I0+32", "l0+36", "w16+20", NULL
};
static const char *const ops_many[] = {
  "c", "w2+8", "k", "z0+32", "G", "x", "w3", "u1+8", "f", "l0+320", "y0+320",
  NULL
};
static const char *const ops_blank[] = {
  "w2", "k", "r4", "c", "f", "w2+2f", "x", "z2", "m0", "w0+8", "r5", "u2+2",
  "p2+2", "g", "z0+8", "m6+4", "w6+2", "t0+16", "G", "r0+16", NULL
};

static const char *const ops_samples[] = {
  "w0", "s", "r8+8", "f", "w8", "w7+2", "k", "p3", "z0+8", "t0+8", "w19", "x",
  "r0+32", "c", "w8f", "r16+8", "m0", "u0+32", "z8+8", "r24+8", "w20+8",
  "m8+2", "G", "y0+32", NULL
};

static const char *const ops_pages[] = {
  "z0+180", "c", "z0+4", "k", "w4+2", "x", "l0+2", "f", "u0", "z8+175",
  "l0+180", "y0+180", "u0+180", "w0+180", NULL
};

const char *const *
ops_of (const struct setup *setup)
{
  return !strcmp (setup->name, "block") ? ops_block
    : !strcmp (setup->name, "many") || !strcmp (setup->name, "small")
    ? ops_many
    : !strcmp (setup->name, "pages") ? ops_pages
    : !strcmp (setup->name, "samples") ? ops_samples
    : !strcmp (setup->name, "blank") ? ops_blank : ops_plain;
}
