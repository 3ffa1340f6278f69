/* SPDX-License-Identifier: GPL-2.0-or-later
 * Copyright (C) 2026 The nbdkit-remap authors
 *
 * Units and small types that every part of the core uses.
 *
 * Two units exist and are never mixed in one variable: bytes (uint64_t,
 * uint32_t, size_t) and sectors of 512 bytes (sector_t, or a count whose
 * name says so).  A slot is the place in the spare that holds one sector;
 * slots are numbered from 0 and are sector sized.
 */

#ifndef REMAP_SECTOR_H
#define REMAP_SECTOR_H

#include <stdint.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdarg.h>
#include <stdio.h>

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
};

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

/* Whole sectors that a device of this many bytes has; a tail shorter
 * than a sector counts as one.
 */
static inline uint64_t
bytes_to_sectors (uint64_t bytes)
{
  return (bytes >> SECTOR_SHIFT) + ((bytes & (SECTOR_SIZE - 1)) != 0);
}

static inline uint64_t
round_down (uint64_t n, uint64_t power_of_2)
{
  return n & ~(power_of_2 - 1);
}

/* Overflow is the caller's to exclude. */
static inline uint64_t
round_up (uint64_t n, uint64_t power_of_2)
{
  return round_down (n + power_of_2 - 1, power_of_2);
}

/* One error message for whoever called.  Functions of the core return an
 * errno value (0 for success) and, where they take a struct message, say
 * in it what was wrong with which object; the caller prints it, once.
 */
struct message {
  char text[512];
};

static inline void __attribute__ ((format (printf, 2, 3)))
message_set (struct message *m, const char *fs, ...)
{
  va_list args;

  if (m == NULL)
    return;
  va_start (args, fs);
  vsnprintf (m->text, sizeof m->text, fs, args);
  va_end (args);
}

#endif /* REMAP_SECTOR_H */
