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

static void
crash_copy (void *opaque)
{
  struct rescue_rig *rr = opaque;
  static uint64_t seed = 1;
  const struct memdev_crash how = {
    .random = true, .seed = memdev_random (&seed),
    .tear = memdev_random (&seed) % 2 * SECTOR_SIZE,
  };
  struct memdev *copy = memdev_crash (rr->copy, rr->copy->nevents, &how);

  for (size_t i = 0; i < rr->copy->nbad; i++)
    memdev_set_bad (copy, rr->copy->bad[i].ops, rr->copy->bad[i].offset,
                    rr->copy->bad[i].count, rr->copy->bad[i].err);
  memdev_free (rr->copy);
  rr->copy = copy;
}

void
rescue_crash (struct rescue_rig *rr, uint64_t *seed)
{
  rig_crash (&rr->r, seed, crash_copy, rr);
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
