/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Units and small types that all of lib/ uses.
 *
 * Two units exist and are never mixed in one variable: bytes (uint64_t,
 * uint32_t, size_t) and sectors of 512 bytes (sector_t, or a count whose
 * name says so).  A slot is the place in the spare that holds one sector;
 * slots are numbered from 0 and are sector sized.
 */

#ifndef REMAP_SECTOR_H
#define REMAP_SECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"

#define SECTOR_SHIFT 9
#define SECTOR_SIZE 512U

typedef uint64_t sector_t;
typedef uint64_t slot_t;

/* No slot: what a run that is not REMAPPED carries. */
#define NO_SLOT UINT64_MAX

/* The states of a sector, see remap-promises(7).  The numbers are those
 * of the spare's format and never change.
 */
enum sector_state {
  DIRECT = 0,          /* lives on main; never stored in the map */
  REMAPPED = 1,        /* lives in a slot of the spare */
  LOST = 2,            /* nobody knows its content */
  ZERO = 3,            /* reads as zeroes */
  /* 4 is nobody's state, see map/map.h. */
  KEPT = 5,            /* RESCUED: the copy holds it, and main the same */
  WRITTEN = 6,         /* RESCUED: the copy holds it, and nothing else does */
};
#define NR_SECTOR_STATES 7U

/* Does it live in the copy, at its own offset? */
static inline bool
state_is_rescued (enum sector_state state)
{
  return state == KEPT || state == WRITTEN;
}

/* Why a sector is not DIRECT; stored in the spare, not in memory.  The
 * numbers are those of the spare's format.
 */
enum change_reason {
  WHY_UNKNOWN = 0,
  WHY_AUTO_WRITE = 1,  /* main failed to write it */
  WHY_AUTO_READ = 2,   /* main failed to read it */
  WHY_WEAK = 3,        /* main read it only when asked again */
  WHY_MANUAL = 4,      /* an operator's command */
  WHY_IMPORT = 5,      /* from a list of bad sectors */
  WHY_CLIENT = 6,      /* a client wrote it, or zeroed it */
  WHY_VANISH = 7,      /* main vanished each time it was touched */
};
#define WHY_LAST WHY_VANISH     /* of those above */
#define WHY_MAX 15U             /* what a log may say */

struct sector_range {
  sector_t start;
  uint64_t count;      /* sectors */
};

/* A run of adjacent sectors in one state.  In a REMAPPED run the slots
 * are adjacent as well: sector start + i lives in slot slot + i.
 */
struct run {
  sector_t start;
  uint64_t count;      /* sectors */
  enum sector_state state;
  slot_t slot;         /* NO_SLOT unless REMAPPED */
};

/* The sectors that a device of this many bytes has; a tail shorter than a
 * sector counts as one.
 */
static inline uint64_t
bytes_to_sectors (uint64_t bytes)
{
  return (bytes >> SECTOR_SHIFT) + ((bytes & (SECTOR_SIZE - 1)) != 0);
}

/* The sector that holds the byte at OFFSET. */
static inline sector_t
sector_of (uint64_t offset)
{
  return offset >> SECTOR_SHIFT;
}

/* The sectors that the bytes from START to before END touch. */
static inline uint64_t
sectors_in (uint64_t start, uint64_t end)
{
  return bytes_to_sectors (end) - sector_of (start);
}

/* Where a run ends: the first sector after it, and the byte. */
static inline sector_t
run_end_sector (const struct run *run)
{
  return run->start + run->count;
}

static inline uint64_t
run_end_byte (const struct run *run)
{
  return run_end_sector (run) << SECTOR_SHIFT;
}

/* The part of a run from sector START to before END, both within it. */
static inline struct run
run_part (const struct run *run, sector_t start, sector_t end)
{
  struct run part = *run;

  if (part.state == REMAPPED)
    part.slot += start - run->start;
  part.start = start;
  part.count = end - start;
  return part;
}

/* Takes the first sectors, COUNT at most, off a run. */
static inline struct run
run_take (struct run *run, uint64_t count)
{
  const sector_t end = run_end_sector (run);
  const sector_t cut = run->start + min_u64 (count, run->count);
  const struct run taken = run_part (run, run->start, cut);

  *run = run_part (run, cut, end);
  return taken;
}

/* What a run has in common with the sectors from START to before END; there
 * must be something.
 */
static inline struct run
run_clip (const struct run *run, sector_t start, sector_t end)
{
  return run_part (run, max_u64 (run->start, start),
                   min_u64 (run_end_sector (run), end));
}

#endif /* REMAP_SECTOR_H */
