/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 */

#include <config.h>

#include <stdlib.h>

#include "engine/keep.h"
#include "engine/states.h"
#include "map/pending.h"
#include "rescue-rig.h"

static void
attach (struct rescue_rig *rr)
{
  rr->config.dev = rr->copy->dev;
  CU_ASSERT_EQUAL_FATAL (engine_attach_copy (&rr->r.conn, &rr->config), 0);
}

void
rescue_init (struct rescue_rig *rr, const struct rig_options *o)
{
  uint32_t block;
  uint64_t size;
  uint8_t *junk;

  rig_init (&rr->r, o);
  block = o && o->copy_block ? o->copy_block : SECTOR_SIZE;
  size = round_up (rr->r.config.main_size, block);
  rr->copy = memdev_new (size);
  junk = malloc (size);
  fill (junk, 0, size, JUNK);
  memdev_poke (rr->copy, 0, junk, size);
  free (junk);
  rr->config = (struct rescue_config) { .block = block, .size = size };
  attach (rr);
}

void
rescue_end (struct rescue_rig *rr)
{
  CU_ASSERT_EQUAL (sim_calls (rr->r.main, SIM_WRITE | SIM_ZERO | SIM_TRIM), 0);
  CU_ASSERT (main_holds (&rr->r, 0, rr->r.config.main_size, 1));
  CU_ASSERT_EQUAL (rr->copy->outside, 0);
  rig_end (&rr->r);
  memdev_free (rr->copy);
}

void
rescue_restart (struct rescue_rig *rr, bool clean)
{
  if (clean)
    CU_ASSERT_EQUAL (engine_end_copy (&rr->r.conn), 0);
  rig_restart (&rr->r);
  attach (rr);
}

static struct memdev *
cut_power (struct memdev *m, uint64_t *seed)
{
  const struct memdev_crash how = {
    .random = true, .seed = memdev_random (seed),
    .tear = memdev_random (seed) % 2 * SECTOR_SIZE,
  };
  struct memdev *image = memdev_crash (m, m->nevents, &how);

  for (size_t i = 0; i < m->nbad; i++)
    memdev_set_bad (image, m->bad[i].ops, m->bad[i].offset, m->bad[i].count,
                    m->bad[i].err);
  return image;
}

void
rescue_cut_power (struct rescue_rig *rr, uint64_t *seed)
{
  rr->mem_then = cut_power (rr->r.mem, seed);
  rr->copy_then = cut_power (rr->copy, seed);
}

void
rescue_crash (struct rescue_rig *rr)
{
  rig_restart_with (&rr->r, rr->mem_then);
  memdev_free (rr->copy);
  rr->copy = rr->copy_then;
  rr->mem_then = rr->copy_then = NULL;
  attach (rr);
}

unsigned
rescue_keep (struct rescue_rig *rr)
{
  unsigned n = 0;

  while (keep_one (&rr->r.conn))
    n++;
  return n;
}

const char *
rescue_states (struct rescue_rig *rr, sector_t start, unsigned count)
{
  static char text[4096];
  struct engine *e = rr->r.e;
  struct run run;

  for (unsigned i = 0; i < count; i++) {
    run = state_lookup (e, start + i, 1);
    text[i] = (state_is_recorded (e, rescue_of (e), start + i, 1)
               ? "DRLZ?KW" : "drlz?kw")[run.state];
  }
  text[count] = '\0';
  return text;
}

bool
copy_holds (struct rescue_rig *rr, uint64_t offset, uint64_t count,
            unsigned tag)
{
  return matches (rr->copy->data + offset, offset, count, tag);
}
